"""Answers that are sentences, such as ProsQA's "Sally is a sterpus.".

The answer is what follows the last "###" or "answer is", and all the text where there is no such
marker: Coconut's own rule. Two sentences are the same if they differ in nothing but case, space,
quotation marks and the punctuation at their ends.
"""

import re
import unicodedata

from cot_attn.data._marker import Span, answer_start

EDGES = " .,;:!?=*\"'`“”‘’"
LEADING_EDGES = re.compile(rf"^[\s{re.escape(EDGES)}]+")
SPACE_BEFORE_POINT = re.compile(r" (?=[.,;:!?])")


def normalise(text: str) -> str:
    """Return the text without what does not matter.

    Examples
    --------
    >>> normalise(' "Sally  is a Sterpus ." ')
    'sally is a sterpus'
    """
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return SPACE_BEFORE_POINT.sub("", words).strip(EDGES)


def find(text: str) -> Span | None:
    """Return where in the text the answer stands, or None.

    Examples
    --------
    >>> find("### Sally is a sterpus.")
    (4, 23)
    """
    start = answer_start(text) or 0
    answer = text[start:]
    if not normalise(answer):
        return None
    stripped = LEADING_EDGES.sub("", answer)
    start += len(answer) - len(stripped)
    return start, len(text.rstrip())


def same(value: str, gold: str) -> bool:
    """Whether two sentences are the same after normalisation."""
    return normalise(value) == normalise(gold)
