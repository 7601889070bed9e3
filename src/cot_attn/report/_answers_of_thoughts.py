"""What a study's experiments say of its thoughts: a sentence and a table each."""

import numpy as np

from cot_attn import stats
from cot_attn.report._numbers import correlation, each, equals, percent, percent_interval, tail
from cot_attn.report._tables import Table
from cot_attn.study.results import Study


def usage(study: Study) -> str:
    """Say the verdict."""
    return str(study.experiment_tables["usage"].attrs["verdict"])


def usage_table(study: Study, folder: str) -> Table:
    """Show the answers under each condition."""
    table = study.experiment_tables["usage"]
    rows = tuple(
        (
            str(name),
            percent(row["estimate"]),
            percent_interval(row),
            correlation(100 * row["difference"], 0),
            tail(row["p_holm"]),
            f"{float(row['kl_value']):.2f}",
        )
        for name, row in each(table, "condition")
    )
    return Table(
        f"{study.name}: answers right, percent, when all thoughts are replaced. Difference from as "
        "trained in percentage points; p: McNemar's exact test, Holm's over conditions. KL at the "
        "answer's value, nats.",
        ("thoughts", "right", "95 %", "difference", "p", "KL"),
        rows,
        csv=f"{folder}/tables/usage.csv",
    )


def exits(study: Study) -> str:
    """Say after how many thoughts half of the answers are right for good."""
    there = study.experiment_tables["commitment"].sel(target="right", kind="stable")
    half, last = float(there["median"]), there.isel(n_thoughts=-1)
    said = "Half of the answers are never right for good"
    if np.isfinite(half):
        said = f"Half of the answers are right for good after {half:g} thoughts"
    return (
        f"{said}. After the {int(last['n_thoughts'])} thoughts of training "
        f"{percent(last['estimate'])} % of all are (95 % interval {percent_interval(last)})."
    )


def exits_table(study: Study, folder: str) -> Table:
    """Show the answers at each exit."""
    right = stats.exit_accuracy(study.experiments["exits"])
    good = study.experiment_tables["commitment"].sel(target="right", kind="stable")
    good = good.reindex(n_thoughts=right["n_thoughts"])
    rows = tuple(
        (
            str(n),
            percent(row["estimate"]),
            percent_interval(row),
            percent(good["estimate"].sel(n_thoughts=n)),
        )
        for n, row in each(right, "n_thoughts")
    )
    return Table(
        f"{study.name}: answers right, percent, when the answer is forced after some thoughts, and "
        "those that are right from there on.",
        ("thoughts", "right", "95 %", "for good"),
        rows,
        csv=f"{folder}/tables/exit_accuracy.csv",
    )


def interchange(study: Study) -> str:
    """Say which thought takes its problem's answer along most often."""
    table = study.experiment_tables["interchange"].isel(site=0, prediction=0)
    rates = table.sel(outcome="the source's")
    of_source = rates.sel(vector="source")
    most = int(of_source["estimate"].fillna(-1).argmax("thought"))
    best, chance = of_source.isel(thought=most), rates.sel(vector="random").isel(thought=most)
    return (
        f"Thought {int(best['thought'])} of another problem takes that problem's answer along most "
        f"often: in {percent(best['estimate'])} % of {int(best['n_pairs'])} pairs (95 % interval "
        f"{percent_interval(best)}), where a random vector of its norm gives that answer in "
        f"{percent(chance['estimate'])} % ({percent_interval(chance)})."
    )


def interchange_table(study: Study, folder: str) -> Table:
    """Show what the answer becomes with each thought of another problem."""
    table = study.experiment_tables["interchange"].isel(site=0, prediction=0)
    rows = []
    for thought, here in each(table, "thought"):
        source, random = (here.sel(vector=vector) for vector in ("source", "random"))
        moved = source.sel(outcome="the source's")
        rows.append(
            (
                str(thought),
                percent(moved["estimate"]),
                percent_interval(moved),
                percent(source["estimate"].sel(outcome="the base's own")),
                percent(source["estimate"].sel(outcome="another")),
                percent(random["estimate"].sel(outcome="the source's")),
                percent(random["estimate"].sel(outcome="the base's own")),
            )
        )
    return Table(
        f"{study.name}: what the answer becomes when a thought is another problem's, or a random "
        "vector: percent of pairs. Intervals are over problems, which pairs share.",
        ("thought", "its answer", "95 %", "own", "another", "its answer", "own"),
        tuple(rows),
        (("the other problem's thought", 4), ("a random vector", 2)),
        csv=f"{folder}/tables/interchange.csv",
    )


def steering(study: Study) -> str:
    """Say where most answers arrive at the target, and how many do along random directions."""
    reached = study.experiment_tables["steering"].sel(outcome="target")
    best = reached.isel(dose=int(reached["estimate"].fillna(-1).argmax("dose")))
    return (
        f"Steered {reached.attrs['name']}, most answers arrive there at dose "
        f"{float(best['dose']):g}: "
        f"{percent(best['estimate'])} % of {int(best['n_problems'])} (95 % interval "
        f"{percent_interval(best)}), where {reached.attrs['n_random']} random directions of its "
        f"norm bring {percent(best['random_low'])} to {percent(best['random_high'])} % there "
        f"(p\N{NO-BREAK SPACE}{equals(best['p_holm'])}, rank among them, Holm over doses)."
    )


def steering_table(study: Study, folder: str) -> Table:
    """Show where answers go at each dose."""
    table = study.experiment_tables["steering"]
    rows = []
    for dose, here in each(table, "dose"):
        target, stays = here.sel(outcome="target"), here.sel(outcome="stays")
        rows.append(
            (
                f"{dose:g}",
                percent(target["estimate"]),
                percent_interval(target),
                f"{percent(target['random_low'])} to {percent(target['random_high'])}",
                tail(target["p_holm"]),
                percent(stays["estimate"]),
                percent(stays["random"]),
            )
        )
    return Table(
        f"{study.name}: answers, percent, when all thoughts are steered {table.attrs['name']}, and "
        "along random directions of the same norm. p: rank among these, Holm's over doses.",
        ("dose", "arrive", "95 %", "random", "p", "stay", "random, mean"),
        tuple(rows),
        csv=f"{folder}/tables/steering.csv",
    )
