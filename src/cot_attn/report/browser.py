"""The problem browser: one problem after the other, as a page of its own or within the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup

from cot_attn.report._browser.assets import policy, script, style
from cot_attn.report._browser.content import as_json, content
from cot_attn.report._numbers import listed
from cot_attn.report._templates import template
from cot_attn.study.results import Study


@dataclass(frozen=True, eq=False)
class Browser:
    """What a page holds of the problem browser."""

    studies: tuple[Study, ...]
    in_report: bool = False

    @cached_property
    def content(self) -> dict[str, Any]:
        """What its script reads."""
        return content(self.studies)

    @property
    def notes(self) -> list[str]:
        """What is to be known of its numbers: where they are from, and what is left out."""
        steps = self.content["steps"]
        words = (
            "The record sums attention over all words of the question: they are one column, and "
            "PositionRecorder records single words. The answer: its words before its value."
        )
        rounded = (
            f"Attention is told in steps of {100 / steps:g} %, ranks up to {steps}; unrounded, "
            "both are in the study that Study.load reads."
        )
        return [*filter(None, map(_chosen, self.content["studies"])), words, rounded]

    @property
    def json(self) -> Markup:
        """The same, as it stands in the page."""
        return Markup(as_json(self.content))

    @property
    def script(self) -> Markup:
        """Its script."""
        return Markup(script())

    @property
    def style(self) -> Markup:
        """Its style."""
        return Markup(style())

    @cached_property
    def page_style(self) -> Markup:
        """The style of the page that it stands in."""
        return Markup(template("report.css").render())

    @property
    def policy(self) -> str:
        """What the page may run and load: these, and nothing else."""
        return policy([self.script], [self.page_style, self.style])


def problem_browser(study: Study | Sequence[Study]) -> str:
    """Return the problem browser of a study as one HTML document that needs nothing else.

    It shows one problem at a time, or two side by side: to what each position of the run attends
    at every layer and head, what it reads as, what breaks when it is corrupted, and what is
    answered after fewer thoughts, as far as the study has it. Of a study with very many problems
    it has those that tell most, and says so.

    Parameters
    ----------
    study
        One study, or several that were made alike.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> study = run_study(model, load_problems("toy", n=6), corruptions="zero", layers=[-1])
    >>> problem_browser(study)[:15]
    '<!doctype html>'
    """
    studies = (study,) if isinstance(study, Study) else tuple(study)
    page = template("browser/alone.html")
    return page.render(names=listed(each.name for each in studies), browser=Browser(studies))


def _chosen(study: dict[str, Any]) -> str | None:
    """Say which problems of a study are shown, where not all are."""
    of = {
        "wrong": "answered wrong",
        "broken": "that corruptions break most often",
        "drawn": f"drawn from the rest (seed {study['seed']})",
    }
    chosen = [
        f"{study['chosen'][why]} {said}" for why, said in of.items() if why in study["chosen"]
    ]
    if not chosen:
        return None
    n = len(study["problems"])
    return f"{study['name']}: {n} of {study['n']} problems, {listed(chosen)}."
