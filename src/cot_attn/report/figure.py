"""What a catalogue says of a figure, and what a figure is drawn from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import xarray as xr

from cot_attn.study.comparison import compare
from cot_attn.study.results import Study

Target = Literal["page of one", "page of several", "files", "gallery"]
"""Where a figure stands; `page of several` is the page on which models stand side by side."""
Scope = Literal["model", "breakable", "layer", "models", "readouts", "other"]
"""Of what there is one figure: each model, each that answered anything right, each model's layers,
all models, each model whose states were read, or something else."""


@dataclass(frozen=True, eq=False)
class Results:
    """What one figure is drawn from.

    Attributes
    ----------
    studies
        The study that it shows, or several that were made alike.
    layer
        The layer that it shows, if it shows one.
    other
        What a figure shows that no study alone holds.
    """

    studies: tuple[Study, ...]
    layer: int | None = None
    other: Any = None

    @property
    def study(self) -> Study:
        """The study, or the first of several."""
        return self.studies[0]

    @property
    def n_panels(self) -> int:
        """How many panels a figure has that shows some layers of each model."""
        return sum(len(study.shown_layers) for study in self.studies)

    @cached_property
    def together(self) -> xr.Dataset:
        """The studies side by side; see `compare`."""
        return compare(self.studies)


@dataclass(frozen=True)
class Figure:
    """An entry of the catalogue.

    Attributes
    ----------
    name
        What its files are called; where there is one for each layer, that is added.
    plot
        The function of `cot_attn.plots` that draws it.
    title, caption
        What stands above and below it; a caption may name settings of the study in braces.
    words
        What it shows, in words and numbers, for those who do not see it.
    draw
        Draws it, given results and, if it is not to be on a figure of its own, a place as the
        functions of `cot_attn.plots` take it: `ax=` or `fig=`.
    scope
        Of what there is one.
    targets
        Where it stands.
    panels
        Whether it has several panels, which on a phone stand one above the other.
    wide
        Whether one panel needs the width of the page.
    of_study
        What of a study a figure of another scope shows, or None where it has nothing of the kind.
    rows
        Of what a figure of several panels has a row each on a phone.
    shared
        Which axis has the same limits for all models that stand side by side.
    """

    name: str
    plot: str
    title: str
    caption: str
    words: Callable[[Results], str]
    draw: Callable[..., Any]
    scope: Scope
    targets: frozenset[Target]
    panels: bool = False
    wide: bool = False
    rows: Literal["layers", "thoughts"] = "layers"
    shared: Literal["x", "y"] | None = None
    of_study: Callable[[Study], Any] | None = None

    def of(
        self, studies: Sequence[Study], others: Mapping[str, Any] = MappingProxyType({})
    ) -> list[Results]:
        """Return what each figure of this kind is drawn from; nothing where it does not apply.

        Parameters
        ----------
        studies
            One, or several that were made alike.
        others
            What no study holds, by the name of the figure that shows it.
        """
        match self.scope:
            case "models" if len(studies) > 1:
                return [Results(tuple(studies))]
            case "model":
                return [Results((study,)) for study in studies]
            case "breakable":
                return [Results((study,)) for study in studies if study.n_correct]
            case "layer":
                return [Results((s,), layer) for s in studies for layer in s.shown_layers]
            case "readouts":
                return [Results((study,)) for study in studies if study.readouts is not None]
            case "other" if self.name in others:
                return [Results(tuple(studies), other=others[self.name])]
            case "other" if self.of_study is not None:
                shown = [(study, self.of_study(study)) for study in studies]
                return [Results((study,), other=what) for study, what in shown if what is not None]
        return []

    def file(self, results: Results) -> str:
        """Return what the figure's files are called, without a suffix."""
        return self.name if results.layer is None else f"{self.name}_layer_{results.layer}"

    def height_on_phone(self, results: Results) -> float:
        """Return how high a figure of several panels is in inches, one above the other."""
        if self.rows == "thoughts":
            return 0.9 + 0.75 * results.study.shares.sizes["thought"]
        return 0.9 + 1.9 * results.n_panels

    def alternative(self, results: Results) -> str:
        """Return the text that stands for the figure."""
        return f"{self.title}. {self.words(results)}"

    def below(self, results: Results) -> str:
        """Return the caption."""
        return self.caption.format(**results.study.settings)
