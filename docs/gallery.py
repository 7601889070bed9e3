"""Draw every figure from the bundled models into docs/gallery/, and write docs/gallery.md."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import getdoc
from pathlib import Path
from typing import Any

import xarray as xr

from cot_attn import ContinuousThoughtModel, load_problems, plots, readouts, run_study, stats
from cot_attn.recording import PositionRecorder, StateRecorder
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
class Results:
    """What the figures show."""

    gpt2: Study
    frozen: Study
    llama: Study
    positions: xr.Dataset
    lens: xr.Dataset
    fed: xr.Dataset
    words: xr.Dataset
    probed: xr.Dataset

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
    "lens_by_layer": lambda r: plots.lens_by_layer(r.lens.sel(target="step 2", answered="all")),
    "lens_by_step": lambda r: plots.lens_by_step(r.fed.sel(answered="all")),
    "top_words": lambda r: plots.top_words(r.words),
    "probe_accuracy": lambda r: plots.probe_accuracy(r.probed.sel(layer=r.last)),
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
    with PositionRecorder(gpt2, [hardest.id]) as recorder, StateRecorder(gpt2) as recorded:
        gpt2.run(problems, max_new_tokens=8)
    states = recorded.dataset()
    lens, fed = (
        stats.lens_agreement(readouts.logit_lens(gpt2, states, problems, space=space))
        for space in ("hidden", "fed")
    )
    return Results(
        gpt2=run_study(gpt2, problems),
        frozen=run_study(gpt2, problems, downstream="frozen"),
        llama=run_study(llama, problems),
        positions=recorder.dataset(hardest.id),
        lens=lens,
        fed=fed,
        words=readouts.top_tokens(states, gpt2, k=2).sel(problem=hardest.id),
        probed=probed(gpt2),
    )


def probed(model: ContinuousThoughtModel) -> xr.Dataset:
    """Probe for whether the second of three steps comes to an even number."""
    problems = load_problems("toy", n=2 * N_PROBLEMS, difficulties=[3])
    with StateRecorder(model, layers=[-1]) as recorder:
        model.run(problems, max_new_tokens=8)
    even = {problem.id: int(problem.steps[1]) % 2 == 0 for problem in problems}
    return readouts.probe(recorder.dataset(), even, n_permutations=99)


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
