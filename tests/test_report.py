"""The report is one page that needs nothing else and says its numbers in words."""

import json
import re
import shlex
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from markupsafe import Markup
from typer.testing import CliRunner

import chromium
from conftest import not_laid_out
from cot_attn import report
from cot_attn.cli import app
from cot_attn.data import Problem, load_problems
from cot_attn.interventions import GaussianNoise, Resample, Scale, Zero
from cot_attn.models import ContinuousThoughtModel
from cot_attn.report import _drawing, page
from cot_attn.report.catalogue import CATALOGUE
from cot_attn.report.figure import Figure, Results
from cot_attn.study import Study, run_study
from cot_attn.study._display import study_tables
from cot_attn.study._export import write_summary
from cot_attn.study._naming import file_name
from cot_attn.toy.handmade import handmade_model, handmade_problems

pytestmark = pytest.mark.slow

WEIGHTS = (1, 2, 8, 1, 3, 1)
SCRIPT = "<script>alert('&')</script>"
PANEL_BY_THOUGHT = "attention_against_importance_within_problems"
VOID = {"meta", "link", "br", "hr", "img", "input"}
MOST_BYTES = 5_000_000


class Page(HTMLParser):
    """What a browser would make of the page: elements with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def study() -> Study:
    problems = [*handmade_problems(20, WEIGHTS), Problem("wrong", "take the digit 3", "3")]
    model = handmade_model(WEIGHTS)
    return run_study(model, problems, corruptions=[Zero(), Resample()], max_new_tokens=4)


@pytest.fixture(scope="module")
def hostile(study: Study) -> Study:
    """A study whose model and questions try to be markup."""
    name = f"zoo/{SCRIPT}"
    problems = [Problem(p.id, f"{SCRIPT} {p.question}", p.answer) for p in study.problems]
    attention, effects = (
        data.assign_attrs(model=name) for data in (study.attention, study.effects)
    )
    return Study(attention, effects, tuple(problems), {**study.settings, "model": name})


@pytest.fixture(scope="module")
def pages(study: Study, hostile: Study) -> dict[str, str]:
    other = {**hostile.settings, "model": "other"}
    again = Study(hostile.attention, hostile.effects, hostile.problems, other)
    of_all = page.figures
    with not_laid_out(), pytest.MonkeyPatch.context() as patch:
        one = report.render([study])
        # A panel for each thought takes most of the time; what it adds to a page is on that of one.
        fewer = [each for each in of_all("page of several") if each.name != PANEL_BY_THOUGHT]
        patch.setattr(page, "figures", lambda *places: fewer)
        return {"one": one, "two": report.render([hostile, again])}


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave them out where nothing is said of them; they take long."""
    monkeypatch.setattr(page, "figures", lambda *places: [])


@pytest.fixture(params=["one", "two"])
def text(request: pytest.FixtureRequest, pages: dict[str, str]) -> str:
    return pages[request.param]


def test_every_element_is_closed_and_every_id_is_there_once(text: str) -> None:
    page = Page(text)
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 50


def test_every_link_within_the_page_leads_somewhere(text: str) -> None:
    page = Page(text)
    ids = {attributes.get("id") for _, attributes in page.elements}
    targets = {a["href"] for _, a in page.elements if (a.get("href") or "").startswith("#")}
    targets |= {f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", text)}
    assert len(targets) > 10
    assert {target[1:] for target in targets if target} <= ids


def test_headings_are_in_order(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(text).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(there - here <= 1 for here, there in pairwise(levels))


OWN_SCRIPTS = ["browser-data", "browser-tables", "module"]


def scripts(page: Page) -> list[str | None]:
    return [attributes.get("id") or attributes.get("type") for attributes in page.of("script")]


def test_nothing_comes_from_a_network(text: str) -> None:
    page = Page(text)
    addresses = [a[name] or "" for _, a in page.elements for name in ("src", "href") if name in a]
    elsewhere = [a for a in addresses if re.match(r"//|[a-z]+:(?!image/png;base64,)", a)]
    assert elsewhere == []
    assert "http" not in re.sub(r"base64,[^\"]*|http-equiv|http://www\.w3\.org/[\w/]+", "", text)
    assert "@import" not in text
    assert scripts(page) == OWN_SCRIPTS
    assert not page.of("link")
    assert len(text.encode()) < MOST_BYTES


def test_every_figure_says_its_numbers(text: str, study: Study) -> None:
    drawings = Page(text).of("svg")
    assert len(drawings) >= 8
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert len(re.findall(r"\d+", drawing["aria-label"] or "")) >= 2
    by_thought = next(
        words for d in drawings if (words := d["aria-label"] or "").startswith("Importance by tho")
    )
    for thought in range(6):
        rate = 100 * study.failure.sel(thought=thought).mean().item()
        found = re.search(rf"thought {thought}: ([\d.]+)", by_thought)
        assert found
        assert float(found[1]) == pytest.approx(rate, abs=0.51)


def test_what_stands_side_by_side_has_one_scale(study: Study, monkeypatch: Any) -> None:
    limits: dict[str, list[tuple[float, float]]] = {}
    titles = ("Importance by thought", "Importance by corruption")
    shown = [figure for figure in page.figures("page of several") if figure.title in titles]

    def remember(axes: Any, prefix: str, alternative: str, over: Any) -> Markup:
        title = alternative.partition(".")[0]
        for ax in np.asarray(axes).flat:
            along = ax.get_xlim() if "corruption" in prefix else ax.get_ylim()
            limits.setdefault(title, []).append(along)
        return Markup("<svg></svg>")

    monkeypatch.setattr(_drawing, "inline_svg", remember)
    monkeypatch.setattr(page, "figures", lambda *places: shown)
    failed = study.effects["failed"]
    few = xr.DataArray(np.arange(failed.sizes["problem"]) < 3, dims="problem")
    weaker = study.effects.assign(failed=failed * few)
    other = Study(study.attention, weaker, study.problems, {**study.settings, "model": "other"})
    report.render([study, other])
    for title in titles:
        assert len(limits[title]) == 2
        assert limits[title][0] == limits[title][1]


def test_every_table_has_a_caption_and_scopes(text: str) -> None:
    page = Page(text)
    assert len(page.of("table")) == len(page.of("caption")) >= 5
    assert {cell.get("scope") for cell in page.of("th")} <= {"row", "col", "colgroup"}


def test_a_name_or_a_question_with_markup_is_text(pages: dict[str, str]) -> None:
    text = pages["two"]
    assert scripts(Page(text)) == OWN_SCRIPTS
    shown = "".join(data for _, data in Page(text).texts)
    assert shown.count(SCRIPT) > 10


def test_questions_run_in_the_direction_of_their_script(text: str) -> None:
    cells = [a for tag, a in Page(text).elements if tag in ("td", "th") and "dir" in a]
    assert len(cells) >= 4 * 8  # question, steps, right answer and the model's
    assert {cell["dir"] for cell in cells} == {"auto"}


@pytest.mark.usefixtures("figures_not_laid_out")
def test_wrong_answers_to_problems_of_unknown_difficulty_make_a_page_too(tmp_path: Path) -> None:
    wrong = [Problem(f"w{i}", f"take the digit {i}", str(9 - i)) for i in range(4)]
    study = run_study(handmade_model(WEIGHTS), wrong, corruptions="zero", max_new_tokens=4)
    assert study.n_correct == 0
    assert not study.knows_difficulty
    assert "importance_by_difficulty" not in dict(study.tables())
    assert len(list(study_tables(study))) == 3
    text = report.render([study])
    assert "Nothing can be said about its thoughts" in text
    assert np.isnan(study.correlations["estimate"]).all()
    write_summary(study, tmp_path)
    written = (tmp_path / "summary.json").read_text()
    read = json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["noise_floor"]["kl_first"] is None


def test_checks_come_first_and_what_failed_before_what_passed(text: str, study: Study) -> None:
    titles = re.findall(r'<h2 id="(\w+)"', text)
    assert titles[:3] == ["checks", "finding", "figures"]
    section = text[text.index('id="checks"') : text.index('id="finding"')]
    places = {check.status: section.index(f'<li class="{check.status}"') for check in study.checks}
    assert sorted(places, key=lambda status: places[status]) == [
        status for status in ("fail", "warn", "pass") if status in places
    ]
    assert section.index("<details>") < places["pass"]


@pytest.mark.usefixtures("figures_not_laid_out")
def test_each_figure_is_drawn_once_for_page_and_files_and_few_are_open(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Counter[str] = Counter()
    most_open = 0

    def counting(figure: Figure) -> Figure:
        def draw(results: Results, **place: Any) -> Any:
            nonlocal most_open
            drawn[figure.file(results)] += 1
            axes = figure.draw(results, **place)
            most_open = max(most_open, len(plt.get_fignums()))
            return axes

        return replace(figure, draw=draw)

    panels = "importance_beside_attention_by_layer"
    few = {"importance_by_thought", panels, "correlation_by_thought"}
    chosen = [counting(figure) for figure in CATALOGUE if figure.name in few]
    monkeypatch.setattr(page, "figures", lambda *places: chosen)
    plt.close("all")
    report.write_report([study], tmp_path, formats=["svg"])
    assert drawn.pop(panels) == 2  # for a phone too
    assert set(drawn.values()) == {1}
    assert {f"{name}.svg" for name in drawn} <= {file.name for file in tmp_path.rglob("*.svg")}
    assert most_open == 2
    assert not plt.get_fignums()


@pytest.mark.usefixtures("no_figures")
def test_tables_and_problems_lie_beside_the_page(study: Study, tmp_path: Path) -> None:
    page = study.report(tmp_path / "new" / "folder")
    assert page.name == "report.html"
    links = [a["href"] or "" for a in Page(page.read_text("utf-8")).of("a")]
    files = [link for link in links if not link.startswith("#")]
    assert len(files) >= 5
    assert [file for file in files if not (page.parent / file).is_file()] == []
    table = pd.read_csv(page.parent / "handmade" / "tables" / "importance.csv")
    assert table["estimate"].tolist() == pytest.approx(study.importance["estimate"].values)
    assert load_problems(page.parent / "handmade" / "problems.jsonl") == list(study.problems)


@pytest.mark.usefixtures("no_figures")
def test_of_many_models_each_is_a_row_and_pairs_are_folded(study: Study) -> None:
    names = [f"ladder {size}" for size in (1, 3, 10, 30, 100)]
    many = [
        Study(study.attention, study.effects, study.problems, {**study.settings, "model": name})
        for name in names
    ]
    text = report.render(many)
    finding = text[text.index('id="finding"') : text.index('id="figures"')]
    rows = re.findall(r'<th scope="row">(ladder \d+)</th>(.*?)</tr>', finding, re.DOTALL)
    assert [name for name, _ in rows] == names
    cells = re.findall(r"<td[^>]*>([^<]+)</td>", rows[0][1])
    assert float(cells[0]) == pytest.approx(100 * study.accuracy, abs=0.51)
    importance = [float(cell) for cell in cells[1:7]]
    assert importance == pytest.approx(100 * study.importance["estimate"].values, abs=0.51)
    assert "The 10 pairs of models, one by one" in finding


@pytest.mark.usefixtures("no_figures")
def test_every_table_that_is_written_is_linked(study: Study, tmp_path: Path) -> None:
    page = study.report(tmp_path)
    links = {a["href"] for a in Page(page.read_text("utf-8")).of("a")}
    written = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.csv")}
    assert len(written) >= 8
    assert written <= links


def test_every_figure_of_a_page_is_a_file_too() -> None:
    on_pages = [*page.figures("page of one"), *page.figures("page of several")]
    assert len(on_pages) >= 20
    assert [figure.name for figure in on_pages if "files" not in figure.targets] == []


def test_a_text_in_the_place_of_a_figure_begins_with_a_number_of_what_is_seen(text: str) -> None:
    for drawing in Page(text).of("svg"):
        title, told = (drawing["aria-label"] or "").split(". ", 1)
        gist = re.split(r"\. (?=[A-Z])", told)[0]
        assert re.search(r"\d", gist), f"{title}: {gist}"
        assert not gist.endswith(("ercent", "layer 0")), f"{title}: {gist}"


def test_a_report_leaves_another_study_and_other_problems_alone(
    study: Study, tmp_path: Path
) -> None:
    other = Study(
        study.attention, study.effects, study.problems, {**study.settings, "started": "1999"}
    )
    other.save(tmp_path / study.name)
    (tmp_path / "mine" / study.name).mkdir(parents=True)
    (tmp_path / "mine" / study.name / "problems.jsonl").write_text('{"id": "a", "question": "?"}')
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(FileExistsError, match=r"has another study in it.*Give another folder"):
        study.report(tmp_path)
    with pytest.raises(FileExistsError, match=r"has other problems in it.*Give another folder"):
        study.report(tmp_path / "mine")
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("no_figures")
def test_a_report_may_lie_in_the_folder_of_its_study_and_in_that_of_an_earlier_report(
    study: Study, tmp_path: Path
) -> None:
    study.save(tmp_path / "saved" / study.name)
    study.report(tmp_path / "saved")
    assert Study.load(tmp_path / "saved" / study.name).settings == study.settings
    fewer = Study(
        study.attention.isel(problem=slice(4)),
        study.effects.isel(problem=slice(4)),
        study.problems[:4],
        {**study.settings, "n_problems": 4},
    )
    fewer.report(tmp_path / "report")
    study.report(tmp_path / "report")
    problems = load_problems(tmp_path / "report" / study.name / "problems.jsonl")
    assert problems == list(study.problems)


@pytest.mark.usefixtures("no_figures")
def test_an_interrupted_report_leaves_the_old_page(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = study.report(tmp_path)
    before = page.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study.report(tmp_path)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["handmade", "report.html"]


@pytest.mark.usefixtures("no_figures")
def test_the_command_on_the_page_asks_for_the_same_study(study: Study) -> None:
    settings = {**study.settings, "corruptions": ["zero"], "seed": 3, "query": "thought 0"}
    settings["source"] = {"name_or_path": "handmade"}
    zero = Study(study.attention, study.effects.sel(corruption=["zero"]), study.problems, settings)
    text = report.render([zero])
    assert "cot-attn study handmade --problems handmade/problems.jsonl --n 21" in text
    assert "--query &#39;thought 0&#39; --seed 3" in text


LINES = re.compile(r"<pre[^>]*><code>(.*?)</code></pre>", re.DOTALL)


HOSTILE = 'it\'s a "model" & [bold]é $HOME'


@pytest.mark.parametrize(
    ("name", "options"),
    [(HOSTILE, {}), (HOSTILE[::-1], {"n_thoughts": 4, "dtype": "float64"})],
)
@pytest.mark.usefixtures("no_figures", "no_noise_floor")
def test_the_lines_on_the_page_make_the_same_study_again(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade_model(WEIGHTS).save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    model = ContinuousThoughtModel.from_pretrained(name, **options)
    own = [GaussianNoise(0.5, relative=True), Scale(-1.0), Resample()]
    studies = [
        run_study(model, handmade_problems(6, WEIGHTS), max_new_tokens=4, **how)
        for how in (
            {"corruptions": "zero", "layers": [-1], "query": "eot", "seed": 2},
            {"corruptions": own, "downstream": "frozen", "outcomes": ["failed", "answer"]},
        )
    ]
    for study in studies:
        written = study.report(tmp_path / f"report of {name}")
        monkeypatch.chdir(written.parent)  # where the page says that its problems are
        blocks = [unescape(block) for block in LINES.findall(written.read_text("utf-8"))]
        made: dict[str, Any] = {}
        exec(blocks[-1], made)
        assert made["model"].checkpoint == study.settings["checkpoint"]
        again = made["study"]
        changed = {"started", "seconds"}
        for key in study.settings.keys() - changed:
            assert again.settings[key] == study.settings[key], key
        xr.testing.assert_equal(again.effects, study.effects)
        xr.testing.assert_equal(again.attention, study.attention)
        by_command = study is studies[0] and not options
        assert len(blocks) == 1 + by_command
        if by_command:
            words = shlex.split(blocks[0])
            assert words[:1] == ["cot-attn"]
            result = CliRunner().invoke(app, [*words[1:], "--out", "again"])
            assert result.exit_code == 0, result.output
            loaded = Study.load(Path("again") / file_name(study.name))
            ids = study.effects["problem"].values  # a sample is in another order
            for name in ("attention", "effects"):
                there = getattr(loaded, name).sel(problem=ids)
                for variable, values in getattr(study, name).data_vars.items():
                    if values.dtype.kind in "OT":
                        assert there[variable].values.tolist() == values.values.tolist()
                    else:
                        np.testing.assert_allclose(there[variable], values, atol=1e-5)


def test_a_model_made_in_memory_is_not_passed_off_as_one_that_can_be_loaded(
    pages: dict[str, str],
) -> None:
    text = pages["one"]
    assert "cot-attn study" not in text
    assert "from_pretrained(" not in text
    assert "made in memory" in text


@pytest.mark.usefixtures("figures_not_laid_out")
def test_a_study_in_which_no_answer_has_a_value_makes_a_page_too(
    study: Study, tmp_path: Path
) -> None:
    attention = study.attention.copy(deep=True)
    attention["attention"].loc[{"query": "answer_value"}] = np.nan
    valueless = Study(attention, study.effects, study.problems, study.settings)
    valueless.save(tmp_path / valueless.name)
    write_summary(valueless, tmp_path)
    page = report.write_report([valueless], tmp_path, formats=["svg"])
    assert "No value was found in the answers" in page.read_text("utf-8")


def test_two_studies_whose_folders_would_be_one_are_refused(study: Study) -> None:
    one, other = (
        Study(study.attention, study.effects, study.problems, {**study.settings, "model": name})
        for name in ("a/b", "A_B")
    )
    with pytest.raises(ValueError, match=r"folder of the model 'A_B'.*that of 'a/b'"):
        report.render([one, other])


def test_no_study_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        report.render([])


OPEN_ALL = "document.querySelectorAll('details').forEach(node => node.open = true)"


def test_a_browser_shows_the_page_on_a_phone_and_a_desk(
    pages: dict[str, str], tmp_path: Path
) -> None:
    browser = chromium.start(tmp_path / "profile")
    page = tmp_path / "report.html"
    page.write_text(pages["one"], "utf-8")
    try:
        browser.get(page.as_uri())
        for width in (390, 768, 1280):
            for scheme in ("light", "dark"):
                chromium.resize(browser, width, 900, scheme)
                wide, paper, card, drawings = browser.execute_script(
                    """const colour = node => getComputedStyle(node).backgroundColor;
                    return [document.documentElement.scrollWidth, colour(document.body),
                        colour(document.querySelector('.card')),
                        [...document.querySelectorAll('svg')]
                            .map(svg => svg.getBoundingClientRect().width).filter(w => w > 0)]"""
                )
                assert wide <= width
                browser.execute_script(OPEN_ALL)
                assert browser.execute_script(chromium.LEAST_CONTRAST, "body") >= 4.5
                assert card == "rgb(255, 255, 255)"
                brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
                assert (brightness < 80) == (scheme == "dark")
                assert len(drawings) == 9
                assert min(drawings) > 250
        assert browser.get_log("browser") == []
        browser.find_element("tag name", "body").send_keys("\ue004")  # Tab
        assert browser.switch_to.active_element.text == "Skip to the report"
        outline = "return getComputedStyle(document.activeElement).outlineStyle"
        assert browser.execute_script(outline) == "solid"
        size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_script("document.documentElement.style.fontSize = '200%'")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.quit()
