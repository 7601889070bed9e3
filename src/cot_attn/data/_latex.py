r"""Answers that are mathematics, written in LaTeX, compared by math-verify.

Where the answer stands: in the last `\boxed{...}`; otherwise behind the last "###" or "answer is",
to the end of that line; otherwise anywhere in the text. Of such a part of the text the formula is
taken that stands between dollars (or `\(` and `\)`, `\[` and `\]`), the last one or, behind a
marker, the first; where nothing is set off like that, the whole part.

math-verify gives up a comparison after five seconds and calls it wrong. In threads other than the
main one, and on Windows, it cannot: there the time is not limited.
"""

import os
import re
import threading
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from cot_attn.data import _number as number
from cot_attn.data import _sentence as sentence
from cot_attn.data._marker import Span, answer_start

LONGEST = 400  # characters; the longest answer of MATH-500 has under 100
SECONDS = 5

DELIMITER = re.compile(r"\\[\\$]|\$\$?|\\[()\[\]]")  # "\\" and "\$" are none, but hide one
CLOSING = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
WORDS = re.compile(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}")
BRACE = re.compile(r"\\boxed\{|\\[\\{}]|[{}]")  # "\{" is none, but hides one
BASE = re.compile(r"\d ?_ ?\{?(\d+)\}?$")  # as in 4210_{5}


def require() -> None:
    """Raise an ImportError that says what to do if math-verify is not there."""
    if find_spec("math_verify") is None:
        raise ImportError(
            "Answers of the type 'math' are compared by math-verify, which is not installed. "
            "Get it with: pip install 'cot-attn[math]'"
        )


def find(text: str) -> Span | None:
    r"""Return where in the text the answer's formula stands, or None.

    Examples
    --------
    >>> find(r"Hence \boxed{\frac{14}{3}}.")
    (13, 25)
    """
    boxed = _boxed(text)
    if boxed is not None:
        return boxed
    start = answer_start(text)
    if start is None:
        formulas = _formulas(text)
        return formulas[-1] if formulas else _trimmed(text, 0, len(text))
    line_start = start + len(text[start:]) - len(text[start:].lstrip(" \t\r\n:="))
    line_end = text.find("\n", line_start)
    line_end = len(text) if line_end < 0 else line_end
    formulas = _formulas(text[line_start:line_end])
    if formulas:
        return line_start + formulas[0][0], line_start + formulas[0][1]
    return _trimmed(text, line_start, line_end)


def same(value: str, gold: str) -> bool:
    r"""Whether two formulas mean the same.

    Raises
    ------
    ImportError
        If math-verify is not installed.

    Examples
    --------
    >>> same(r"\frac{28}{6}", r"\frac{14}{3}"), same("p + q", "p - q")
    (True, False)
    """
    require()
    if value == gold:
        return True
    numbers = number.read(value), number.read(gold)
    if None not in numbers:  # math-verify reads 1e-05 as e - 5, and 1 000 as 0
        return numbers[0] == numbers[1]
    if WORDS.fullmatch(gold):  # letters would be multiplied: "east" = e * a * s * t = "seat"
        return _words(value) == _words(gold)
    if _base(value) not in (None, _base(gold)):  # math-verify does not look at bases
        return False
    return len(value) <= LONGEST and _verify(value, gold)


def _boxed(text: str) -> Span | None:
    """Return the inside of the last box that is closed."""
    opened: list[int | None] = []  # where the inside of a box begins; None for other braces
    inside = None
    for match in BRACE.finditer(text):
        if match.group() == "}":
            start = opened.pop() if opened else None
            inside = inside if start is None else (start, match.start())
        elif match.group() == "{":
            opened.append(None)
        elif match.group() == r"\boxed{":
            opened.append(match.end())
    return _trimmed(text, *inside) if inside else None


def _formulas(text: str) -> list[Span]:
    """Return the insides of all delimited formulas, from left to right."""
    spans: list[Span] = []
    opened: tuple[int, str] | None = None
    for match in DELIMITER.finditer(text):
        if opened is None:
            if match.group() in CLOSING:
                opened = match.end(), CLOSING[match.group()]
        elif match.group() == opened[1]:
            span = _trimmed(text, opened[0], match.start())
            spans += [span] if span else []
            opened = None
    return spans


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Return the span without white space around it and without a full stop."""
    span = text[start:end]
    end = start + len(span.rstrip().removesuffix(".").rstrip())
    start += len(span) - len(span.lstrip())
    return (start, end) if start < end else None


def _base(formula: str) -> str | None:
    """Return the base in which a number is said to be written."""
    match = BASE.search(formula)
    return match[1] if match else None


def _words(formula: str) -> str:
    """Return words without LaTeX and without the brackets of a choice such as "(C)"."""
    return sentence.normalise(WORDS.sub(r"\1", formula).strip()).strip("()")


def _seconds() -> int | None:
    """Time limits rest on a signal, which only the main thread gets."""
    limited = os.name == "posix" and threading.current_thread() is threading.main_thread()
    return SECONDS if limited else None


@lru_cache(maxsize=4096)
def _parse(formula: str, seconds: int | None) -> Any:
    from math_verify import LatexExtractionConfig, parse

    return parse(f"${formula}$", [LatexExtractionConfig()], parsing_timeout=seconds)


def _verify(value: str, gold: str) -> bool:
    from math_verify import verify

    seconds = _seconds()
    parsed = _parse(gold, seconds), _parse(value, seconds)
    return bool(verify(*parsed, timeout_seconds=seconds))
