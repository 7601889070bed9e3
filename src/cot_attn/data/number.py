"""Answers that are numbers.

Which number counts: the first one after the last "###" or "answer is" that has one; in a text
without such a marker, the last one. For what the models were trained to write this agrees with
both official evaluations: CODI's takes the last number of the text, Coconut's what stands behind
"###". It differs from CODI's where more numbers follow: "The answer is: 18 eggs in 3 boxes" is 18
here and 3 there.

How it is read: exactly, as a fraction. Commas between groups of three digits are dropped; "3/4"
and "1 1/2" are fractions; a minus sign counts unless it stands directly behind a word, a digit or
a bracket, where it is a subtraction or a range. Signs of currency and percent are units: "$50",
"50%" and "50" are the same answer, as they are in GSM8K.
"""

import re
from fractions import Fraction

from cot_attn.data.marker import Span, announced

LONGEST = 1000  # characters; Python refuses to read much longer integers, and means it
DECIMAL = r"(?:(?:\d{1,3}(?:,\d{3}(?!\d))++|\d++)(?:\.\d++)?+|(?<!\d)\.\d++)"
# The sign may be a hyphen, a minus or an en dash, and a currency may follow it ("-$5").
NUMBER = re.compile(
    r"(?:(?<![\w)\]}])(?P<sign>[-−–])(?:[$€£¥₹] ?)?)?"
    r"(?:(?P<whole>\d++) (?=\d++/\d))?"
    rf"(?P<top>{DECIMAL})(?: ?/ ?(?P<bottom>{DECIMAL}))?"
)


def find(text: str) -> Span | None:
    """Return where in the text the answer's number stands, or None.

    Examples
    --------
    >>> find("16 - 3 - 4 = 9, so the answer is: $18.")
    (35, 37)
    """
    matches = NUMBER.finditer(text)
    return announced(text, [m.span() for m in matches if read(m.group()) is not None])


def read(value: str) -> Fraction | None:
    """Read a number as `find` finds them; None if it is not one, or is divided by zero.

    Examples
    --------
    >>> read("-1,234.50")
    Fraction(-2469, 2)
    >>> read("1 1/2")
    Fraction(3, 2)
    """
    match = NUMBER.fullmatch(value)
    if match is None or len(value) > LONGEST:
        return None
    whole, top, bottom = (
        Fraction((match[part] or default).replace(",", ""))
        for part, default in (("whole", "0"), ("top", "0"), ("bottom", "1"))
    )
    if not bottom:
        return None
    return (whole + top / bottom) * (-1 if match["sign"] else 1)


def same(value: str, gold: str) -> bool:
    """Whether two numbers are exactly equal.

    Examples
    --------
    >>> same("18.0", "18"), same("70,000", "70000"), same("0.33", "1/3")
    (True, True, False)
    """
    number = read(value)
    return number is not None and number == read(gold)
