"""Problems from files and by name: what is read, and what is refused with which words."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cot_attn.data import (
    DATASETS,
    DataSet,
    Problem,
    balanced_sample,
    check_problems,
    grade,
    load_problems,
    save_problems,
)
from cot_attn.data.loading import stratum

# A few rows made up in each data set's schema.
GSM8K = [
    {
        "question": "Mia has 3 bags of 4 nuts and eats 2 nuts. How many are left?",
        "answer": "There are 3*4=<<3*4=12>>12 nuts.\n12-2=<<12-2=10>>10 are left.\n#### 10",
    },
    {
        "question": "A boat costs $1,200 and its oars half of that. What do both cost?",
        "answer": "The oars cost $<<1200/2=600>>600.\nAll is $<<1200+600=1800>>1,800.\n#### 1,800",
    },
]
COCONUT_GSM = [
    {"question": "Mia eats 2 of 12 nuts. What is left?", "steps": ["<<12-2=10>>"], "answer": "10"}
]
MATH500 = [
    {"problem": "What is half of $\\frac{1}{3}$?", "answer": "\\frac{1}{6}"},
    {
        "problem": "Factor $x^2 - 1$.",
        "answer": "(x-1)(x+1)",
        "solution": "Look at it.",
        "level": 2,
        "unique_id": "test/algebra/0.json",
    },
]
STRATEGYQA = [
    {
        "qid": "aa00",
        "term": "Trout",
        "question": "Could a trout climb a tree? ",
        "answer": False,
        "facts": ["A trout is a fish."],
        "decomposition": ["What is a trout?", "Can #1 climb?"],
    },
    {"qid": "aa01", "question": "Is a trout a fish?", "answer": True},
]
PROSQA = [
    {
        "question": "Every dax is a wug. Bo is a dax. Is Bo a wug or zup?",
        "answer": "Bo is a wug.",
        "steps": ["Bo is a dax.", "Every dax is a wug."],
        "idx_to_symbol": ["Bo", "dax"],
        "edges": [[0, 1]],
    }
]
OWN = [
    {"id": "a", "question": "What is 1 + 1?", "answer": "2", "steps": ["1 + 1"], "difficulty": 1},
    {"id": 7, "question": "Is 1 odd?", "answer": True, "source": "me"},
    {"id": "c", "question": "Say something."},
]
SCHEMAS = {
    "gsm8k": GSM8K,
    "math500": MATH500,
    "strategyqa": STRATEGYQA,
    "prosqa": PROSQA,
    "cot_attn": OWN,
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the kind of file that the path's name says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        text = json.dumps(rows, indent=1)
    elif name.endswith(".csv"):
        return write_csv(path, rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    fields = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for row in rows:
            cells = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow(cells)
    return path


def test_gsm8k_has_its_solution_line_by_line(tmp_path: Path) -> None:
    nuts, boat = load_problems(write(tmp_path / "test.jsonl", GSM8K))
    assert nuts.answer == "10"
    assert nuts.steps == ("There are 3*4=<<3*4=12>>12 nuts.", "12-2=<<12-2=10>>10 are left.")
    assert (nuts.difficulty, nuts.dataset, nuts.answer_type) == (2, "gsm8k", "number")
    assert grade("The answer is: 1800", boat).correct


def test_coconuts_copy_of_gsm8k_is_gsm8k(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "gsm_test.json", COCONUT_GSM))
    assert (problem.dataset, problem.answer, problem.steps) == ("gsm8k", "10", ("<<12-2=10>>",))


def test_math500_has_its_level_as_difficulty(tmp_path: Path) -> None:
    short, full = load_problems(write(tmp_path / "math.jsonl", MATH500))
    assert (short.difficulty, short.answer_type, short.dataset) == (None, "math", "math500")
    assert (full.id, full.difficulty) == ("test/algebra/0.json", 2)


def test_strategyqa_has_truth_values(tmp_path: Path) -> None:
    tree, fish = load_problems(write(tmp_path / "dev.json", STRATEGYQA))
    assert tree == Problem(
        "aa00",
        "Could a trout climb a tree? ",
        "False",
        "boolean",
        ("What is a trout?", "Can #1 climb?"),
        2,
        "strategyqa",
    )
    assert (fish.answer, fish.difficulty) == ("True", None)


def test_prosqa_has_a_sentence(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "prosqa_test.json", PROSQA))
    assert (problem.answer, problem.answer_type) == ("Bo is a wug.", "text")
    assert (problem.difficulty, problem.dataset) == (2, "prosqa")


def test_our_own_schema_needs_an_id_and_a_question(tmp_path: Path) -> None:
    assert load_problems(write(tmp_path / "mine.jsonl", OWN)) == [
        Problem("a", "What is 1 + 1?", "2", steps=("1 + 1",), difficulty=1),
        Problem("7", "Is 1 odd?", "True", "boolean"),
        Problem("c", "Say something."),
    ]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.json.gz", "x.jsonl.gz", "x.ndjson"])
def test_the_kind_of_file_makes_no_difference(tmp_path: Path, schema: str, name: str) -> None:
    rows = SCHEMAS[schema]
    lines = write(tmp_path / "lines.jsonl", rows)
    assert load_problems(write(tmp_path / name, rows)) == load_problems(lines)
    assert load_problems(lines, format=schema) == load_problems(lines)


@pytest.mark.parametrize("schema", ["gsm8k", "math500", "strategyqa", "prosqa"])
def test_a_csv_file_says_the_same(tmp_path: Path, schema: str) -> None:
    rows = SCHEMAS[schema]
    expected = load_problems(write(tmp_path / "rows.jsonl", rows))
    assert load_problems(write(tmp_path / "rows.csv", rows)) == expected


def test_a_csv_file_of_our_own_may_have_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,question,answer,difficulty,steps\n1,How many?,18,,\n2,More?,,3,one\n")
    assert load_problems(path) == [
        Problem("1", "How many?", "18"),
        Problem("2", "More?", None, steps=("one",), difficulty=3),
    ]


def test_a_json_file_with_an_object_a_line_is_read_as_such(tmp_path: Path) -> None:
    lines = write(tmp_path / "lines.jsonl", GSM8K)
    assert load_problems(lines.rename(tmp_path / "lines.json")) == load_problems(
        write(tmp_path / "array.json", GSM8K)
    )


def test_the_id_of_a_question_without_one_follows_the_question_alone(tmp_path: Path) -> None:
    forwards = load_problems(write(tmp_path / "a.jsonl", GSM8K))
    backwards = load_problems(write(tmp_path / "b.jsonl", GSM8K[::-1]))
    assert forwards == backwards[::-1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"id": 1, "question": "?"}\n{"id": 2, oops}\n', r"x.jsonl:2: .* not JSON"),
        ("x.jsonl", b'\n\n{"id": 1, "question": "? \n"}\n', r"x.jsonl:3: .* not JSON"),
        ("x.json", b'[\n{"id": 1, "question": "?"},\n{"id": 2,]\n', r"x.json:3: .* not JSON"),
        ("x.json", b"<!DOCTYPE html>\n", r"x.json:1: .* not JSON"),
        ("x.jsonl", b'[{"id": 1, "question": "?"}', r"x.jsonl:1: .* not JSON"),
        ("x.jsonl", b"[" * 200_000, r"x.jsonl:1: .* cannot be read"),
        ("x.jsonl", b'{"id": ' + b"1" * 5000 + b"}", r"x.jsonl:1: .* cannot be read"),
        ("x.jsonl", b'{"id": 1, "question": "?", "answer": NaN}', r"x.jsonl:1: .*NaN"),
        ("x.jsonl", b'{"id": 1, "question": "?"}\n[1, 2]\n', r"x.jsonl:2: .*an object"),
        ("x.json", b'[{"id": 1, "question": "?"},\n 3]', r"x.json:2: .*an object"),
        ("x.jsonl", b'{"id": 1, "question": "\xff"}', r"x.jsonl:1: .*UTF-8"),
        ("x.jsonl", b"\x1f\x8b\x08 broken", r"gzip file is damaged"),
        ("x.jsonl", b"", r"there are no problems in this file"),
        ("x.json", b"[]", r"there are no problems in this file"),
        ("x.csv", b"id,question\n", r"there are no problems in this file"),
        ("x.csv", b'id,question\n1,"two\nlines"\n2\n', r"x.csv:4: .*1 cells and the header 2"),
        ("x.csv", b'id,question\n1,"never closed\n', r"x.csv:2: this is not CSV"),
        ("x.csv", b"id,id\n1,2\n", r"x.csv:1: two columns have the same name"),
        ("x.txt", b"id,question\n", r"read from .json, .jsonl, .ndjson, .csv.*not from '.txt'"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_problems(tmp_path / name)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"question": "?"}, r"'id' is missing"),
        ({"id": "", "question": "?"}, r"'id' is empty"),
        ({"id": None, "question": "?"}, r"'id' is empty"),
        ({"id": " ", "question": "?"}, r"empty id"),
        ({"id": "b"}, r"'question' is missing"),
        ({"id": "b", "question": ""}, r"'question' is empty"),
        ({"id": "b", "question": " \n"}, r"empty question"),
        ({"id": "b", "question": ["?"]}, r"'question' is \['\?'\]; a text is needed"),
        ({"id": "a", "question": "?"}, r"the id 'a' is that of .*x\.json.?:\d already"),
        ({"id": "b", "question": "?", "answer": "eight"}, r"nothing of answer_type='number'"),
        ({"id": "b", "question": "?", "answer_type": "word"}, r"Accepted are 'number', 'boolean'"),
        ({"id": "b", "question": "?", "difficulty": "hard"}, r"a whole number is needed"),
        ({"id": "b", "question": "?", "difficulty": 1.5}, r"a whole number is needed"),
        ({"id": "b", "question": "?", "steps": [1]}, r"a list of texts is needed"),
        ({"id": "b", "question": "?", "dificulty": 1}, r"Did you mean 'difficulty'\?"),
    ],
)
def test_a_row_that_is_no_problem_says_where_and_why(
    tmp_path: Path, bad: dict[str, Any], message: str
) -> None:
    rows = [{"id": "a", "question": "?"}, bad]
    with pytest.raises(ValueError, match=rf"x\.jsonl:2: .*{message}"):
        load_problems(write(tmp_path / "x.jsonl", rows))
    # Each row begins with a line of its own here: "[", "{", two or more fields, "}".
    line = 1 + 4 + 1
    with pytest.raises(ValueError, match=rf"x\.json:{line}: .*{message}"):
        load_problems(write(tmp_path / "x.json", rows))


def test_a_question_asked_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.jsonl:3: .*x\.jsonl:1 already"):
        load_problems(write(tmp_path / "x.jsonl", [*GSM8K, GSM8K[0]]))


def test_fields_of_no_known_schema_are_listed_with_the_schemas(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.jsonl:1: .*'prompt'.*cot_attn \(id, question"):
        load_problems(write(tmp_path / "x.jsonl", [{"prompt": "?", "target": "1"}]))


def test_a_question_without_an_id_says_that_it_needs_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("question,answer\nHow many?,18\n")
    with pytest.raises(ValueError, match=r"x\.csv:2: there is a `question`, but no `id`"):
        load_problems(tmp_path / "x.csv")


def test_a_forced_format_is_kept_to(tmp_path: Path) -> None:
    rows = [{"id": "a", "question": "What?", "answer": "Bo is a wug.", "steps": []}]
    path = write(tmp_path / "x.jsonl", rows)
    assert load_problems(path, format="prosqa")[0].answer_type == "text"
    with pytest.raises(ValueError, match=r"y\.jsonl:1: .*'####'"):
        load_problems(
            write(tmp_path / "y.jsonl", [{"question": "?", "answer": "1"}]), format="gsm8k"
        )


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("gms8k", ValueError, r"Did you mean 'gsm8k'\?"),
        ("strategy-qa", ValueError, r"Did you mean 'strategyqa'\?"),
        ("cot_attn", ValueError, r"Data sets are 'toy', 'gsm8k'"),
        ("no/such.jsonl", FileNotFoundError, r"'no/such.jsonl'"),
        (Path("nothing"), FileNotFoundError, r"'nothing'"),
        (".", ValueError, r"no file '\.'"),
    ],
)
def test_what_is_neither_name_nor_file(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_problems(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, r"files have no splits"),
        ({"format": "gsm"}, r"Did you mean 'gsm8k'\?.*Accepted are 'cot_attn', 'gsm8k'"),
        ({"n": 3}, r"n=3: there are 2 problems"),
        ({"n": 0}, r"n=0: there are 2 problems"),
        ({"difficulties": [9]}, r"difficulties=\[9\]: .*they have 2"),
    ],
)
def test_options_that_a_file_cannot_fulfil(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_problems(write(tmp_path / "x.jsonl", GSM8K), **options)


# Named data sets ---------------------------------------------------------------------------------


def test_toy_problems_come_by_name() -> None:
    problems = load_problems("toy", n=6, seed=3, difficulties=[1, 4])
    assert [problem.difficulty for problem in problems] == [1, 4, 1, 4, 1, 4]
    assert problems != load_problems("toy", n=6, seed=4, difficulties=[1, 4])
    with pytest.raises(ValueError, match=r"split='tset'.*Did you mean 'test'"):
        load_problems("toy", split="tset")
    with pytest.raises(ValueError, match="Leave `format` out"):
        load_problems("toy", format="gsm8k")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand in for the hub; returns how it was called."""
    calls: list[dict[str, Any]] = []

    def load_dataset(path: str, name: str | None = None, **options: Any) -> list[dict[str, Any]]:
        calls.append({"path": path, "name": name, **options})
        known = {"openai/gsm8k": GSM8K, "json": PROSQA, "ChilleD/StrategyQA": STRATEGYQA}
        if path not in known:
            raise ConnectionError(f"Couldn't reach '{path}' on the Hub")
        return known[path]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return calls


def test_a_named_data_set_is_what_its_file_is(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    for name, rows in [("gsm8k", GSM8K), ("prosqa", PROSQA), ("strategyqa", STRATEGYQA)]:
        assert load_problems(name) == load_problems(write(tmp_path / f"{name}.jsonl", rows))
    assert hub[0] == {"path": "openai/gsm8k", "name": "main", "data_files": None, "split": "test"}
    assert hub[1]["data_files"]["test"].endswith(
        "/facebookresearch/coconut/main/data/prosqa_test.json"
    )


def test_another_split_is_asked_for_by_name(hub: list[dict[str, Any]]) -> None:
    load_problems("gsm8k", split="train")
    assert hub[0]["split"] == "train"
    with pytest.raises(ValueError, match=r"split='trian'.*Did you mean 'train'.*'test', 'train'"):
        load_problems("gsm8k", split="trian")
    with pytest.raises(ValueError, match="Leave `format` out"):
        load_problems("gsm8k", format="gsm8k")


@pytest.mark.slow
def test_datasets_itself_reads_what_we_ask_it_for(tmp_path: Path) -> None:
    path = write(tmp_path / "prosqa_test.json", PROSQA)
    code = (
        "import sys; from cot_attn.data import Hub, save_problems;"
        "from cot_attn.data._hub import download_rows; from cot_attn.data.sets import PROSQA;"
        f"hub = Hub('json', ('test',), files={{'test': {str(path)!r}}});"
        "rows = download_rows('prosqa', hub, 'test');"
        f"save_problems([PROSQA.problem(row) for _, row in rows], {str(tmp_path / 'x.jsonl')!r})"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert load_problems(tmp_path / "x.jsonl") == load_problems(path)


@pytest.mark.usefixtures("hub")
def test_without_a_network_the_error_says_what_to_do() -> None:
    with pytest.raises(ConnectionError, match=r"HuggingFaceH4/MATH-500.*give load_problems a file"):
        load_problems("math500")


def test_without_datasets_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'cot-attn\[hub\]'"):
        load_problems("gsm8k")


def test_a_data_set_of_ones_own_is_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def problem(row: Any) -> Problem:
        return Problem(row["nr"], row["frage"], row["antwort"])

    mine = DataSet("rechnen", ("nr", "frage", "antwort"), lambda row: "frage" in row, problem)
    monkeypatch.setitem(DATASETS, mine.name, mine)
    path = write(tmp_path / "x.jsonl", [{"nr": "1", "frage": "Was ist 1 + 1?", "antwort": "2"}])
    assert load_problems(path) == [Problem("1", "Was ist 1 + 1?", "2")]


# Samples -----------------------------------------------------------------------------------------


def solved_in(steps: int, number: int) -> dict[str, str]:
    lines = "".join(f"line {i}\n" for i in range(steps))
    return {"question": f"{steps} steps, number {number}?", "answer": f"{lines}#### {number}"}


@pytest.fixture(scope="module")
def gsm8k_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {1: 2, 2: 40, 3: 30, 4: 20, 5: 4, 6: 2, 8: 1}
    rows = [solved_in(steps, i) for steps, n in counts.items() for i in range(n)]
    return write(tmp_path_factory.mktemp("data") / "test.jsonl", rows)


def strata(problems: list[Problem]) -> list[int]:
    """How many have 2 steps or fewer, 3, 4, and 5 or more."""
    steps = [min(max(problem.difficulty or 0, 2), 5) for problem in problems]
    return [steps.count(stratum) for stratum in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("n", "expected"), [(4, [1] * 4), (28, [7] * 4), (40, [11] * 3 + [7]), (99, [42, 30, 20, 7])]
)
def test_a_sample_has_as_many_of_each_stratum_as_can_be(
    gsm8k_like: Path, n: int, expected: list[int]
) -> None:
    assert strata(load_problems(gsm8k_like, n=n)) == expected


def test_a_sample_follows_from_the_seed_and_not_from_the_order(
    gsm8k_like: Path, tmp_path: Path
) -> None:
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_text("\n".join(reversed(gsm8k_like.read_text().splitlines())))
    sample = load_problems(gsm8k_like, n=20, seed=1)
    assert load_problems(backwards, n=20, seed=1) == sample
    assert load_problems(gsm8k_like, n=20, seed=2) != sample


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(gsm8k_like: Path) -> None:
    larger = load_problems(gsm8k_like, n=60)
    for n in (1, 5, 33):
        assert load_problems(gsm8k_like, n=n) == larger[:n]


@pytest.mark.slow
def test_each_problem_is_as_likely_as_the_others_of_its_stratum(gsm8k_like: Path) -> None:
    problems = load_problems(gsm8k_like)
    threes = [p for p in problems if p.difficulty == 3]
    chosen = [p.id for seed in range(300) for p in balanced_sample(problems, 40, seed, stratum)]
    # 10 or 11 of 30 are chosen each time: about 103 of 300, with a standard deviation of 8.
    counts = [chosen.count(problem.id) for problem in threes]
    assert min(counts) > 68
    assert max(counts) < 138


def test_only_the_asked_difficulties_are_sampled(gsm8k_like: Path) -> None:
    problems = load_problems(gsm8k_like, difficulties={3, 6}, n=4)
    assert sorted(p.difficulty or 0 for p in problems) == [3, 3, 6, 6]
    assert len(load_problems(gsm8k_like, difficulties=[4])) == 20


# Saving ------------------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=8)
PROBLEMS = st.builds(
    dict,
    id=WORDS,
    question=WORDS,
    answer=st.none() | st.integers().map(str),
    answer_type=st.just("number"),
    steps=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    difficulty=st.none() | st.integers(0, 9),
    dataset=st.none() | WORDS,
)


@pytest.mark.slow
@given(st.lists(PROBLEMS, min_size=1, max_size=4, unique_by=lambda p: p["id"]), st.booleans())
def test_what_was_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, fields: list[dict[str, Any]], packed: bool
) -> None:
    assume(all(values["id"].strip() and values["question"].strip() for values in fields))
    problems = [Problem(**values) for values in fields]
    path = tmp_path_factory.mktemp("saved") / ("x.jsonl.gz" if packed else "x.jsonl")
    save_problems(problems, path)
    assert load_problems(path) == problems


def test_a_shared_sample_of_a_data_set_is_still_of_that_data_set(
    gsm8k_like: Path, tmp_path: Path
) -> None:
    sample = load_problems(gsm8k_like, n=40)
    save_problems(sample, tmp_path / "sample.jsonl")
    assert load_problems(tmp_path / "sample.jsonl") == sample
    assert strata(load_problems(tmp_path / "sample.jsonl", n=8)) == [2, 2, 2, 2]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jsonl"
    save_problems([Problem("a", "?")], path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:5])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        save_problems([Problem("b", "??")], path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.jsonl"]
    assert path.read_bytes() == before


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.jsonl"):
        save_problems([Problem("a", "?")], tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match="no folder"):
        save_problems([Problem("a", "?")], tmp_path / "none" / "x.jsonl")
    with pytest.raises(ValueError, match="no problems"):
        save_problems([], tmp_path / "x.jsonl")


# At the door -------------------------------------------------------------------------------------


def test_problems_that_results_cannot_be_labelled_with_are_refused() -> None:
    with pytest.raises(ValueError, match="There are no problems"):
        check_problems([])
    with pytest.raises(ValueError, match="2 problems have the id 'a'"):
        check_problems([Problem("b", "?"), Problem("a", "?"), Problem("a", "??")])
    with pytest.raises(TypeError, match=r"A str .*from_text"):
        check_problems(iter(["What is 1 + 1?"]))  # type: ignore[arg-type]


def test_mathematics_without_math_verify_is_refused_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = Problem("a", "?", "1", "math")
    assert check_problems([problem]) == [problem]
    monkeypatch.setattr("cot_attn.data._latex.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="math-verify"):
        check_problems([problem])


def test_importing_and_reading_a_file_loads_no_heavy_library(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", GSM8K)
    code = (
        "import sys; import cot_attn.data as data;"
        f"p = data.load_problems({str(path)!r}); data.grade('10', p[0]);"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'sympy'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
