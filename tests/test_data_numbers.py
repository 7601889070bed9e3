"""Numbers are read whole or not at all."""

import json
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cot_attn.data import Problem, _marker, _number, _numeral, grade, load_problems
from cot_attn.data._number import find, find_gold, read

NUMBERS = {
    "1e-05": "0.00001",
    "1e+20": "100000000000000000000",
    "1E3": "1000",
    "1.5e-3": "0.0015",
    "-2.5E−3": "-0.0025",
    "1 000": "1000",
    "12\u00a0345\u00a0678": "12345678",
    "1\u2009000.5": "1000.5",
    "1\u202f000": "1000",
    "1'000": "1000",
    "1_000": "1000",
    "1,000,000.25": "1000000.25",
    "½": "0.5",
    "1½": "1.5",
    "-1 ½": "-1.5",
    "3⅔": "11/3",
    "1⁄2": "0.5",
    r"\frac{1}{2}": "0.5",
    r"-\dfrac{14}{7}": "-2",
    r"1\frac{1}{2}": "1.5",
    "3 1/2": "3.5",
    "10^3": "1000",
    "10^{-3}": "0.001",
    "10**3": "1000",
    "10⁻³": "0.001",
    "5²": "25",
    "2×10^3": "2000",
    "2.5 × 10³": "2500",
    r"2 \times 10^{3}": "2000",
    "2.5 million": "2500000",
    "3 hundred thousand": "300000",
    "1/2 Billion": "500000000",
    "－10": "-10",
    "-US$10": "-10",
    "１８": "18",
    "١٨٫٥": "18.5",
    "١٬٠٠٠": "1000",
    ".5": "0.5",
    "007": "7",
}
UNITS = {
    "5.": "5",
    "18 kg": "18",
    "18 m²": "18",
    "18 m^2": "18",
    "18 cm2": "18",
    "$18": "18",
    "18 €": "18",
    "USD18": "18",
    "Rs.18": "18",
    r"18\%": "18",
    "18°": "18",
    "+10": "10",
    "7 dozen": "7",
    "18/day": "18",
    "18...": "18",
    r"\boxed{18}": "18",
}
NONE = """
1,5 | 1,00 | 12,34,567 | 1,234,5678 | 1,2,3 | 0,123 | 1.000,5 | 1.000.000 | 1'00 | 1__0 | 1_0 | 1;2
1.2.3 | 1.2.3.4 | v1.2 | 1:30 | 12:30:05 | 2024-01-02 | 2024-01 | 12/25/2024 | 1/2/3 | 1.2-3.4-5
555-1234 | 555-123-4567 | (555) 123-4567 | +1 555 123 4567 | 1 000 00 | 1,234 567 | 1 00 | 1, 000
3-4 | 3–4 | 3 - 4 | 3~4 | 3 to 4 | 3 or 4 | 3-1/2 | 9*2 | 9 × 2 | ±5 | +-5 | +/-5 | 5 ± 1
0x1F | 0xFF | 0b101 | 4x4 | 12h30 | 5'10 | 18k | 2.5M | 2.5 bn | 2 million 500 thousand
52_8 | 4210_{5} | x^2 | x_2 | x/2 | 2π | 2pi | 2√3 | √2 | 3i | 3j | 1/∞ | ∞ | 1/0 | 3/-4 | 0^-1
(2)^2 | 10^x | 2^3^2
\\frac12 | \\frac{x}{2} | \\sqrt{2} | 2\\sqrt{3} | 2\\,500 | 2{,}500 | \\frac{1}{0}
1 500/1000 | 3 5/2
0.333... | 0.(3) | 0.1(6) | 0.3\u0305 | eggs.18 | - 5 | minus 5 | negative 5
3 and a half | 3 and 1/2
2 thirds | 3 point 5 | 1e- | 1e+ | 10^ | 1e99999999999 | 9^99999999999 | 18₂ | 1·5 | 1，000 | 2(3)
"""
PARTS = [part.strip() for line in NONE.strip().split("\n") for part in line.split("|")]


def number(answer: str) -> Problem:
    return Problem("p", "How many?", answer)


@pytest.mark.parametrize("before", ["", "The answer is: ", "#### ", "In 3 steps it is "])
@pytest.mark.parametrize(("written", "value"), [*NUMBERS.items(), *UNITS.items()])
def test_a_whole_number_is_read_as_what_it_is(before: str, written: str, value: str) -> None:
    assert grade(before + written, number(value)).correct
    assert grade(f"{before}{written} eggs.", number(value)).correct
    assert grade(value, number(written)).correct


@pytest.mark.parametrize("written", NUMBERS)
def test_the_span_is_the_whole_number(written: str) -> None:
    text = f"The answer is: {written}, and 7 are left."
    start, end = find(text) or (0, 0)
    assert text[start:end] == written


@pytest.mark.parametrize("before", ["The answer is: ", "There are 7 eggs. ### "])
@pytest.mark.parametrize("written", PARTS)
def test_of_what_is_no_number_no_part_is_read(before: str, written: str) -> None:
    assert grade(before + written, number("7")).value is None
    assert grade(f"{before}{written}.", number("7")).value is None


@pytest.mark.parametrize(
    "written", [*PARTS, "18 9", "18 of 20", "5!", "x = 18", "18 五", "eighteen"]
)
def test_a_gold_answer_that_is_not_one_number_is_refused_where_it_stands(
    tmp_path: Path, written: str
) -> None:
    row = {"id": "half", "question": "How many?", "answer": written}
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "question": "?"}\n' + json.dumps(row))
    with pytest.raises(ValueError, match=r"x\.jsonl:2: Problem 'half' has the answer .*'number'"):
        load_problems(path)
    with pytest.raises(ValueError, match=r"Problem 'p' has the answer"):
        number(written)


def test_a_number_that_ends_a_sum_or_a_range_is_one() -> None:
    for text in ("16-3-4=9", "16 - 3 = 9", "from 5–9", "9*1 = 9", "<<3*3=9>>9"):
        assert grade(text, number("9")).correct


FINITE = st.floats(allow_nan=False, allow_infinity=False)
WRITTEN = st.one_of(
    st.integers().map(str),
    st.integers().map("{:,}".format),
    st.integers().map("{:_}".format),
    FINITE.map(repr),
    FINITE.map(json.dumps),
    FINITE.map("{:e}".format),
    FINITE.map("{:.3g}".format),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: str(np.float32(x))),
    st.floats(allow_nan=False, allow_infinity=False, width=16).map(lambda x: str(np.float16(x))),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.fractions().map(str),
)


@given(WRITTEN, st.sampled_from(["{}", "The answer is: {}.", "#### {} eggs", "It is {}\n"]))
def test_a_number_is_read_as_python_reads_it(written: str, frame: str) -> None:
    assume(len(written) <= 1000)
    assert read(written) == Fraction(written.replace(",", "").replace("_", ""))
    text = frame.format(written)
    start, end = find(text) or (0, 0)
    assert text[start:end] == written
    assert find_gold(written) == (0, len(written))


@pytest.mark.slow
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_what_pandas_writes_is_loaded_as_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("data") / "x.csv"
    table = pd.DataFrame({"id": range(len(values)), "question": "How many?", "answer": values})
    table.to_csv(path, index=False)
    for value, problem in zip(values, load_problems(path), strict=True):
        assert grade(f"The answer is: {Decimal(repr(value)):f}", problem).correct


PIECES = st.sampled_from([*"012345.,:/'_ eE+-−^x½²₂\u00a0", "10", "000", "**", "{", "}", " 1/2"])


@pytest.mark.slow
@given(st.lists(PIECES, max_size=10).map("".join), st.sampled_from(["", "The answer is: "]))
def test_nothing_beside_a_number_would_go_on_with_it(text: str, before: str) -> None:
    text = before + text
    span = find(text)
    assume(span is not None)
    assert span is not None
    start, end = span
    ahead, behind = text[max(0, start - 2) : start], text[end : end + 2]
    assert not ahead[-1:].isnumeric()
    assert not behind[:1].isnumeric()
    # "18.²" is a sentence and its footnote.
    if behind[:1] and behind[0] in ".,:/'_^eExX*+-−":
        assert behind[1:] in ("²", "₂") or not behind[1:].isnumeric()
    if ahead[-1:] and ahead[-1] in ".,:/'_^" and text[start] not in "-−":
        assert not ahead[:-1].isdecimal()


@pytest.mark.parametrize("module", [_marker, _number, _numeral], ids=lambda module: module.__name__)
def test_no_pattern_has_a_possessive_group(module) -> None:
    """Python before 3.11.5 matches those wrongly or fails (python/cpython 101955 and 106052)."""
    patterns = [each.pattern for each in vars(module).values() if isinstance(each, re.Pattern)]
    assert patterns
    for pattern in patterns:
        assert not re.search(r"(?<!\\)\)(?:[*+?]|\{[\d,]+\})\+|\(\?>", pattern)
