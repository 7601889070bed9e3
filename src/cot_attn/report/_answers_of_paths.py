"""What a study's experiments say of paths, heads and searches: a sentence and a table each."""

import numpy as np

from cot_attn.report._numbers import correlation, each, equals, percent, percent_interval, tail
from cot_attn.report._tables import Table
from cot_attn.study.results import Study

LEVEL = 0.05


def graph(study: Study) -> str:
    """Say which edges are needed."""
    table = study.experiment_tables["causal_graph"].sel(downstream="recompute")
    needed = table.isel(edge=np.flatnonzero(table["needed"].values))
    n_edges = table.sizes["edge"]
    if not needed.sizes["edge"]:
        return f"None of the {n_edges} edges is needed by itself."
    weakest = needed.isel(edge=int(needed["estimate"].argmin("edge")))
    return (
        f"{needed.sizes['edge']} of {n_edges} edges are needed: "
        f"{'; '.join(map(str, needed['edge'].values))}. Without the weakest of them "
        f"({weakest['edge'].item()}) {percent(weakest['estimate'])} % of the answers break (95 % "
        f"interval {percent_interval(weakest)}, "
        f"p\N{NO-BREAK SPACE}{equals(weakest['p_holm'])}, Holm)."
    )


def graph_table(study: Study, folder: str) -> Table:
    """Show what breaks without each edge that is needed."""
    table = study.experiment_tables["causal_graph"]
    recompute = table.sel(downstream="recompute")
    rows = []
    for edge in recompute["edge"].values[recompute["needed"].values]:
        here = recompute.sel(edge=edge)
        frozen = table["estimate"].sel(edge=edge)
        rows.append(
            (
                str(edge),
                percent(here["estimate"]),
                percent_interval(here),
                percent(here["others"]),
                tail(here["p_holm"]),
                percent(frozen.sel(downstream="frozen"))
                if "frozen" in frozen["downstream"]
                else "n/a",
            )
        )
    n_others = recompute.sizes["edge"] - len(rows)
    return Table(
        f"{study.name}: answers broken, percent, when an edge is taken away, and when as many "
        "other positions are hidden from the same place. Frozen: later thoughts fed as they were. "
        f"{n_others} edges that are not needed are in the file alone.",
        ("edge", "broken", "95 %", "others hidden", "p", "frozen"),
        tuple(rows),
        csv=f"{folder}/tables/causal_graph.csv",
    )


def heads(study: Study) -> str:
    """Say from how few heads a thought has to be hidden."""
    sets = study.experiment_tables["head_sets"]
    few, random = (sets.attrs[f"smallest_{which}"] for which in ("top", "random"))
    every = sets.isel(size=-1)
    thought, n_heads = sets.attrs["thought"], int(every["size"])
    broken = f"{percent(every['estimate'])} % of the answers break (95 % interval "
    broken += f"{percent_interval(every)})"
    if not few > 0:
        return f"Hidden from all {n_heads} heads, thought {thought} is not missed: {broken}."
    return (
        f"When thought {thought} is hidden from all {n_heads} heads, {broken}. Half as many break "
        f"when it is hidden from the highest {few:g}, and of random sets from {random:g}."
    )


def heads_table(study: Study, folder: str) -> Table:
    """Show what breaks as a thought is hidden from more heads."""
    sets = study.experiment_tables["head_sets"]
    rows = tuple(
        (
            str(size),
            percent(row["estimate"]),
            percent_interval(row),
            percent(row["random"]),
            f"{percent(row['random_low'])} to {percent(row['random_high'])}",
            tail(row["p_holm"]),
        )
        for size, row in each(sets, "size")
    )
    return Table(
        f"{study.name}: answers broken, percent, when thought {sets.attrs['thought']} is hidden "
        "from the heads that rank highest, and from random sets. p: rank among these, Holm's over "
        "sizes.",
        ("heads", "broken", "95 %", "random", "from, to", "p"),
        rows,
        csv=f"{folder}/tables/head_sets.csv",
    )


def frontier(study: Study) -> str:
    """Say at how many thoughts nodes are there for their part in the graph."""
    table = study.experiment_tables["frontier"]
    tested = table["p_holm"].notnull()
    found = (table["p_holm"] < LEVEL) & (table["estimate"] > 0)
    parts = [
        f"{part} at thought {thought}"
        for thought in table["thought"].values
        for part in table["part"].values
        if bool(found.sel(thought=thought, part=part))
    ]
    named = f": {', '.join(parts)}." if parts else "."
    return (
        "Thoughts are more like nodes than like the same names in another part in "
        f"{len(parts)} of {int(tested.sum())} pairs of a thought and a part of the search (Holm "
        f"p < {LEVEL}){named}"
    )


def frontier_table(study: Study, folder: str) -> Table:
    """Show by how much each thought is more like nodes for their part."""
    table = study.experiment_tables["frontier"]
    rows = []
    for thought in table["thought"].values:
        for part in table["part"].values:
            row = table.sel(thought=thought, part=part)
            if row["estimate"].notnull():
                rows.append(
                    (
                        f"{thought}, {part}",
                        correlation(row["own"]),
                        correlation(row["exchanged"]),
                        correlation(row["estimate"]),
                        f"{correlation(row['low'])} to {correlation(row['high'])}",
                        tail(row["p_holm"]),
                    )
                )
    return Table(
        f"{study.name}: cosine similarity of thoughts with the names of nodes, by the part that "
        "these play in the search, with names exchanged, and the difference. p: random signs, "
        "Holm's over all.",
        ("thought, part", "similarity", "exchanged", "excess", "95 %", "p"),
        tuple(rows),
        csv=f"{folder}/tables/frontier.csv",
    )
