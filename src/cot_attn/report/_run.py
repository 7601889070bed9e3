"""A run as a page: whom one position attended to, on average and in each problem."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import xarray as xr

from cot_attn import plots, stats
from cot_attn.data import grade
from cot_attn.models import Run
from cot_attn.recording import AttentionRecorder
from cot_attn.report._alternatives import shares_at_layers
from cot_attn.report._numbers import percent
from cot_attn.report._svg import inline_svg
from cot_attn.report._templates import template

MOST = 60  # problems that are shown one by one


@dataclass(frozen=True)
class Asked:
    """A problem, what was answered, and a row of cells a layer: what is written, how dark it is."""

    question: str
    answer: str
    verdict: str
    rows: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]


def page_of_run(run: Run, recorder: AttentionRecorder, query: str) -> tuple[str, str]:
    """Return what the page is called, and the page."""
    if not isinstance(recorder, AttentionRecorder):
        raise TypeError(
            f"recorder is a {type(recorder).__name__}; give the AttentionRecorder that was open "
            "while the model ran: `with AttentionRecorder(model) as recorder: run = ..`."
        )
    recorded = _of_run(recorder.dataset(), run)
    shares = stats.share(recorded, query).mean("head").assign_attrs(recorded.attrs)
    name = str(recorded.attrs["model"])
    axes = plots.attention_by_layer(shares)
    words = f"{name}. {shares_at_layers(shares)}"
    drawing = inline_svg(axes, "run", f"Attention by layer. {words}")
    plt.close(axes.get_figure(root=True))
    title = f"{name}: {len(run.problems)} problems"
    page = template("run.html").render(
        title=title,
        query=query,
        drawing=drawing,
        thoughts=[int(thought) for thought in shares["thought"].values],
        asked=[_asked(run, place, shares) for place in range(min(MOST, len(run.problems)))],
        n_problems=len(run.problems),
    )
    return title, page


def _of_run(recorded: xr.Dataset, run: Run) -> xr.Dataset:
    """Return what was recorded of a run's problems, in its order."""
    there = set(recorded["problem"].values)
    ids = [problem.id for problem in run.problems]
    if missing := [name for name in ids if name not in there]:
        raise ValueError(
            f"The recorder has nothing of {len(missing)} of the run's {len(ids)} problems, such as "
            f"{missing[0]!r}. Give the one that was open while the model ran."
        )
    return recorded.sel(problem=ids)


def _asked(run: Run, place: int, shares: xr.DataArray) -> Asked:
    problem, answer = run.problems[place], run.answers[place]
    verdict = ""
    if problem.answer is not None:
        right = grade(answer, problem).correct
        verdict = "right" if right else f"wrong: {problem.answer} would be right"
    here = shares.isel(problem=place)
    rows = tuple(
        (int(layer), tuple((percent(share), _shade(float(share))) for share in row))
        for layer, row in zip(here["layer"].values, here, strict=True)
    )
    return Asked(problem.question, answer, verdict, rows)


def _shade(share: float) -> int:
    """Say how dark a cell is, from 0 to 4: a share of a half and more is darkest."""
    return 0 if share != share else min(4, int(8 * share))
