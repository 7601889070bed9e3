"""Draw every figure from the bundled models into docs/gallery/, and write docs/gallery.md."""

from inspect import getdoc
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cot_attn import ContinuousThoughtModel, Problem, load_problems, plots, run_study, stats, toy
from cot_attn.data.sets.toy import DAYS, NAMES
from cot_attn.experiments import (
    causal_graph,
    difference_of_means,
    draw_pairs,
    exit_curve,
    frontier,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.readouts import probe, top_tokens
from cot_attn.recording import PositionRecorder, StateRecorder
from cot_attn.report.catalogue import figures
from cot_attn.report.figure import Results

DOCS = Path(__file__).parent
N_PROBLEMS = 120
DPI = 150  # for the screen
WORDS = [*NAMES, *DAYS, "clock", "dial", "knob", "wheel"]  # that the bundled models know
INTRODUCTION = """\
# Gallery

Every figure, drawn from the two models that come with the package (`make gallery` draws them
again). Each function takes results and returns Matplotlib axes; `ax=` (or `fig=`, for those of
several panels) says where to draw. `plots.save(axes, "figure", ["pdf", "svg"])` keeps text as text.
"""


def results() -> dict[str, Results]:
    """Study both models, and return what each figure of the gallery is drawn from."""
    problems = load_problems("toy", n=N_PROBLEMS)
    gpt2, llama = map(ContinuousThoughtModel.from_pretrained, ("toy-gpt2", "toy-llama"))
    hardest = max(problems, key=lambda problem: problem.difficulty or 0)
    with PositionRecorder(gpt2) as recorder:
        gpt2.run([hardest], max_new_tokens=8)
    others = {
        "recompute_against_frozen": run_study(gpt2, problems, downstream="frozen").importance,
        "one_problem": recorder.dataset(hardest.id),
    }
    others |= experiments(gpt2, problems)
    others |= readouts(gpt2, problems, hardest)
    others |= capacity()
    studies = [run_study(model, problems, readouts=True) for model in (gpt2, llama)]
    return {
        figure.plot: (figure.of(studies[:1], others) or figure.of(studies))[-1]
        for figure in figures("gallery")
    }


def experiments(model: ContinuousThoughtModel, problems: list[Problem]) -> dict[str, xr.Dataset]:
    """Ask a model the questions of `cot_attn.experiments`; tables by the figure that shows them."""
    four, six = (toy.toy_problems(40, seed=1, steps=[steps]) for steps in (4, 6))
    # It was never taught any graph, so that nothing should be found.
    graphs = toy.graph_problems(40, WORDS, n_steps=2)
    exits = exit_curve(model, problems)
    patched = interchange(model, draw_pairs(four), expected=toy.expected_answer)
    known = toy.toy_problems(400, steps=[4])
    groups = [[each for each in known if (each.answer == "5") == five] for five in (True, False)]
    towards_5 = difference_of_means(model, *groups, label="towards 5")
    doses = [0, 0.5, 1, 1.5, 2]
    steered = steer(model, four, towards_5, doses, thoughts=[3], target="5")
    return {
        "accuracy_by_condition": stats.usage_summary(usage(model, problems)),
        "accuracy_by_exit": stats.exit_accuracy(exits, by="difficulty"),
        "commitment_by_exit": stats.committed(stats.commitment(exits)).sel(target="right"),
        "interchange_by_thought": stats.interchange_accuracy(patched).sel(
            prediction="changes", site="input"
        ),
        "steering_by_dose": stats.dose_response(steered).sel(outcome="target"),
        "causal_graph": stats.edge_effects(causal_graph(model, six)).sel(downstream="recompute"),
        "frontier_by_thought": stats.frontier_excess(frontier(model, graphs)),
        "failure_by_heads": stats.head_sets(rank_heads(model, six, thought=5)),
    }


def readouts(
    model: ContinuousThoughtModel, problems: list[Problem], one: Problem
) -> dict[str, xr.Dataset]:
    """Read a model's states as words and for a label; results by the figure that shows them."""
    with StateRecorder(model) as recorder:
        model.run(problems, max_new_tokens=8)
    states = recorder.dataset()
    three = load_problems("toy", n=2 * N_PROBLEMS, difficulties=[3])
    with StateRecorder(model, layers=[-1]) as recorder:
        model.run(three, max_new_tokens=8)
    even = {problem.id: int(problem.steps[1]) % 2 == 0 for problem in three}
    return {
        "top_words": top_tokens(states, model, k=2).sel(problem=one.id),
        "probe_accuracy": probe(recorder.dataset(), even, n_permutations=99).isel(layer=0),
    }


def capacity() -> dict[str, Any]:
    """Read what a ladder of toy models showed, at the end of their training."""
    table = pd.read_csv(DOCS.parent / "examples" / "capacity.csv").query("row == 'equal-steps'")
    table = table.assign(family=table["family"].astype(object)).set_index("model")
    found = {}
    for name in ("attention", "importance"):
        rows = table[table["quantity"] == f"{name}: effective thoughts"]
        values = rows[["estimate", "low", "high", "n_problems"]].to_xarray()
        labels = {each: ("model", rows[each].to_numpy()) for each in ("family", "n_parameters")}
        attrs = {"confidence": 0.95, "long_name": f"{name}: effective thoughts"}
        found[name] = values.assign_coords(labels).assign_attrs(attrs)
    return {
        "quantity_by_size": found["attention"],
        "strategies_by_size": (found["importance"], found["attention"]),
    }


def draw(shown: dict[str, Results], docs: Path = DOCS) -> None:
    """Write the pictures and the page that shows them."""
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    page = [INTRODUCTION]
    for figure in figures("gallery"):
        results = shown[figure.plot]
        plots.save(figure.draw(results), folder / figure.plot, ["png"], dpi=DPI)
        sentence = (getdoc(getattr(plots, figure.plot)) or "").splitlines()[0]
        alternative = figure.alternative(results)
        page.append(
            f"## `{figure.plot}`\n\n{sentence}\n\n![{alternative}](gallery/{figure.plot}.png)\n"
        )
    (docs / "gallery.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    draw(results())
