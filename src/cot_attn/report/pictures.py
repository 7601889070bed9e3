"""The pictures on the page, each with a sentence below it and its numbers in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from markupsafe import Markup

from cot_attn import plots, stats
from cot_attn.plots.canvas import figure
from cot_attn.report import alternatives
from cot_attn.report.svg import inline_svg
from cot_attn.study.results import Study

Draw = Callable[[], Any]
Along = Literal["x", "y"]
ESTIMANDS = ["within_problem", "pooled"]


@dataclass(frozen=True)
class Picture:
    """One figure: drawn for a wide page, and where it has several panels, for a phone too."""

    title: str
    caption: str
    wide: Markup
    narrow: Markup | None = None


@dataclass(frozen=True)
class Sketch:
    """A picture that is yet to be drawn, once for each width."""

    title: str
    caption: str
    words: str
    draws: dict[str, Draw]  # by the prefix of its ids
    shared: Along | None = None  # which axis is the same for all models


@dataclass(frozen=True)
class Topic:
    """Pictures of the same thing, one a model."""

    title: str
    pictures: tuple[Picture, ...]

    @property
    def has_panels(self) -> bool:
        """Whether the pictures need the width of the page."""
        return any(picture.narrow is not None for picture in self.pictures)


def topics(studies: Sequence[Study], comparison: xr.Dataset | None) -> Iterator[Topic]:
    """Draw every picture, the most telling first."""
    if comparison is None:
        yield from (_topic([sketch]) for sketch in _of_one(studies[0]))
    else:
        yield from (_topic([sketch]) for sketch in _of_comparison(studies, comparison))
    sketches = [list(_of_each(study, f"s{index}")) for index, study in enumerate(studies)]
    for same in zip(*sketches, strict=True):
        yield _topic(same)


def _topic(same: Sequence[Sketch]) -> Topic:
    """Draw what is the same of each model, on one scale."""
    versions = []
    for prefixes in zip(*(sketch.draws for sketch in same), strict=True):
        drawn = [sketch.draws[prefix]() for sketch, prefix in zip(same, prefixes, strict=True)]
        if along := same[0].shared:
            _share_scale(drawn, along)
        versions.append(
            [
                inline_svg(axes, prefix, f"{sketch.title}. {sketch.words}")
                for axes, prefix, sketch in zip(drawn, prefixes, same, strict=True)
            ]
        )
    pictures = [
        Picture(sketch.title, sketch.caption, *drawings)
        for sketch, *drawings in zip(same, *versions, strict=True)
    ]
    return Topic(same[0].title, tuple(pictures))


def _share_scale(drawn: Sequence[Any], along: Along) -> None:
    """Let what stands side by side have the same limits, or a small bar could look large."""
    axes = [ax for figure_axes in drawn for ax in np.asarray(figure_axes).flat]
    limits = np.array([getattr(ax, f"get_{along}lim")() for ax in axes])
    for ax in axes:
        getattr(ax, f"set_{along}lim")(limits[:, 0].min(), limits[:, 1].max())


def _of_comparison(studies: Sequence[Study], comparison: xr.Dataset) -> Iterator[Sketch]:
    shares = comparison["share"]
    totals = comparison["sequence_attention"].sum("thought", skipna=False)
    importance = stats.importance(comparison, by="model")
    panels = sum(len(study.three_layers) for study in studies)
    yield _panels(
        "Importance beside attention, models on one scale",
        "How often the answer breaks when a thought is corrupted, beside its share of the "
        "attention on thoughts. One axis and one scale for all panels.",
        "sc-beside",
        " ".join(map(alternatives.beside, studies)),
        panels,
        lambda fig: plots.importance_beside_attention_by_layer(
            importance, shares, totals=totals, fig=fig
        ),
        wide_height=0.7 + 1.9 * len(studies),
    )
    concentration = stats.concentration(shares).assign_coords(depth=comparison["depth"])
    yield _one(
        "Concentration of attention, models at relative depth",
        "Among how many thoughts attention is spread: 1 where one thought gets all, "
        f"{studies[0].settings['n_thoughts']} where all get the same.",
        "sc-concentration",
        " ".join(map(alternatives.concentration, studies)),
        lambda: plots.concentration_by_layer(concentration.sel(measure="effective_number")),
    )


def _of_one(study: Study) -> Iterator[Sketch]:
    """Draw what several studies show in one figure, and one shows alone."""
    layers = study.three_layers
    totals = study.sequence_attention.sum("thought", skipna=False)
    yield _panels(
        "Importance beside attention",
        "How often the answer breaks when a thought is corrupted, beside the thought's share of "
        "the attention on thoughts; an early, a middle and the last layer on one scale.",
        "sc-beside",
        alternatives.beside(study),
        len(layers),
        lambda fig: plots.importance_beside_attention_by_layer(
            study.importance, study.shares, totals=totals, layers=layers, fig=fig
        ),
    )
    yield _one(
        "Concentration of attention",
        "Among how many thoughts attention is spread: 1 where one thought gets all, "
        f"{study.settings['n_thoughts']} where all get the same.",
        "sc-concentration",
        alternatives.concentration(study),
        lambda: plots.concentration_by_layer(study.concentration.sel(measure="effective_number")),
    )


def _of_each(study: Study, prefix: str) -> Iterator[Sketch]:
    layers = study.three_layers
    chosen = study.correlations.sel(estimand=ESTIMANDS)
    by_corruption = stats.importance(study.effects, by="corruption").assign_attrs(model=study.name)
    yield _panels(
        "Attention against importance",
        "Each point is one thought of one problem. Points are spread a little, up and down, so "
        "that density can be seen. The band is a 95 % interval over problems.",
        f"{prefix}-against",
        alternatives.against(study),
        len(layers),
        lambda fig: plots.attention_against_importance(
            study.shares,
            study.failure,
            chosen,
            line=stats.fitted_line(study.shares, study.failure),
            layers=layers,
            fig=fig,
        ),
        wide_height=2.7,
        shared="x",
    )
    yield _one(
        "Importance by thought",
        "How often the answer breaks when the thought is corrupted: mean over corruptions, with "
        "95 % intervals over problems.",
        f"{prefix}-importance",
        alternatives.importance(study),
        lambda: plots.importance_by_thought(study.importance),
        shared="y",
    )
    yield _one(
        "Importance by corruption",
        "The same for each corruption alone. Strong corruptions leave what the model has learnt; "
        "weak ones may not be noticed.",
        f"{prefix}-corruption",
        alternatives.corruptions(study),
        lambda: plots.importance_by_corruption(by_corruption),
        shared="x",
    )
    yield _one(
        "Attention by layer",
        f"The share of each thought in the attention on thoughts from {study.query}, mean over "
        "heads and problems.",
        f"{prefix}-layers",
        alternatives.shares(study),
        lambda: plots.attention_by_layer(study.shares),
    )
    yield _one(
        "Correlation of attention and importance by layer",
        "Within problems: does the thought that gets more than usual matter more than usual? "
        "Pooled: all points together, which mixes differences between problems, between thoughts "
        "and within problems.",
        f"{prefix}-correlation",
        alternatives.correlations(study),
        lambda: plots.correlation_by_layer(chosen),
        shared="y",
    )


def _one(
    title: str, caption: str, prefix: str, words: str, draw: Draw, shared: Along | None = None
) -> Sketch:
    return Sketch(title, caption, words, {prefix: draw}, shared)


def _panels(
    title: str,
    caption: str,
    prefix: str,
    words: str,
    n_panels: int,
    draw: Callable[[Any], Any],
    wide_height: float = 2.6,
    shared: Along | None = None,
) -> Sketch:
    draws = {
        f"{prefix}-wide": lambda: draw(figure(plots.PAGE, wide_height)),
        f"{prefix}-narrow": lambda: draw(figure(plots.COLUMN, 0.9 + 1.9 * n_panels)),
    }
    return Sketch(title, caption, words, draws, shared)
