"""What the problem browser shows in a real browser are the study's numbers, joined by label."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import chromium
from cot_attn import report
from cot_attn.data import Problem, load_problems
from cot_attn.interventions import Resample, Zero
from cot_attn.models import ContinuousThoughtModel
from cot_attn.report import page
from cot_attn.report.catalogue import CATALOGUE
from cot_attn.study import Study, run_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

STEP = 100 / 4000  # percent
SHOWN = 0.05 + STEP / 2  # one decimal, of a number in steps
FIGURES = {
    "importance_by_thought",
    "attention_by_layer",
    "correlation_by_layer",
    "importance_by_problem",
}
ENTER = "\ue007"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"
HOSTILE = "</script><script>window.hacked = 1</script>"
ATTRIBUTE = "\"><img src=x onerror='window.hacked = 1'>"
ARABIC = "كم عدد التفاحات؟"
ZALGO = "Z̸̢̨̛̟a̷l̶g̵o̴"


@pytest.fixture(scope="module")
def study() -> Study:
    problems = [*load_problems("toy", n=7), Problem("wrong", "what is 2 plus 2", "100")]
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    corruptions = [Zero(), Resample()]
    return run_study(model, problems, corruptions=corruptions, readouts=True, experiments=["exits"])


@pytest.fixture(scope="module")
def written(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report, with a few of its figures."""
    with pytest.MonkeyPatch.context() as patch:
        few = [figure for figure in CATALOGUE if figure.name in FIGURES]
        patch.setattr(page, "figures", lambda *places: few)
        return study.report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = chromium.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


AXE = Path(__file__).parents[1] / "build/page/node_modules/axe-core/axe.min.js"
Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, written: Path) -> Open:
    """Open a page, by default the report, with what its address says."""

    def open_page(address: str = "", file: Path = written) -> Any:
        chromium.resize(browser, 1280)
        browser.get("about:blank")
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(f"{file.as_uri()}{address}")
        return browser

    return open_page


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"
    return browser.execute_script(script, selector)


def pointed(browser: Any, selector: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(one(browser, selector)).perform()


def pressed(browser: Any, *keys: str) -> None:
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def strip(browser: Any) -> dict[str, float]:
    """Return what the strip says that each key gets, in percent."""
    script = """return [...document.querySelectorAll('.position')].map(each =>
        [each.dataset.key, each.querySelector('.number').textContent])"""
    return {key: float(number) for key, number in browser.execute_script(script)}


def row(study: Study, problem: str, layer: int, head: int | None, query: str) -> dict[str, float]:
    """Return the same from the study."""
    found = study.attention["attention"].sel(problem=problem, layer=layer, query=query)
    found = found.mean("head") if head is None else found.sel(head=head)
    return (100 * found).to_series().to_dict()


def cell(layer: int, head: int | None) -> str:
    name = "mean over heads" if head is None else f"head {head}"
    return f'.head[aria-label^="layer {layer}, {name}:"]'


def first(study: Study) -> str:
    """Return one of the problems that are broken most."""
    broken = study.failure.mean("thought")
    return str(broken["problem"].values[np.nanargmax(broken.values)])


def shown_problem(browser: Any) -> str:
    return one(browser, ".pane .id").text


def is_marked(browser: Any, figure: str) -> bool:
    """Return whether anything is chosen in a figure."""
    script = "return !document.querySelector(arguments[0]).hasAttribute('hidden')"
    return browser.execute_script(script, f"figure[data-name={figure}] rect.chosen")


@pytest.mark.parametrize(
    ("query", "layer", "head"),
    [("thought 3", 1, 2), ("bot", 0, None), ("answer_value", 3, 0), ("eot", 2, None)],
)
def test_pointing_at_a_position_shows_its_row_of_the_record(
    opened: Open, study: Study, query: str, layer: int, head: int | None
) -> None:
    browser = opened(f"#problem={first(study)}&position={query}&layer=0")
    one(browser, cell(layer, head)).click()
    key = "answer" if query == "answer_value" else query
    pointed(browser, f'.position[data-key="{key}"]')
    expected = row(study, first(study), layer, head, query)
    shown = strip(browser)
    assert shown.keys() == expected.keys()
    assert shown == pytest.approx(expected, abs=SHOWN)


def test_the_grid_shows_the_attention_of_every_layer_and_head_on_what_is_asked(
    opened: Open, study: Study
) -> None:
    browser = opened("#problem=wrong&position=thought+4&layer=0")
    record = study.attention["attention"].sel(problem="wrong", query="thought 4")
    thoughts = [key for key in record["key"].values if key.startswith("thought")]
    for asked, keys in (("thoughts", thoughts), ("question", ["question"]), ("bot", ["bot"])):
        one(browser, f'.heads-on option[value="{asked}"]').click()
        sums = 100 * record.sel(key=keys).sum("key")
        for layer in study.layers:
            for head in (None, 0, 3):
                here = sums.sel(layer=layer)
                value = here.mean("head") if head is None else here.sel(head=head)
                shown = float(one(browser, cell(layer, head)).text)
                assert shown == pytest.approx(float(value), abs=0.05 + len(keys) * STEP / 2)


def test_what_a_corruption_does_is_what_the_study_says(opened: Open, study: Study) -> None:
    apart = study.failure.std("thought")
    problem = str(apart["problem"].values[np.nanargmax(apart.values)])
    breaks = study.failure.sel(problem=problem)
    assert breaks.max() > breaks.min()
    for thought in (int(breaks.argmin("thought")), int(breaks.argmax("thought"))):
        browser = opened(f"#problem={problem}&position=thought+{thought}&layer=1")
        names = texts(browser, ".corruptions tbody th")
        answers = texts(browser, ".corruptions tbody td:nth-of-type(1)")
        verdicts = texts(browser, ".corruptions tbody td:nth-of-type(2)")
        divergences = texts(browser, ".corruptions tbody td:nth-of-type(3)")
        of = study.effects.sel(problem=problem, thought=thought)
        assert names == of["corruption"].values.tolist()
        for name, *shown in zip(names, answers, verdicts, divergences, strict=True):
            there = of.sel(corruption=name)
            assert shown[0] == str(there["answer"].values)
            assert shown[1] == ("✕ broken" if there["failed"] else "✓ held")
            assert float(shown[2]) == pytest.approx(float(there["kl_value"]), rel=0.006, abs=0.006)
        part = float(texts(browser, f'[data-key="thought {thought}"] .number')[1])
        assert part == pytest.approx(
            100 * float(study.failure.sel(problem=problem, thought=thought))
        )


def test_a_wrong_answer_is_said_and_nothing_is_broken(opened: Open) -> None:
    browser = opened("#problem=wrong&position=thought+2&layer=1")
    assert "✕ wrong" in one(browser, ".pane dl").text
    assert not texts(browser, ".corruptions")
    assert "nothing could be broken" in one(browser, ".parts").text
    assert set(texts(browser, '[data-key^="thought"] .number:last-child')) == {"n/a"}


def test_what_a_position_reads_as_is_the_rank_and_that_of_others(
    opened: Open, study: Study
) -> None:
    problem = first(study)
    browser = opened(f"#problem={problem}&position=thought+1&layer=2")
    assert study.readouts is not None
    of = study.readouts.sel(problem=problem)
    there = [target for target in of["target"].values if of["text"].sel(target=target).item()]
    assert texts(browser, ".reads tbody th") == there
    shown = [
        re.findall(r"\d+", text) for text in texts(browser, ".reads tbody td:nth-of-type(n+2)")
    ]
    ranks = [
        (of["fed_rank"].sel(target=t, thought=1), of["fed_baseline_rank"].sel(target=t, thought=1))
        if layer is None
        else (
            of["rank"].sel(target=t, layer=layer, place="thought 1"),
            of["baseline_rank"].sel(target=t, layer=layer, place="thought 1"),
        )
        for t in there
        for layer in (None, *study.layers)
    ]
    joined = ["".join(found) for found in shown]
    for text, (own, others) in zip(joined, ranks, strict=True):
        assert text == f"{float(own):.0f}{np.rint(float(others.median())):.0f}"


def test_what_is_answered_after_fewer_thoughts_is_what_was_forced(
    opened: Open, study: Study
) -> None:
    problem = first(study)
    browser = opened(f"#problem={problem}&position=thought+2&layer=1")
    exits = study.experiments["exits"].sel(problem=problem)
    assert texts(browser, ".exits tbody th") == [str(n) for n in exits["n_thoughts"].values]
    assert texts(browser, ".exits tbody td:nth-of-type(1)") == exits["answer"].values.tolist()
    right = [text == "✓ right" for text in texts(browser, ".exits tbody td:nth-of-type(2)")]
    assert right == exits["correct"].values.astype(bool).tolist()
    assert texts(browser, ".exits tr.here th") == ["3"]  # thoughts 0, 1 and 2


def test_the_address_restores_a_view_and_the_back_button_the_one_before(
    opened: Open, study: Study
) -> None:
    browser = opened()
    before, problem = strip(browser), shown_problem(browser)
    one(browser, cell(2, 1)).click()
    one(browser, '.position[data-key="thought 4"]').click()
    chosen, address = strip(browser), browser.current_url
    assert chosen == pytest.approx(row(study, problem, 2, 1, "thought 4"), abs=SHOWN)
    again = opened(address[address.index("#") :])
    assert strip(again) == chosen
    assert again.current_url == address
    browser = opened()
    one(browser, cell(2, 1)).click()
    browser.back()
    time.sleep(0.2)
    assert strip(browser) == before


def test_an_address_of_what_is_not_there_shows_what_is(opened: Open) -> None:
    browser = opened("#problem=nobody&position=thought+99&layer=77&head=x&on=</script>")
    assert len(strip(browser)) == 10
    assert browser.get_log("browser") == []


def test_filters_and_search_find_what_the_study_has(opened: Open, study: Study) -> None:
    browser = opened()
    options = '.options [role="option"]'

    def choose(name: str, value: str) -> None:
        one(browser, f'select[aria-label="{name}"] option[value="{value}"]').click()

    assert len(texts(browser, options)) == len(study.problems)
    choose("Answered", "wrong")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.options > *')].map(each => each.dataset.id)"
    )
    wrong = [
        p.id for p in study.problems if not study.effects["baseline_correct"].sel(problem=p.id)
    ]
    assert shown == wrong
    choose("Answered", "right")
    assert len(texts(browser, options)) == study.n_correct
    choose("Steps", "3")
    expected = int((study.effects["difficulty"] == 3).sum())
    assert len(texts(browser, options)) == expected >= 1
    assert one(browser, ".count").text == f"{expected} of {len(study.problems)} problems"
    choose("Answered", "")
    choose("Steps", "")
    one(browser, ".list input").send_keys("2 PLUS 2")
    assert len(texts(browser, options)) == 1
    assert "what is 2 plus 2" in texts(browser, options)[0]


def test_the_most_broken_problems_come_first(opened: Open, study: Study) -> None:
    browser = opened()
    facts = texts(browser, ".options .facts")
    broken = [float(found[1]) for text in facts if (found := re.search(r"([\d.]+) % broken", text))]
    assert broken == sorted(broken, reverse=True)
    means = 100 * study.failure.mean("thought").dropna("problem").values
    assert broken == pytest.approx(sorted(means, reverse=True), abs=0.051)


def test_the_keyboard_does_what_the_mouse_does(opened: Open, study: Study) -> None:
    browser = opened(f"#problem={first(study)}&position=thought+2&layer=1&head=1")
    focus = "document.querySelector(arguments[0]).focus()"
    browser.execute_script(focus, '.position[data-key="thought 2"]')
    pressed(browser, RIGHT)
    assert strip(browser) == pytest.approx(row(study, first(study), 1, 1, "thought 3"), abs=SHOWN)
    assert "thought+2" in browser.current_url  # only pointed at
    pressed(browser, ENTER)
    assert "thought+3" in browser.current_url
    browser.execute_script(focus, cell(1, 1))
    pressed(browser, UP, RIGHT)
    assert strip(browser) == pytest.approx(row(study, first(study), 2, 2, "thought 3"), abs=SHOWN)
    pressed(browser, ENTER)
    assert "layer=2&head=2" in browser.current_url
    browser.execute_script("document.querySelector('.options [tabindex=\"0\"]').focus()")
    pressed(browser, DOWN, ENTER)
    second = browser.execute_script("return document.activeElement.dataset.id")
    assert second != first(study)
    assert strip(browser) == pytest.approx(row(study, second, 2, 2, "thought 3"), abs=SHOWN)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.execute_script(outline) == "solid"
    stops = "return document.querySelectorAll(arguments[0] + ' [tabindex=\"0\"]').length"
    assert [browser.execute_script(stops, each) for each in (".strip", ".heads", ".options")] == [
        1
    ] * 3


def test_the_numbers_are_spoken(opened: Open, study: Study) -> None:
    browser = opened(f"#problem={first(study)}&position=thought+3&layer=1&head=2")
    time.sleep(0.5)
    spoken = one(browser, '.live[aria-live="polite"]').get_attribute("textContent")
    assert spoken.startswith("From thought 3, layer 1, head 2, percent: ")
    said = dict(re.findall(r"(question|bot|thought \d) ([\d.]+)[,.]", spoken))
    expected = row(study, first(study), 1, 2, "thought 3")
    assert {key: float(number) for key, number in said.items()} == pytest.approx(
        {key: expected[key] for key in said}, abs=SHOWN
    )
    assert len(said) == 6


def test_two_problems_stand_side_by_side(opened: Open, study: Study) -> None:
    browser = opened(f"#problem=wrong&beside={first(study)}&position=thought+1&layer=3")
    script = """return [...document.querySelectorAll('.pane')].map(pane =>
        [...pane.querySelectorAll('.position')].map(each =>
            Number(each.querySelector('.number').textContent)))"""
    shown = browser.execute_script(script)
    for numbers, problem in zip(shown, ("wrong", first(study)), strict=True):
        expected = list(row(study, problem, 3, None, "thought 1").values())
        assert numbers == pytest.approx(expected, abs=SHOWN)
    next(
        each for each in browser.find_elements("tag name", "button") if "Close" in each.text
    ).click()
    assert len(browser.find_elements("css selector", ".pane")) == 1
    assert "beside" not in browser.current_url


def test_what_is_chosen_is_marked_in_every_figure_that_has_it(opened: Open, study: Study) -> None:
    browser = opened(f"#problem={first(study)}&position=thought+3&layer=1")
    ticks = """const svg = document.querySelector(`figure[data-name=${arguments[0]}] svg`);
        const mark = svg.querySelector('rect.chosen').getBoundingClientRect();
        return [mark.left, mark.right, mark.top, mark.bottom, ...[...svg.querySelectorAll('text')]
            .filter(text => text.textContent.trim() === arguments[1])
            .map(text => { const box = text.getBoundingClientRect();
                return [(box.left + box.right) / 2, (box.top + box.bottom) / 2] })]"""
    for figure, label, along in (
        ("importance_by_thought", "3", 0),
        ("attention_by_layer", "3", 0),
        ("attention_by_layer", "1", 1),
        ("correlation_by_layer", "1", 0),
    ):
        left, right, top, bottom, *found = browser.execute_script(ticks, figure, label)
        inside = [left < x < right if along == 0 else top < y < bottom for x, y in found]
        assert any(inside), (figure, label)
        assert right - left < 300 or figure == "attention_by_layer"
    one(browser, '.position[data-key="eot"]').click()
    assert not is_marked(browser, "importance_by_thought")
    assert is_marked(browser, "correlation_by_layer")


def test_a_click_in_a_figure_chooses_what_lies_there(opened: Open, study: Study) -> None:
    browser = opened(f"#problem={first(study)}&position=eot&layer=0")
    click = """const rect = document.querySelector(`figure[data-name=${arguments[0]}] rect.linked`);
        const box = rect.getBoundingClientRect();
        const [clientX, clientY] = [box.left + arguments[1] * box.width,
            box.top + arguments[2] * box.height];
        rect.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX, clientY}))"""
    # A heat map of 6 thoughts and 4 layers; layer 0 is at the bottom.
    browser.execute_script(click, "attention_by_layer", 4.5 / 6, 1.5 / 4)
    assert "position=thought+4&layer=2" in browser.current_url
    assert strip(browser) == pytest.approx(
        row(study, first(study), 2, None, "thought 4"), abs=SHOWN
    )
    n_right = study.n_correct
    browser.execute_script(click, "importance_by_problem", 0.5 / n_right, 0.5 / 6)
    easiest = study.effects["difficulty"].sel(
        problem=browser.current_url.split("=")[1].split("&")[0]
    )
    assert easiest == study.effects["difficulty"].min()
    assert "position=thought+5" in browser.current_url


def test_figures_are_saved_as_pictures_and_numbers(
    opened: Open, study: Study, tmp_path: Path
) -> None:
    browser = opened()
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    for button in browser.find_elements(
        "css selector", "figure[data-name=attention_by_layer] button"
    ):
        browser.execute_script("arguments[0].click()", button)
    deadline = time.monotonic() + 20
    while len([file for file in tmp_path.iterdir() if file.suffix in (".svg", ".png", ".csv")]) < 3:
        assert time.monotonic() < deadline, list(tmp_path.iterdir())
        time.sleep(0.1)
    table = dict(study.tables())["share_by_layer"]
    saved = (tmp_path / "toy-gpt2-share_by_layer.csv").read_text()
    numbers = [float(line.split(",")[2]) for line in saved.splitlines()[1:]]
    assert saved.splitlines()[0].split(",") == table.columns.tolist()
    assert numbers == pytest.approx(table[table.columns[2]].tolist(), rel=1e-5)
    drawing = (tmp_path / "toy-gpt2-attention_by_layer.svg").read_text()
    assert drawing.startswith("<svg")
    assert "linked" not in drawing
    assert (tmp_path / "toy-gpt2-attention_by_layer.png").read_bytes()[:4] == b"\x89PNG"


def test_the_page_is_quiet_and_asks_for_nothing(opened: Open, written: Path) -> None:
    browser = opened()
    for key in ("thought 0", "answer"):
        one(browser, f'.position[data-key="{key}"]').click()
    messages = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    asked = {
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    }
    elsewhere = {url for url in asked if not url.startswith((written.as_uri(), "data:", "about:"))}
    assert asked
    assert elsewhere == set()
    assert browser.get_log("browser") == []


def test_nothing_else_runs_or_is_loaded(opened: Open) -> None:
    browser = opened()
    browser.execute_script(
        """const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const image = document.createElement('img');
        image.src = 'http://localhost:9/x.png';
        image.setAttribute('onerror', 'window.hacked = 2');
        document.body.append(image);
        const styled = document.createElement('p');
        styled.innerHTML = '<b style="color: red">x</b>';
        styled.id = 'styled';
        document.body.append(styled);"""
    )
    time.sleep(0.3)
    assert browser.execute_script("return window.hacked") is None
    colour = browser.execute_script(
        "return getComputedStyle(document.querySelector('#styled b')).color"
    )
    assert colour != "rgb(255, 0, 0)"
    refused = " ".join(each["message"] for each in browser.get_log("browser"))
    assert "Content Security Policy" in refused


@pytest.fixture(scope="module")
def hostile(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The browser of a study whose texts try to be anything but text."""
    said = [HOSTILE, ATTRIBUTE, ARABIC, ZALGO, "x " * 10_000, "<!--", "'\"&\\u003c", "]]>"]
    name = f"zoo/{HOSTILE}"
    problems = tuple(replace(p, question=q) for p, q in zip(study.problems, said, strict=True))
    answers = xr.where(study.effects["answer"] == "", "", HOSTILE)
    effects = study.effects.assign(answer=answers.astype(object))
    settings = {**study.settings, "model": name}
    attention = study.attention
    other = Study(attention, effects, problems, settings, study.readouts, study.experiments)
    file = tmp_path_factory.mktemp("hostile") / "browser.html"
    file.write_text(report.problem_browser(other), "utf-8")
    return file


def test_texts_of_a_data_set_are_texts(opened: Open, study: Study, hostile: Path) -> None:
    said = [HOSTILE, ATTRIBUTE, ARABIC, ZALGO, "x " * 10_000, "<!--", "'\"&\\u003c", "]]>"]
    for problem, text in zip(study.problems, said, strict=True):
        browser = opened(f"#problem={problem.id}&position=thought+0&layer=0", hostile)
        shown = one(browser, ".pane .question").get_attribute("textContent")
        if len(text) > 2000:
            assert shown == f"{text[:2000]} … and {len(text) - 2000} characters more"
        else:
            assert shown == text
        if problem.id != "wrong":
            assert set(texts(browser, ".corruptions .text")) == {HOSTILE}
        assert browser.execute_script("return window.hacked") is None
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 1280
        assert browser.get_log("browser") == []
    assert browser.title == f"zoo/{HOSTILE}: problem by problem"
    assert one(browser, "h1").text == f"zoo/{HOSTILE}: problem by problem"


def test_arabic_runs_from_the_right(opened: Open, study: Study, hostile: Path) -> None:
    browser = opened(f"#problem={study.problems[2].id}", hostile)
    direction = "return document.querySelector('.pane .question').matches(':dir(rtl)')"
    assert browser.execute_script(direction)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_can_be_read_on_a_phone_and_a_desk(
    opened: Open, study: Study, width: int, scheme: str
) -> None:
    browser = opened(f"#problem={first(study)}&beside=wrong&position=thought+3&layer=1")
    chromium.resize(browser, width, scheme=scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(chromium.LEAST_CONTRAST, "#browser") >= 4.5
    controls = "button, input, select, [role=option], [role=gridcell]"
    unnamed, small = browser.execute_script(
        """const all = [...document.querySelectorAll(`#browser :is(${arguments[0]})`)];
        const named = each => each.getAttribute('aria-label') || each.textContent.trim();
        const boxes = all.map(each => each.getBoundingClientRect());
        return [all.filter(each => !named(each)).length,
            boxes.filter(box => box.width < 24 || box.height < 24).length]""",
        controls,
    )
    assert unnamed == 0
    assert small == 0  # WCAG 2.2: 24 pixels to hit


def test_print_has_what_is_chosen_whole(opened: Open, study: Study) -> None:
    browser = opened(f"#problem={first(study)}&position=thought+3&layer=1")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return document.querySelector(arguments[0]).getClientRects().length > 0"
    assert not browser.execute_script(shown, ".options")
    for part in (".strip", ".heads", ".corruptions", ".reads", ".exits"):
        assert browser.execute_script(shown, part)
    cut = """return [...document.querySelectorAll('.pane .question, .pane .overflow')]
        .filter(each => each.scrollHeight > each.clientHeight + 1
            && getComputedStyle(each).overflowY !== 'visible').length"""
    assert browser.execute_script(cut) == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_it_works_in_the_frame_of_a_notebook(browser: Any, study: Study, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    file.write_text(
        "<!doctype html><iframe width=1200 height=900 sandbox='allow-scripts'></iframe>"
    )
    browser.get(file.as_uri())
    browser.get_log("browser")
    frame = "document.querySelector('iframe').srcdoc = arguments[0]"
    browser.execute_script(frame, report.problem_browser(study))
    time.sleep(1.0)
    browser.switch_to.frame(0)
    one(browser, '.position[data-key="thought 2"]').click()
    problem = shown_problem(browser)
    start = study.concentration["estimate"].sel(measure="effective_number")
    layer = int(start["layer"][int(np.nanargmin(start.values))])
    expected = row(study, problem, layer, None, "thought 2")
    assert strip(browser) == pytest.approx(expected, abs=SHOWN)
    browser.switch_to.default_content()
    assert [each for each in browser.get_log("browser") if each["level"] == "SEVERE"] == []


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_the_script_is_one_module_without_errors(tmp_path: Path) -> None:
    from cot_attn.report._browser.assets import script

    file = tmp_path / "browser.mjs"
    file.write_text(script())
    checked = subprocess.run(["node", "--check", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing_serious(opened: Open, width: int, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not there: make page fetches it")
    browser = opened()
    chromium.resize(browser, width, 1000, scheme)
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    browser.set_script_timeout(120)
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert not serious, [
        (each["id"], node["html"][:200]) for each in serious for node in each["nodes"][:3]
    ]
    assert len(found["passes"]) > 20


def test_a_heading_sorts_its_table_up_down_and_back(opened: Open, study: Study) -> None:
    browser = opened()
    table = "section[aria-labelledby=problems] .scroll"
    column = f"""const rows = document.querySelectorAll('{table} tbody tr');
        return [...rows].map(row => row.cells[arguments[0]].textContent.trim())"""
    heads = texts(browser, f"{table} thead th")
    place = heads.index("thought 2")
    before = browser.execute_script(column, place)
    expected = study.failure.sel(thought=2).values
    assert sorted(before) == sorted(
        "n/a" if np.isnan(each) else f"{100 * each:.0f}" for each in expected
    )
    selector = f"{table} thead th:nth-child({place + 1})"
    for said, direction in (("ascending", 1), ("descending", -1)):
        one(browser, f"{selector} button").click()
        assert one(browser, selector).get_attribute("aria-sort") == said
        numbers = [float(each) for each in browser.execute_script(column, place) if each != "n/a"]
        assert numbers == sorted(numbers, reverse=direction < 0)
        assert browser.execute_script(column, place)[-1] == "n/a"
    one(browser, f"{selector} button").click()
    assert one(browser, selector).get_attribute("aria-sort") is None
    assert browser.execute_script(column, place) == before
    assert len(set(before)) > 2
