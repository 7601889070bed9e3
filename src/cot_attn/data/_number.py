r"""Answers that are numbers.

Which number counts: the first one after the last "###" or "answer is" that has one; in a text
without such a marker, the last one. For what the models were trained to write this agrees with
both official evaluations: CODI's takes the last number of the text, Coconut's what stands behind
"###". It differs from CODI's where more numbers follow: "The answer is: 18 eggs in 3 boxes" is 18
here and 3 there.

How it is read: exactly, as a fraction, and whole or not at all.

- 18, 18.0, .5, 1e-05, 1.5E+3: as Python writes numbers.
- 1,000, 1 000, 1'000, 1_000: groups of three digits, all divided by the same sign.
- 3/4, 3 / 4, ½, \frac{3}{4}, 1 1/2, 1½: fractions, and mixed numbers.
- 10^3, 10^{3}, 10**3, 10³, 2 × 10^3: powers with a whole exponent.
- 2.5 million: scales from hundred to trillion.
- -10, −10, -$10: a minus sign counts unless it stands directly behind a word, a digit or a
  bracket, where it is a subtraction or a range. Signs of currency and percent are units: "$50",
  "50%" and "50" are the same answer, as they are in GSM8K. So is a word behind the number: "18 kg",
  "7 dozen".

What is none of these is no number, and no part of it is: 1,5 and 1,00 (a decimal comma, or two
numbers?), 1.2.3, 1:30, dates, telephone numbers, 0x1F, 5k, 3-4, 2π, x^2, 3 and a half, 0.333...
If such a one stands where the answer does, the text has no value. In a sum or a range that the
answer begins with, as in "The answer is: 3-4", the first number is not the value either; at the
end of a text the last number is, as in "16-3=13". The digits may be those of any script.
"""

import re
import unicodedata
from fractions import Fraction

from cot_attn.data._marker import Span, announced, answer_start
from cot_attn.data._numeral import (
    CURRENCY,
    MINUS,
    POWER,
    SCALE,
    SCALES,
    SLASH,
    SPACE,
    TIMES,
    UNIT_POWER,
    VULGAR,
    numerals,
    whole,
)

LONGEST = 1000  # characters; Python refuses to read much longer integers, and means it
LARGEST = 5000  # digits of a power; NumPy's widest floats have 4932

DIGITS = r"[\d.٫．,_'’٬]*+(?<=\d)"
DECIMAL = re.compile(
    rf"(?:\d++|(?!0)\d{{1,3}}(?:([,_'’٬]|{SPACE})\d{{3}}(?:\1\d{{3}})*)?)?(?:[.٫．]\d++)?"
)
NUMBER = re.compile(
    rf"""
    (?:(?P<sign>{MINUS})(?:{CURRENCY}{SPACE}?)?)?
    (?:
        (?:(?P<whole>\d++){SPACE})?(?P<top>{DIGITS}){SPACE}?{SLASH}{SPACE}?(?P<bottom>{DIGITS})
      | (?:(?P<count>\d++){SPACE}?)?(?:
            (?P<vulgar>[{VULGAR}]) | \\[dt]?frac\{{(?P<over>{DIGITS})\}}\{{(?P<under>{DIGITS})\}}
        )
      | (?P<plain>{DIGITS}(?:{SPACE}{DIGITS})*)
        (?: [eE](?P<exponent>[+\-−]?\d++) | {SPACE}?{TIMES}{SPACE}?10(?P<shift>{POWER})
          | (?P<power>{POWER}) )?
    )
    (?P<scale>{SCALE}*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
SPELT_OUT = set("*×÷±√∛∜∞π^=<>≤≥≈!")
"""What makes a gold answer a formula."""


def find(text: str) -> Span | None:
    """Return where in the text the answer's number stands, or None.

    Examples
    --------
    >>> find("16 - 3 - 4 = 9, so the answer is: $18.")
    (35, 37)
    >>> find("The answer is: 1.2.3")
    """
    span = announced(text, numerals(text))
    if span is None or not whole(text, span) or read(text[slice(*span)]) is None:
        return None
    return span


def find_gold(text: str) -> Span | None:
    """Return where the number of a gold answer stands, or None if the answer is not one number.

    Words, currency and punctuation may stand beside it, but no second number.

    Examples
    --------
    >>> find_gold("$1,450 a day"), find_gold("3-4"), find_gold("1,5")
    ((1, 6), None, None)
    """
    start = answer_start(text) or 0
    span = find(text)
    if span is None or [place for place in numerals(text) if place[1] > start] != [span]:
        return None
    beside = text[start : span[0]] + text[span[1] :]
    beside = re.sub(UNIT_POWER, "", beside)
    formula = any(c in SPELT_OUT or (c.isnumeric() and c not in "²³") for c in beside)
    return None if formula else span


def read(value: str) -> Fraction | None:
    """Read a number as `find` finds them; None if it is not one, or is divided by zero.

    Examples
    --------
    >>> read("-1,234.50")
    Fraction(-2469, 2)
    >>> read("1 1/2"), read("1½"), read("1.5e-3")
    (Fraction(3, 2), Fraction(3, 2), Fraction(3, 2000))
    >>> read("1,5")
    """
    match = NUMBER.fullmatch(value) if len(value) <= LONGEST else None
    if match is None:
        return None
    number = _scientific(match) if match["plain"] else _fraction(match)
    if number is None:
        return None
    zeros = sum(SCALES[word.rstrip("s")] for word in re.findall("[a-z]+", match["scale"].lower()))
    factor = Fraction(10) ** zeros
    return -number * factor if match["sign"] else number * factor


def same(value: str, gold: str) -> bool:
    """Whether two numbers are exactly equal.

    Examples
    --------
    >>> same("18.0", "18"), same("70,000", "70000"), same("0.33", "1/3")
    (True, True, False)
    """
    number = read(value)
    return number is not None and number == read(gold)


def _decimal(text: str) -> Fraction | None:
    if not DECIMAL.fullmatch(text):
        return None
    return Fraction(re.sub(r"[^\d.]", "", re.sub("[٫．]", ".", text)))


def _scientific(match: re.Match[str]) -> Fraction | None:
    """Read a decimal number, with or without an exponent."""
    number = _decimal(match["plain"])
    power = match["exponent"] or match["shift"] or match["power"]
    if number is None or power is None:
        return number
    exponent = int(re.sub(r"[^\d\-]", "", unicodedata.normalize("NFKC", power).replace("−", "-")))
    digits = len(match["plain"]) if match["power"] else 1
    if digits * abs(exponent) > LARGEST:
        return None
    if not match["power"]:
        return number * Fraction(10) ** exponent
    return Fraction(number**exponent) if number or exponent > 0 else None


def _fraction(match: re.Match[str]) -> Fraction | None:
    """Read a fraction or a mixed number."""
    if match["vulgar"]:
        over, under = unicodedata.normalize("NFKC", match["vulgar"]).split("⁄")
    else:
        over, under = match["top"] or match["over"], match["bottom"] or match["under"]
    top, bottom = _decimal(over), _decimal(under)
    if top is None or not bottom:
        return None
    units = match["whole"] or match["count"]
    if units is None:
        return top / bottom
    torn = match["whole"] and len(over) == 3  # 1 500/1000: a mixed number, or 1500/1000?
    if torn or top >= bottom or not (over + under).isdecimal():
        return None
    return int(units) + top / bottom
