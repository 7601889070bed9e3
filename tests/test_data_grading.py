"""Grading: what is right, what is wrong, and where the value stands."""

import sys
import threading
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cot_attn.data import Grade, Problem, grade
from cot_attn.data._number import read


def number(answer: str) -> Problem:
    return Problem("p", "How many?", answer)


def boolean(answer: str) -> Problem:
    return Problem("p", "Is it?", answer, "boolean")


def sentence(answer: str) -> Problem:
    return Problem("p", "Which?", answer, "text")


def formula(answer: str) -> Problem:
    return Problem("p", "What is it?", answer, "math")


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("18", "18"),
        ("18.0", "18"),
        ("18.", "18"),
        ("The answer is: 18", "18"),
        ("The answer is : 18", "18"),
        ("the ANSWER IS 18 eggs in 3 boxes", "18"),
        ("Answer: 18", "18"),
        ("16 - 3 - 4 = <<16-3-4=9>>9\n9 * 2 = <<9*2=18>>18\n#### 18", "18"),
        ("<<16-3-4=9>> <<9*2=18>>### 18", "18"),
        ("She has 16, eats 3, and sells 18", "18"),
        ("The answer is: 17. No, wait. The answer is: 18", "18"),
        ("#### 18 ####", "18"),
        ("#### 18\n\nThe answer is:", "18"),
        ("$18.00 a day", "18"),
        ("She makes $18!", "18"),
        ("70,000", "70000"),
        ("$ 1,450,000.50", "1450000.5"),
        ("50%", "50"),
        ("0.5", ".5"),
        ("3/4", "0.75"),
        ("3 / 4 of it", "3/4"),
        ("1 1/2 cups", "1.5"),
        ("16/2", "8"),
        ("-10", "-10"),
        ("−10", "-10"),
        ("–10", "-10"),
        ("-$10", "-10"),
        ("$-10", "-10"),
        ("It is (-10).", "-10"),
        ("13-10", "10"),
        ("from 5–10", "10"),
        ("x=-10", "-10"),
        ("007", "7"),
        ("18kg", "18"),
        ("١٨", "18"),
    ],
)
def test_a_right_number_is_right_however_it_is_written(text: str, gold: str) -> None:
    assert grade(text, number(gold)).correct


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("19", "18"),
        ("The answer is: 17", "18"),
        ("18, so the answer is: 17", "18"),
        ("#### 17, because 9 * 2 is 18", "18"),
        ("-18", "18"),
        ("18", "-18"),
        ("0.33", "1/3"),
        ("18.0000000000000000000001", "18"),
        ("1,800", "18"),
        ("180", "18"),
        ("1/0", "1"),
        ("1/0", "0"),
        ("", "18"),
        ("eighteen", "18"),
        ("####", "18"),
        ("NaN", "18"),
        ("inf", "18"),
        ("1,2,3", "3"),
        ("1,234,5678", "5678"),
        ("1.2.3", "3"),
    ],
)
def test_a_wrong_number_is_wrong(text: str, gold: str) -> None:
    assert not grade(text, number(gold)).correct


@given(
    st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=3),
    st.sampled_from(["{:f}", "{:,f}", "The answer is: {:,f}.", "#### {:f} eggs", "In all {:f}%"]),
)
def test_a_number_is_read_exactly_as_python_reads_it(value: Decimal, written: str) -> None:
    result = grade(written.format(value), number(f"{value:f}"))
    assert result.correct
    assert result.value is not None
    assert read(result.value) == Fraction(value)


@pytest.mark.slow
@given(st.fractions(min_value=-1000, max_value=1000), st.fractions(min_value=-1000, max_value=1000))
def test_two_fractions_are_the_same_when_they_are_equal(one: Fraction, other: Fraction) -> None:
    assert grade(str(one), number(str(other))).correct == (one == other)


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("The answer is: True", "true", True),
        ("Yes", "True", True),
        ("yes, because there is no other", "yes", True),
        ("No. It is true that fish swim.", "no", True),
        ("A fish has no legs, so yes", "yes", True),
        ("There are no fish. True or not, the answer is no", "no", True),
        ("*No*", "False", True),
        ("#### false.", "no", True),
        ("The answer is: False", "true", False),
        ("Norway", "no", False),
        ("untrue", "true", False),
        ("", "true", False),
        ("18", "true", False),
    ],
)
def test_truth_values(text: str, gold: str, correct: bool) -> None:
    assert grade(text, boolean(gold)).correct == correct


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("Sally is a sterpus.", True),
        ("### Sally is a sterpus.", True),
        ("The answer is: Sally is a sterpus", True),
        ("sally  is a Sterpus .", True),
        ("Every rempus is a sterpus.\n### Sally is a sterpus.\n", True),
        ('"Sally is a sterpus."', True),
        ("Sally is a hilpus.", False),
        ("Sally is a hilpus. Sally is a sterpus.", False),
        ("### Sally is a sterpus. Sally is a hilpus.", False),
        ("Tom is a sterpus.", False),
        ("###", False),
        ("Sally is a sterpus. ###", False),
        ("", False),
    ],
)
def test_sentences(text: str, correct: bool) -> None:
    assert grade(text, sentence("Sally is a sterpus.")).correct == correct


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "gold"),
    [
        (r"\frac{14}{3}", r"\frac{14}{3}"),
        (r"\boxed{\frac{28}{6}}", r"\frac{14}{3}"),
        (r"First \boxed{1}, then \boxed{\frac{14}{3}} and \boxed{2", r"\frac{14}{3}"),
        (r"The answer is: $\dfrac{14}{3}$.", r"\frac{14}{3}"),
        (r"With $x = 1$ it is $\frac{14}3$", r"\frac{14}{3}"),
        (r"It is \(\tfrac{14}{3}\).", r"\frac{14}{3}"),
        (r"\[ 14/3 \]", r"\frac{14}{3}"),
        ("#### q - p\nas was to be shown", "-p + q"),
        (r"It costs \$5, that is $\$32348$", r"\$32,\!348"),
        ("2500", r"2,\!500"),
        ("90", r"90^\circ"),
        ("East", r"\text{east}"),
        (r"\boxed{\text{C}}", r"\text{(C)}"),
        ("52", "52_8"),
        ("4210_5", "4210_{5}"),
        (r"\begin{pmatrix} -2 \\ 2/4 \end{pmatrix}", r"\begin{pmatrix} -2 \\ 0.5 \end{pmatrix}"),
        ("$7,5,3$", "3, 5, 7"),
        ("1e-05", "0.00001"),
        ("1 000", "1000"),
        ("1½", r"\frac{3}{2}"),
    ],
)
def test_right_mathematics(text: str, gold: str) -> None:
    assert grade(text, formula(gold)).correct


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("p + q", "p - q"),
        (r"\boxed{3}", "4"),
        (r"$4$, no, \boxed{3}", "4"),
        ("seat", r"\text{east}"),
        ("4210_7", "4210_{5}"),
        ("40_9", "40"),
        ("(3,4)", "(3,4]"),
        ("I do not know", "4"),
        ("", "4"),
        (r"\frac{1}{", "1"),
        ("{" * 5000, "1"),
        ("9" * 5000, "1"),
        (r"\boxed{}", "1"),
        ("$$$$", "1"),
        ("1_" + "1" * 6000, "1"),
    ],
)
def test_wrong_mathematics(text: str, gold: str) -> None:
    assert not grade(text, formula(gold)).correct


def test_mathematics_can_be_graded_outside_of_the_main_thread() -> None:
    graded: list[Grade] = []
    thread = threading.Thread(target=lambda: graded.append(grade("$17/2$", formula("8.5"))))
    thread.start()
    thread.join()
    assert graded[0].correct


def test_mathematics_without_math_verify_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    monkeypatch.setattr("cot_attn.data._latex.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'cot-attn\[math\]'"):
        grade("4", formula("4"))


TYPES = ["number", "boolean", "text", "math"]
# Pieces of which awkward answers are made.
CHARACTERS = "-−$%/.,:_ \n\\}é\u0301😀\x00Ⅷ²٣"
WORDS = ("18", "1,000", "1_", "####", "answer is", "yes", "no", "\\boxed{", "\\(")
PIECES = st.sampled_from([*CHARACTERS, *WORDS])
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=12).map("".join)


@pytest.mark.slow
@given(TEXTS, st.sampled_from(TYPES))
@example("\x0c-", "text")
@settings(deadline=None)
def test_no_text_raises_and_the_span_is_where_the_value_stands(text: str, kind: str) -> None:
    gold = {"number": "18", "boolean": "yes", "text": "a bc", "math": r"\text{bc}"}[kind]
    result = grade(text, Problem("p", "?", gold, kind))  # type: ignore[arg-type]
    if result.span is None:
        assert result == Grade(correct=False, value=None, span=None)
    else:
        start, end = result.span
        assert result.value == text[start:end]
        assert result.value.strip() == result.value != ""


@pytest.mark.slow
@given(TEXTS, st.sampled_from(TYPES))
@settings(deadline=None)
def test_whatever_can_be_a_gold_answer_is_right_against_itself(text: str, kind: str) -> None:
    try:
        problem = Problem("p", "?", text, kind)  # type: ignore[arg-type]
    except ValueError:
        assume(False)
    assert grade(text, problem).correct


def test_the_span_is_the_number_and_not_its_currency() -> None:
    text = "In all, the answer is: $1,800.50 (not 3)"
    result = grade(text, number("1800.5"))
    assert result.value == "1,800.50"
    assert text.index("1,800.50") == result.span[0]  # type: ignore[index]


def test_without_a_gold_answer_the_value_is_found_and_nothing_is_right() -> None:
    assert grade("The answer is: 18", Problem("p", "?")) == Grade(False, "18", (15, 17))


JOINED = ("1e", "1 000 ", "1½", "10^{", "×10^", "1:", "1 million ", "1 and ", "a1", "2^3", "m^2")
REPEATED = ("1,", "1,111", "1/", "1 ", "1.", "1_", "-$", "answer", "answer ", "yes ", "a .")
REPEATED_LATEX = ("\\frac{", "\\frac{1}{", "\\boxed{", "\\(", "\\text{")


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("piece", [*"1-.# ${}\\\n'é", *REPEATED, *JOINED, *REPEATED_LATEX])
def test_long_texts_take_time_in_proportion(piece: str, kind: str) -> None:
    gold = {"number": "18", "boolean": "yes", "text": "a b", "math": r"\text{b}"}[kind]
    problem = Problem("p", "?", gold, kind)  # type: ignore[arg-type]
    text = piece * (50_000 // len(piece))
    started = time.process_time()
    grade(text, problem)
    grade(text + "x", problem)
    # Under 0.5 s. In quadratic time it would be minutes.
    assert time.process_time() - started < 5
