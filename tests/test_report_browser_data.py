"""What the problem browser carries: packed without loss beyond its step, chosen by rule, safe."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import simulated_results as simulated
from cot_attn.data import Problem
from cot_attn.report import problem_browser
from cot_attn.report._browser import packing
from cot_attn.report._browser.assets import FOLDER, script
from cot_attn.report._browser.content import as_json, content
from cot_attn.report._browser.sampling import chosen
from cot_attn.report._linked import LINKED
from cot_attn.report.catalogue import CATALOGUE, figures
from cot_attn.study import Study

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def made_up(n: int, *, layers: int = 2, heads: int = 2, seed: int = 0) -> Study:
    problems = tuple(Problem(name, f"question {name}", "1") for name in simulated.problem_ids(n))
    settings = {"model": "toy-gpt2", "query": "answer_value", "seed": seed}
    effects = simulated.effects(n)
    return Study(simulated.attention(n, layers, heads), effects, problems, settings)


def unpacked(text: str) -> np.ndarray:
    digits = np.array([ALPHABET.index(letter) for letter in text]).reshape(-1, 2)
    return 64 * digits[:, 0] + digits[:, 1]


def test_every_number_can_be_packed_and_read_again() -> None:
    every = np.arange(4096)
    assert unpacked(packing.packed(every)).tolist() == every.tolist()


def test_fractions_lose_half_a_step_at_most() -> None:
    values = np.random.default_rng(0).random(1000)
    found = unpacked(packing.fractions(values)) / packing.STEPS
    assert np.abs(found - values).max() <= 0.5 / packing.STEPS + 1e-12
    assert unpacked(packing.fractions(np.array([np.nan, 0.0, 1.0]))).tolist() == [4095, 0, 4000]


@pytest.mark.slow
def test_the_rows_are_those_of_the_record() -> None:
    study = made_up(5)
    found = content([study])["studies"][0]
    for problem, told in zip(study.problems, found["problems"], strict=True):
        values = unpacked(told["rows"]) / packing.STEPS
        place = 0
        for layer in study.layers:
            for head in (0, 1):
                for query, keys in zip(found["queries"], found["seen"], strict=True):
                    labels = {"problem": problem.id, "layer": layer, "head": head, "query": query}
                    expected = study.attention["attention"].sel(labels).values
                    row = np.zeros(len(expected))
                    row[keys] = values[place : place + len(keys)]
                    np.testing.assert_allclose(row, expected, atol=0.5 / packing.STEPS + 1e-6)
                    place += len(keys)
        assert place == len(values)


def test_all_of_few_problems_are_shown_and_of_many_those_that_tell() -> None:
    study = made_up(240)
    assert set(chosen(study, 240).values()) == {"all"}
    some = chosen(study, 40)
    counts = {why: list(some.values()).count(why) for why in ("wrong", "broken", "drawn")}
    assert counts == {"wrong": 10, "broken": 10, "drawn": 20}
    right = study.effects["baseline_correct"].to_series()
    assert {right[name] for name, why in some.items() if why == "wrong"} == {False}
    means = study.failure.mean("thought").to_series()
    least = min(means[name] for name, why in some.items() if why == "broken")
    others = [name for name in means.index if name not in some]
    assert max(means[others].dropna()) <= least
    assert list(some) == [name for name in simulated.problem_ids(240) if name in some]


def test_the_choice_hangs_on_the_seed_and_not_on_the_order() -> None:
    study, again = made_up(96), made_up(96)
    turned = Study(again.attention, again.effects, again.problems[::-1], again.settings)
    assert chosen(study, 20) == chosen(turned, 20)
    assert chosen(study, 20) != chosen(made_up(96, seed=1), 20)


@pytest.mark.slow
def test_a_choice_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cot_attn.report._browser.content.MOST_PROBLEMS", 24)
    page = problem_browser(made_up(120))
    assert (
        "toy-gpt2: 24 of 120 problems, 5 answered wrong, 6 that corruptions break most often and "
        "13 drawn from the rest (seed 0)."
    ) in page
    assert "drawn from the rest" not in problem_browser(made_up(20))


@pytest.mark.slow
def test_200_problems_with_12_layers_of_12_heads_leave_room_for_the_figures() -> None:
    data = content([made_up(200, layers=12, heads=12)])
    assert len(data["studies"][0]["problems"]) == 200
    assert len(as_json(data).encode()) < 3_700_000


def test_more_than_fits_is_left_out() -> None:
    data = content([made_up(40, layers=4, heads=4)], most_bytes=60_000)
    assert 5 < len(data["studies"][0]["problems"]) < 40
    assert len(as_json(data).encode()) < 80_000


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.policy, self.found, self.inside = "", [], ("", {})
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag, dict(attrs)
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = "", {}

    def handle_data(self, data: str) -> None:
        self.found.append((*self.inside, data))


def test_the_policy_allows_what_is_in_the_page_and_nothing_else() -> None:
    page = Elements(problem_browser(made_up(4)))
    assert page.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in page.policy
    inlined = {"script-src": [], "style-src": []}
    for tag, attributes, text in page.found:
        if tag == "style" or attributes.get("type") == "module":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            inlined["style-src" if tag == "style" else "script-src"].append(f"'sha256-{digest}'")
    for name, hashes in inlined.items():
        assert f"{name} {' '.join(hashes)};" in page.policy
    assert [len(hashes) for hashes in inlined.values()] == [1, 2]


def test_no_element_has_a_style_or_a_listener_of_its_own() -> None:
    assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", problem_browser(made_up(4)))


def test_data_are_json_and_end_no_script() -> None:
    said = "</script><!-- \u2028 & \"quoted\" 'too' \\u003c"
    study = made_up(3)
    problems = tuple(Problem(each.id, said, "1") for each in study.problems)
    page = problem_browser(Study(study.attention, study.effects, problems, study.settings))
    (data,) = [text for _, attrs, text in Elements(page).found if attrs.get("id") == "browser-data"]
    assert {each["question"] for each in json.loads(data)["studies"][0]["problems"]} == {said}


def test_a_name_is_declared_in_one_module_and_html_is_never_parsed() -> None:
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", script(), re.MULTILINE)
    assert len(names) == len(set(names)) > 30
    assert not re.search(r"^(import|export)\b", script(), re.MULTILINE)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", script())
    modules = [file.name for file in FOLDER.iterdir() if file.name.endswith(".js")]
    imported = re.findall(r'from "\./([\w.]+)"', "".join((FOLDER / m).read_text() for m in modules))
    assert {"main.js", *imported} == set(modules)


def test_every_figure_of_the_page_says_what_can_be_chosen_and_where_its_numbers_are() -> None:
    shown = {figure.name for figure in figures("page of one", "page of several")}
    assert shown <= LINKED.keys() <= {figure.name for figure in CATALOGUE}
    assert all(linked.tables for linked in LINKED.values())
