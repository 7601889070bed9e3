"""What is refused on its way in, with which words: damaged text, encodings, doubtful rows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cot_attn import ContinuousThoughtModel
from cot_attn.data import Problem, load_problems

HALF = "\ud800"
ROW = {"id": "a", "question": "How many?", "answer": "18"}


@pytest.mark.parametrize(
    "fields",
    [
        {"id": f"a{HALF}"},
        {"question": f"How {HALF}many?"},
        {"answer": f"18 {HALF}"},
        {"answer": f"yes{HALF}", "answer_type": "text"},
        {"dataset": HALF},
        {"steps": ["one", f"\udfff{HALF}"]},
    ],
)
def test_half_a_character_is_refused_with_its_place(tmp_path: Path, fields: dict[str, Any]) -> None:
    values = {**ROW, **fields}
    name = "step" if "steps" in fields else next(iter(fields))
    with pytest.raises(
        ValueError, match=rf"lone surrogate '\\ud\w+', at position \d+ of its {name}"
    ):
        Problem(**{**values, "steps": tuple(values.get("steps", ()))})
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps({**ROW, 'id': 'b'})}\n{json.dumps(values)}\n")
    with pytest.raises(ValueError, match=rf"x\.jsonl:2: .*lone surrogate.* of its {name}"):
        load_problems(path)


@pytest.mark.parametrize("schema", ["gsm8k", "math500", "prosqa"])
def test_half_a_character_in_a_question_without_an_id_says_where(
    tmp_path: Path, schema: str
) -> None:
    row = {"question": HALF, "problem": HALF, "answer": "#### 18", "steps": []}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=r"x\.jsonl:1: .*lone surrogate"):
        load_problems(tmp_path / "x.jsonl", format=schema)


def test_half_a_character_asked_directly_does_not_reach_the_tokenizer(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    for call in (tiny_gpt2_model.run, tiny_gpt2_model.generate, tiny_gpt2_model.think):
        with pytest.raises(ValueError, match=r"lone surrogate '\\ud800', at position 3"):
            call([f"w1 {HALF}"])
    with pytest.raises(ValueError, match="lone surrogate"):
        Problem.from_text(HALF)
    # A whole pair is one character, however JSON writes it.
    assert Problem.from_text(json.loads('"\\ud83d\\ude00"')).question == "😀"


TEXT = "id,question,answer\na,How many?,18\n"
LINES = json.dumps(ROW) + "\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(("name", "text"), [("x.csv", TEXT), ("x.jsonl", LINES)])
def test_a_wide_encoding_is_named_with_what_to_do(
    tmp_path: Path, encoding: str, name: str, text: str
) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    kind = encoding.upper().replace("-", "-?")
    with pytest.raises(ValueError, match=rf"{name}: the file is {kind}.* Save it as UTF-8.*iconv"):
        load_problems(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.replace("18", "18 €").encode("cp1252"), r"x\.csv:2: .*not UTF-8.*WINDOWS-1252"),
        (TEXT.replace("many", "m\0ny").encode(), r"x\.csv:2: .*NUL byte"),
        (b"PK\x03\x04...", r"x\.csv: this is .*Excel"),
        (b"PAR1....", r"x\.csv: this is a parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"git lfs pull"),
    ],
)
def test_what_is_no_text_is_told_as_what_it_is(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_problems(tmp_path / "x.csv")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json"])
def test_every_line_end_ends_a_line(tmp_path: Path, name: str, end: str) -> None:
    rows = [{**ROW, "id": str(i)} for i in range(3)]
    if name == "x.csv":
        lines = ["id,question,answer", *(",".join(row.values()) for row in rows)]
    elif name == "x.json":
        lines = ["[", *(json.dumps(row) + "," for row in rows)]
        lines[-1] = lines[-1][:-1] + "]"
    else:
        lines = [json.dumps(row) for row in rows]
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode() + end.encode())
    assert [problem.id for problem in load_problems(path)] == ["0", "1", "2"]
    path.write_bytes(end.join([*lines[:2], *lines[1:2]]).replace('"18"', '"x"').encode())
    with pytest.raises(ValueError, match=rf"{name}:[123]: "):
        load_problems(path)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize("inner", ['"id": "b", "id": "c"', '"id": "b", "more": {"x": 1, "x": 2}'])
def test_a_field_given_twice_is_refused(tmp_path: Path, name: str, inner: str) -> None:
    row = f'{{{inner}, "question": "?"}}'
    text = f"[{LINES.strip()},\n{row}]" if name == "x.json" else LINES + row
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"an object has two fields '(id|x)'"):
        load_problems(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["Answer", "ANSWER", " answer", "answer ", "Answer Type", "anwser"]
)
def test_a_column_with_another_spelling_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.csv").write_text(f"id,question,{name}\na,How many?,18\n")
    with pytest.raises(ValueError, match=r"x\.csv:2: .*Did you mean 'answer"):
        load_problems(tmp_path / "x.csv")


def test_numbers_with_steps_are_not_taken_for_sentences(tmp_path: Path) -> None:
    row = {"question": "How many?", "steps": ["9 * 2"], "answer": "18"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match="no `id`"):
        load_problems(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("007,How many?,NaN,", "'number'"),
        ("007,How many?,TRUE,", "'number'"),
        ("007,How many?,18,1.5", "a whole number"),
        ("007,How many?,18,nan", "a whole number"),
        ("007,How many?,18,TRUE", "a whole number"),
        ("007,How many?,1,234,", "5 cells and the header 4"),
        (",,,", "'id' is empty"),
        ("a,How many?,18,", "the id 'a' is that of"),
    ],
)
def test_a_doubtful_row_is_refused_with_its_line(tmp_path: Path, cells: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"id,question,answer,difficulty\na,How many?,18,\n\n{cells}\n")
    with pytest.raises(ValueError, match=rf"x\.csv:4: .*{message}"):
        load_problems(path)


def test_ids_and_quoted_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('id,question,answer\n007,How many?,"1,234"\n7,How many?,1e-05\n1E+05,?,5.0\n')
    problems = load_problems(path)
    assert [p.id for p in problems] == ["007", "7", "1E+05"]
    assert [p.answer for p in problems] == ["1,234", "1e-05", "5.0"]


@pytest.mark.parametrize("kind", ["number", "boolean"])
def test_a_gold_answer_with_two_values_is_refused(kind: str) -> None:
    both = {"number": "18 or 20", "boolean": "yes and no"}[kind]
    with pytest.raises(ValueError, match=r"not just one value|nothing of"):
        Problem("a", "?", both, kind)  # type: ignore[arg-type]


REFUSED = {
    "Problem(7, '?')": "has the id 7, not a text. Give '7'.",
    "Problem('a', None)": "has the question None, not a text",
    "Problem('a', '?', 18)": "has the answer 18, not a text. Give '18'.",
    "Problem('a', '?', steps='one')": "has one text as steps; give a tuple of texts",
    "Problem('a', '?', steps=(1,))": "has the step 1, not a text",
    "Problem('a', '?', difficulty=1.5)": "has the difficulty 1.5; an integer is needed",
    "Problem('a', '?', difficulty=True)": "has the difficulty True; an integer is needed",
    "Problem.from_text(None)": "The question is None; a text is needed",
    "balanced_sample([Problem('a', '?')], True, 0)": "n=True: a whole number is needed",
    "balanced_sample([Problem('a', '?')], 1, 0.0)": "seed=0.0: a whole number is needed",
}


def test_what_is_of_another_kind_is_refused_with_a_sentence() -> None:
    # In a Python of its own, where no annotation is checked at run time and speaks first.
    calls = "".join(
        f"try:\n    {call}\n    print('nothing')\nexcept TypeError as error:\n    print(error)\n"
        for call in REFUSED
    )
    code = f"from cot_attn.data import Problem, balanced_sample\n{calls}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for said, wanted in zip(done.stdout.splitlines(), REFUSED.values(), strict=True):
        assert wanted in said
