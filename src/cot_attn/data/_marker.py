"""Where a model announces its answer.

CODI writes "The answer is: 18", Coconut "### 18" and GSM8K's own solutions "#### 18". Texts that
announce several answers give the last one, so the last marker counts.
"""

import re
from bisect import bisect_left

Span = tuple[int, int]
"""First character of a value in a text, and the one after its last."""

# Every repetition is possessive or of fixed length: no text makes the search slow.
MARKER = re.compile(r"#{3,}+|\banswer\s*+(?:is\b|[:=])", re.IGNORECASE)


def answer_start(text: str) -> int | None:
    """Return where the text goes on after its last marker, or None where it has none."""
    end = None
    for marker in MARKER.finditer(text):
        end = marker.end()
    return end


def announced(text: str, candidates: list[Span]) -> Span | None:
    """Choose the candidate that is the text's answer.

    It is the first one after the last marker that has any after it; in a text without markers,
    the last one.

    Parameters
    ----------
    text
        What a model wrote.
    candidates
        Spans of possible values, from left to right.
    """
    if not candidates:
        return None
    starts = [start for start, _ in candidates]
    ends = [m.end() for m in MARKER.finditer(text) if m.end() <= starts[-1]]
    return candidates[bisect_left(starts, ends[-1])] if ends else candidates[-1]
