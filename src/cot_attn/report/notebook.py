"""The page inside a notebook, in a frame of its own.

A frame and not a widget (anywidget): it needs no further package and no running kernel, so that it
is still there in a notebook that is sent, on GitHub's viewers aside, and in what nbconvert makes of
it; its styles, scripts and Content-Security-Policy are its own, and so are the notebook's; and it
is the very page that `report` writes. What is given up: a choice made in it does not come back to
Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cot_attn.models import Run
from cot_attn.recording import AttentionRecorder
from cot_attn.report._numbers import listed
from cot_attn.report._run import page_of_run
from cot_attn.report.page import render
from cot_attn.study.results import Study

HEIGHT = 640
# An address within the page leads to the page, and not to the notebook that it stands in.
HEAD, BASE = "<head>", '<head>\n<base href="about:srcdoc">'


@dataclass(frozen=True, repr=False)
class View:
    """A page that a notebook shows when it is the last line of a cell.

    Attributes
    ----------
    title
        What is shown.
    page
        The page as HTML, which needs nothing from a network.
    height
        How high its frame is in a notebook, in pixels.

    Examples
    --------
    >>> View("toy-gpt2", "<html><head></head><p>r < 1</p></html>")
    View('toy-gpt2', 38 bytes): the last line of a notebook's cell shows it
    """

    title: str
    page: str
    height: int = HEIGHT

    def _repr_html_(self) -> str:
        frame = Markup(
            '<iframe title="{}" srcdoc="{}" sandbox="allow-scripts allow-downloads allow-popups" '
            'style="width:100%; height:{}px; border:1px solid #8888; border-radius:.3em"></iframe>'
        )
        return str(frame.format(self.title, self.page.replace(HEAD, BASE, 1), self.height))

    def __repr__(self) -> str:
        size = len(self.page.encode(errors="replace"))
        written = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"
        return f"View({self.title!r}, {written}): the last line of a notebook's cell shows it"


def show(run: Run, recorder: AttentionRecorder, query: str = "answer_value") -> View:
    """Show in a notebook whom a run attended to: all layers on average, then problem by problem.

    Parameters
    ----------
    run
        What the model did.
    recorder
        What recorded it.
    query
        Whose attention: by default that of the position that predicts the answer's value.

    Raises
    ------
    TypeError
        Where the recorder is not an `AttentionRecorder`.
    ValueError
        Where it recorded another run, a problem twice, or not this query.

    Examples
    --------
    >>> from cot_attn import AttentionRecorder, ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> with AttentionRecorder(model) as recorder:
    ...     run = model.run(load_problems("toy", n=6), max_new_tokens=8)
    >>> show(run, recorder)
    View('toy-gpt2: 6 problems', ...): the last line of a notebook's cell shows it
    """
    return View(*page_of_run(run, recorder, query))


def show_studies(studies: Sequence[Study]) -> View:
    """Show one study, or several that were made alike, in a notebook: what `write_report` writes.

    A notebook grows by the size of the page, about a megabyte a study.
    """
    return View(listed(study.name for study in studies), render(studies))
