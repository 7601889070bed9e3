"""How wide a text is, and where to break it: known before anything is drawn."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

Weight = Literal["normal", "bold"]


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: Weight = "normal") -> float:
    """Give the width of a text in points, in the style's font.

    Examples
    --------
    >>> text_width("thought", 12.0) == 2 * text_width("thought", 6.0)
    True
    """
    if not text.strip():
        return 0.3 * size * len(text)
    # Outlines, not pixels: glyphs are hinted to whole pixels at small sizes.
    font = FontProperties(family="DejaVu Sans", weight=weight)
    outline, _ = text_to_path.get_text_path(font, text)
    # Curves have points of their own at their extremes. Some characters have no outline.
    rightmost = max((x for x, _ in outline), default=0.0)
    return float(rightmost) * size / text_to_path.FONT_SCALE


def visible(token: str) -> str:
    r"""Return a token without the spaces round it, and what has no ink as a sign or an escape.

    Examples
    --------
    >>> visible(" apples"), visible(" ")
    ('apples', '␣')
    >>> print(visible("a\u200bb"))  # a space of no width
    a\u200bb
    """
    signs = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in token.strip())
    return "".join(signs) or "␣"


def wrapped(
    phrases: Sequence[str],
    size: float,
    width: float,
    joint: str = " · ",
    weight: Weight = "normal",
) -> list[str]:
    """Set parts in lines of at most that width in points; only a part that is wider is broken.

    It is broken between words, and a word behind a stroke, dash or dot, or else anywhere.

    Examples
    --------
    >>> wrapped(["92 problems", "layer 3", "filled: q < 0.05"], size=7.0, width=100.0)
    ['92 problems · layer 3', 'filled: q < 0.05']
    >>> wrapped(["where the answer looked"], size=7.0, width=60.0)
    ['where the', 'answer looked']
    >>> wrapped(["internlm/SIM_COT-LLaMA3-CODI-8B"], size=7.0, width=70.0)
    ['internlm/SIM_COT-', 'LLaMA3-CODI-8B']
    """
    lines: list[str] = []
    for phrase in phrases:
        longer = f"{lines[-1]}{joint}{phrase}" if lines else phrase
        if lines and text_width(longer, size, weight) <= width:
            lines[-1] = longer
        elif len(phrase) > 1 and text_width(phrase, size, weight) > width:
            pieces, between = _pieces(phrase)
            lines += wrapped(pieces, size, width, between, weight)
        else:
            lines.append(phrase)
    return lines


def _pieces(phrase: str) -> tuple[list[str], str]:
    """Take a part to pieces as coarsely as it allows, and give what stood between them."""
    if " " in phrase:
        return phrase.split(" "), " "
    pieces = re.findall(r"[^-/_.]*[-/_.]|[^-/_.]+", phrase)
    return (pieces if len(pieces) > 1 else list(phrase)), ""
