"""Draw every figure from the bundled models into docs/gallery/, and write docs/gallery.md."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import getdoc
from pathlib import Path
from typing import Any

import xarray as xr

from cot_attn import ContinuousThoughtModel, Problem, load_problems, plots, run_study, stats, toy
from cot_attn.experiments import (
    causal_graph,
    difference_of_means,
    draw_pairs,
    exit_curve,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.recording import PositionRecorder
from cot_attn.study import Study, compare

DOCS = Path(__file__).parent
N_PROBLEMS = 120
DPI = 150  # for the screen
INTRODUCTION = """\
# Gallery

Every figure, drawn from the two models that come with the package (`make gallery` draws them
again). Each function takes results and returns Matplotlib axes; `ax=` (or `fig=`, for those of
several panels) says where to draw. `plots.save(axes, "figure", ["pdf", "svg"])` keeps text as text.
"""


@dataclass(frozen=True)
class Experiments:
    """What the figures of experiments show."""

    usage: xr.Dataset
    exits: xr.Dataset
    interchange: xr.Dataset
    steered: xr.Dataset
    graph: xr.Dataset
    heads: xr.Dataset

    @classmethod
    def of(cls, model: ContinuousThoughtModel, problems: list[Problem]) -> "Experiments":
        hardest = toy.toy_problems(40, seed=1, steps=[6])
        pairs = draw_pairs([problem for problem in problems if problem.difficulty == 4])
        return cls(
            usage(model, problems),
            exit_curve(model, problems),
            interchange(model, pairs, expected=toy.expected_answer),
            steered(model),
            causal_graph(model, hardest),
            rank_heads(model, hardest, thought=5),
        )


def steered(model: ContinuousThoughtModel) -> xr.Dataset:
    """Write a 5 into thought 3 of problems of four steps."""
    known = toy.toy_problems(400, steps=[4])
    fives = [problem for problem in known if problem.answer == "5"]
    others = [problem for problem in known if problem.answer != "5"]
    direction = difference_of_means(model, fives, others, label="towards 5")
    problems = toy.toy_problems(40, seed=1, steps=[4])
    doses = [0, 0.5, 1, 1.5, 2]
    return steer(model, problems, direction, doses, thoughts=[3], target="5")


@dataclass(frozen=True)
class Results:
    """What the figures show."""

    gpt2: Study
    frozen: Study
    llama: Study
    positions: xr.Dataset
    experiments: Experiments

    @cached_property
    def both(self) -> xr.Dataset:
        return compare([self.gpt2, self.llama])

    @property
    def last(self) -> int:
        return self.gpt2.layers[-1]

    @property
    def asked(self) -> xr.Dataset:
        return self.gpt2.correlations.sel(estimand=["within_problem", "pooled"])


FIGURES: dict[str, Callable[[Results], Any]] = {
    "importance_by_thought": lambda r: plots.importance_by_thought(r.gpt2.importance),
    "importance_by_problem": lambda r: plots.importance_by_problem(r.gpt2.failure),
    "importance_by_corruption": lambda r: plots.importance_by_corruption(
        stats.importance(r.gpt2.effects, by="corruption")
    ),
    "recompute_against_frozen": lambda r: plots.recompute_against_frozen(
        r.gpt2.importance, r.frozen.importance
    ),
    "attention_by_layer": lambda r: plots.attention_by_layer(r.gpt2.shares),
    "attention_by_head": lambda r: plots.attention_by_head(r.gpt2.head_shares, thought=0),
    "flow_between_thoughts": lambda r: plots.flow_between_thoughts(
        stats.flow(r.gpt2.attention).sel(layer=r.last)
    ),
    "concentration_by_layer": lambda r: plots.concentration_by_layer(
        stats.concentration(r.both["share"]).sel(measure="effective_number")
    ),
    "importance_beside_attention": lambda r: plots.importance_beside_attention(
        r.gpt2.importance,
        r.gpt2.shares.sel(layer=r.last),
        total=r.gpt2.sequence_attention.sel(layer=r.last).sum("thought", skipna=False),
    ),
    "importance_beside_attention_by_layer": lambda r: plots.importance_beside_attention_by_layer(
        stats.importance(r.both, by="model"),
        r.both["share"],
        totals=r.both["sequence_attention"].sum("thought", skipna=False),
    ),
    "attention_against_importance": lambda r: plots.attention_against_importance(
        r.gpt2.shares,
        r.gpt2.failure,
        r.asked,
        line=stats.fitted_line(r.gpt2.shares, r.gpt2.failure),
    ),
    "correlation_by_thought": lambda r: plots.correlation_by_thought(
        r.gpt2.correlations_by_thought.sel(layer=r.last)
    ),
    "correlation_by_layer": lambda r: plots.correlation_by_layer(r.asked),
    "accuracy_by_condition": lambda r: plots.accuracy_by_condition(
        stats.usage_summary(r.experiments.usage)
    ),
    "accuracy_by_exit": lambda r: plots.accuracy_by_exit(
        stats.exit_accuracy(r.experiments.exits, by="difficulty")
    ),
    "commitment_by_exit": lambda r: plots.commitment_by_exit(
        stats.committed(stats.commitment(r.experiments.exits)).sel(target="right")
    ),
    "interchange_by_thought": lambda r: plots.interchange_by_thought(
        stats.interchange_accuracy(r.experiments.interchange).sel(
            prediction="changes", site="input"
        )
    ),
    "steering_by_dose": lambda r: plots.steering_by_dose(
        stats.dose_response(r.experiments.steered).sel(outcome="target")
    ),
    "causal_graph": lambda r: plots.causal_graph(
        stats.edge_effects(r.experiments.graph).sel(downstream="recompute")
    ),
    "failure_by_heads": lambda r: plots.failure_by_heads(stats.head_sets(r.experiments.heads)),
    # The last word is the answer's value; the one before predicts it.
    "one_problem": lambda r: plots.one_problem(
        r.positions.sel(layer=0), query=int(r.positions["query"][-2])
    ),
}


def results() -> Results:
    """Study both models."""
    problems = load_problems("toy", n=N_PROBLEMS)
    gpt2, llama = map(ContinuousThoughtModel.from_pretrained, ("toy-gpt2", "toy-llama"))
    hardest = max(problems, key=lambda problem: problem.difficulty or 0)
    with PositionRecorder(gpt2) as recorder:
        gpt2.run([hardest], max_new_tokens=8)
    return Results(
        gpt2=run_study(gpt2, problems),
        frozen=run_study(gpt2, problems, downstream="frozen"),
        llama=run_study(llama, problems),
        positions=recorder.dataset(hardest.id),
        experiments=Experiments.of(gpt2, problems),
    )


def draw(shown: Results, docs: Path = DOCS) -> None:
    """Write the pictures and the page that shows them."""
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    page = [INTRODUCTION]
    for name, figure in FIGURES.items():
        plots.save(figure(shown), folder / name, ["png"], dpi=DPI)
        sentence = (getdoc(getattr(plots, name)) or "").splitlines()[0]
        page.append(f"## `{name}`\n\n{sentence}\n\n![{sentence}](gallery/{name}.png)\n")
    (docs / "gallery.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    draw(results())
