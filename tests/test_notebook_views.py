"""What a notebook shows of a study, a run and a load report: small, with its numbers, only text."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

import cot_attn.report.page as page
from cot_attn import AttentionRecorder, ContinuousThoughtModel, Problem, Study, run_study, stats
from cot_attn.checkpoints.report import LoadReport
from cot_attn.models import Run
from cot_attn.report import View, show
from cot_attn.toy.handmade import handmade_model, handmade_problems
from simulated_results import attention, effects

HOSTILE = '</td></table><script>alert("&")</script><img src=x onerror=alert(1)> \u202e \u0301'
MOST_BYTES = 20_000


class Seen(HTMLParser):
    """The tags and the text of a fragment; every tag that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        assert self.tags <= {"div", "strong", "br", "table", "thead", "tbody", "tr", "th", "td"}
        assert len(html.encode()) < MOST_BYTES

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def study() -> Study:
    recorded, broken = attention(), effects()
    problems = tuple(Problem(str(name), HOSTILE, "1") for name in recorded["problem"].values)
    settings = {"model": HOSTILE, "query": "answer_value", "seed": 0}
    return Study(recorded, broken, problems, settings)


@pytest.fixture(scope="module")
def run() -> Run:
    return handmade_model((1, 2, 8)).run(handmade_problems(9, (1, 2, 8)), max_new_tokens=4)


def test_a_study_shows_importance_and_share_of_each_thought_and_what_to_mind(study: Study) -> None:
    seen = Seen(study._repr_html_())
    assert HOSTILE in seen.text
    failed = study.effects["failed"].mean("corruption").mean("problem")
    shares = study.shares.mean("problem")
    for thought in range(6):
        row = re.search(rf"<tr><td[^>]*>{thought}</td>(.*?)</tr>", study._repr_html_())
        assert row
        numbers = re.findall(r">([\d.]+)</td>", row[1])
        assert float(numbers[0]) == pytest.approx(100 * failed.values[thought], abs=0.51)
        shown = [float(number) for number in numbers[1:]]
        assert shown == pytest.approx(100 * shares.sel(thought=thought).values, abs=0.51)
    for check in study.checks:
        assert (check.message in seen.text) == (check.status != "pass")


def test_a_run_shows_its_first_answers_and_how_many_are_right(run: Run) -> None:
    wrong = replace(run.problems[0], question=HOSTILE, answer="1000")
    bare = replace(run.problems[1], question="w " * 20_000, answer=None)
    seen = Seen(replace(run, problems=(wrong, bare, *run.problems[2:]))._repr_html_())
    assert "3 thoughts of width" in seen.text
    assert "7 answers right, 1 wrong, 1 without a gold answer" in seen.text
    assert HOSTILE in seen.text
    assert run.answers[5] in seen.text
    assert run.problems[6].question not in seen.text


def test_a_load_report_shows_its_source_and_its_files() -> None:
    said = {"n_thoughts": 6, "note": HOSTILE}
    report = LoadReport(
        f"zoo/{HOSTILE}", "codi", {Path("model.safetensors"): "0f" * 32}, settings=said
    )
    seen = Seen(report._repr_html_())
    assert f"zoo/{HOSTILE}" in seen.text
    assert HOSTILE in seen.text.partition("n_thoughts=6")[2]
    assert "model.safetensors (SHA-256 0f0f" in seen.text


def test_a_study_without_any_right_answer_is_shown_too(study: Study) -> None:
    nothing = study.effects.assign(failed=study.effects["failed"] * np.nan)
    nothing["baseline_correct"] = nothing["baseline_correct"] & False
    shown = Study(study.attention, nothing, study.problems, study.settings)._repr_html_()
    assert "n/a" in Seen(shown).text


@pytest.mark.slow
def test_the_bundled_models_report_says_which_checks_passed() -> None:
    report = ContinuousThoughtModel.from_pretrained("toy-gpt2").load_report
    seen = Seen(report._repr_html_())
    assert "attention rows sum to 1" in seen.text


# The page in a frame -----------------------------------------------------------------------------


class Frame(HTMLParser):
    """The one frame of a view; what stands in it, unescaped."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.frame: dict[str, str | None] = {}
        self.feed(view._repr_html_())
        self.close()
        assert self.tags == ["iframe"]
        self.page = self.frame["srcdoc"] or ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.frame = dict(attrs)


def test_a_page_cannot_leave_its_frame() -> None:
    page = f'<html><head></head><body class="a">{HOSTILE}</iframe></body></html>'
    frame = Frame(View(f'"{HOSTILE}', page))
    assert frame.page == page.replace("<head>", '<head>\n<base href="about:srcdoc">')
    assert frame.frame["title"] == f'"{HOSTILE}'
    assert frame.frame["sandbox"] == "allow-scripts allow-downloads allow-popups"


@pytest.fixture(scope="module")
def recorded() -> tuple[Run, AttentionRecorder]:
    model = handmade_model((1, 2, 8))
    with AttentionRecorder(model) as recorder:
        run = model.run(handmade_problems(5, (1, 2, 8)), max_new_tokens=4)
    return run, recorder


@pytest.mark.slow
def test_a_run_is_shown_with_the_share_of_each_thought_in_each_problem(
    recorded: tuple[Run, AttentionRecorder],
) -> None:
    run, recorder = recorded
    hostile = replace(run.problems[1], question=HOSTILE)
    page = show(replace(run, problems=(run.problems[0], hostile, *run.problems[2:])), recorder).page
    assert "<script" not in page
    assert escape(HOSTILE) in page
    share = stats.share(recorder.dataset(), "answer_value").mean("head")
    tables = re.findall(r"<tbody>.*?</tbody>", page, re.S)
    for problem, table in zip(run.problems, tables, strict=True):
        numbers = [float(number) for number in re.findall(r"<td[^>]*>([\d.]+)</td>", table)]
        wanted = 100 * share.sel(problem=problem.id).values.ravel()
        assert numbers == pytest.approx(wanted, abs=0.51)
    assert page.count("(right)") == 5


def test_a_recorder_that_saw_something_else_is_refused(
    recorded: tuple[Run, AttentionRecorder],
) -> None:
    run, recorder = recorded
    with pytest.raises(TypeError, match="AttentionRecorder"):
        show(run, run)  # type: ignore[arg-type]
    other = replace(run.problems[0], id="another")
    with pytest.raises(ValueError, match="nothing of 1 of the run's 5 problems, such as 'another'"):
        show(replace(run, problems=(other, *run.problems[1:])), recorder)


@pytest.mark.slow
def test_a_study_is_shown_as_its_page_and_links_to_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "figures", lambda *places: [])
    model, problems = handmade_model((1, 2, 8)), handmade_problems(6, (1, 2, 8))
    view = run_study(model, problems, corruptions="zero", max_new_tokens=4).show()
    assert "<h1>handmade" in view.page
    links = re.findall(r'<a [^>]*href="([^"]*)"', view.page)
    assert links
    assert {link[0] for link in links} == {"#"}
