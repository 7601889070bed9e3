"""Figures of the catalogue, drawn: on the page as SVG, beside it as files.

What stands side by side on the page is open at a time, one figure a model, and closed before
anything else is drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup

from cot_attn import plots
from cot_attn._writing import saying_what_failed
from cot_attn.report._linked import LINKED, Linked, link
from cot_attn.report._svg import figure_of, inline_svg
from cot_attn.report.catalogue import figures
from cot_attn.report.figure import Figure, Results
from cot_attn.study._naming import COMPARISON, file_name
from cot_attn.study.results import Study

FOLDER = "figures"
FORMATS = ("png", "pdf")


@dataclass(frozen=True)
class Drawn:
    """A figure, drawn of each of some results, and open."""

    figure: Figure
    results: tuple[Results, ...]
    axes: tuple[Any, ...]


@dataclass(frozen=True)
class Picture:
    """One figure on the page: for a wide one, and where it has several panels, for a phone too."""

    caption: str
    models: tuple[str, ...]
    wide: Markup
    narrow: Markup | None = None


@dataclass(frozen=True)
class Topic:
    """Pictures of the same thing, one a model."""

    title: str
    pictures: tuple[Picture, ...]
    name: str = ""
    wide: bool = False
    """Whether the pictures need the width of the page."""
    tables: tuple[str, ...] = ()
    """Which tables of a study have the numbers."""


def drawn(studies: Sequence[Study], kinds: Iterable[Figure]) -> Iterator[Drawn]:
    """Draw one thing after the other; each is closed when the next is asked for."""
    for figure in kinds:
        results = figure.of(studies)
        side_by_side = [[each] for each in results]
        if figure.scope in ("model", "breakable", "readouts", "other"):
            side_by_side = [results] if results else []
        for shown in side_by_side:
            with _opened(figure, shown) as open_figures:
                yield open_figures


def topic(shown: Drawn) -> Topic:
    """Return what was drawn as it stands on the page, models side by side on one scale."""
    drawings = [_on_page(shown, "wide")]
    if shown.figure.panels:
        with _opened(shown.figure, shown.results, width=plots.COLUMN) as narrow:
            drawings.append(_on_page(narrow, "narrow"))
    pictures = [
        Picture(shown.figure.below(results), _models(results), *versions)
        for results, *versions in zip(shown.results, *drawings, strict=True)
    ]
    wide = shown.figure.panels or shown.figure.wide
    tables = LINKED.get(shown.figure.name, Linked()).tables
    return Topic(shown.figure.title, tuple(pictures), shown.figure.name, wide, tables)


def _models(results: Results) -> tuple[str, ...]:
    return tuple(study.name for study in results.studies)


def save_beside_page(shown: Drawn, folder: Path, formats: Sequence[str]) -> None:
    """Write what was drawn beside the page: into each model's folder, or into that of all."""
    for results, axes in zip(shown.results, shown.axes, strict=True):
        target = folder / COMPARISON
        if shown.figure.scope != "models":
            target = folder / file_name(results.study.name) / FOLDER
        _save(shown.figure.file(results), axes, target, formats)


def write_figures(
    study: Study, folder: str | PathLike[str], formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Draw a study's figures into a folder.

    Parameters
    ----------
    study
        What is drawn.
    folder
        Where to write; made if it is not there.
    formats
        Suffixes: "png", "pdf", "svg".

    Returns
    -------
    list of Path
        The files.

    Examples
    --------
    >>> import tempfile
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> study = run_study(model, load_problems("toy", n=6), corruptions="zero", layers=[-1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in write_figures(study, folder, ["svg"])][:2]
    ['importance_beside_attention_by_layer.svg', 'concentration_by_layer.svg']
    """
    written = []
    for shown in drawn([study], figures("files")):
        for results, axes in zip(shown.results, shown.axes, strict=True):
            written += _save(shown.figure.file(results), axes, Path(folder), formats)
    return written


@contextmanager
def _opened(
    figure: Figure, results: Sequence[Results], width: float | None = None
) -> Iterator[Drawn]:
    """Draw a figure of each of some results, as wide as it is or on a column; close it again."""
    with ExitStack() as stack:
        axes = []
        for each in results:
            # One panel above the other.
            size = None if width is None else (width, figure.height_on_phone(each))
            place = {} if size is None else {"fig": plots.figure(*size)}
            axes.append(figure.draw(each, **place))
            stack.callback(plt.close, figure_of(axes[-1]))
        yield Drawn(figure, tuple(results), tuple(axes))


def _save(name: str, axes: Any, folder: Path, formats: Sequence[str]) -> list[Path]:
    with saying_what_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return plots.save(axes, folder / name, formats)


def _on_page(shown: Drawn, width: str) -> list[Markup]:
    """Return drawings for a page, on one scale where there are several."""
    _share_scale(shown)
    linked = LINKED.get(shown.figure.name, Linked())
    return [
        inline_svg(
            axes,
            f"m{i}-{shown.figure.name}-{width}",
            shown.figure.alternative(results),
            partial(link, axes=axes, linked=linked, of=results),
        )
        for i, (results, axes) in enumerate(zip(shown.results, shown.axes, strict=True))
    ]


def _share_scale(shown: Drawn) -> None:
    """Let what stands side by side have the same limits, or a small bar could look large."""
    if along := shown.figure.shared:
        panels = [ax for axes in shown.axes for ax in np.asarray(axes).flat]
        limits = np.array([getattr(ax, f"get_{along}lim")() for ax in panels])
        for ax in panels:
            getattr(ax, f"set_{along}lim")(limits[:, 0].min(), limits[:, 1].max())
