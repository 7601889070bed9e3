"""Answers that are truth values: yes or no, true or false.

Which word counts: the first one after the last "###" or "answer is"; in a text without such a
marker, the word that opens the text ("Yes, because no fish ..."), or else the last one.
"""

import re

from cot_attn.data._marker import Span, announced, answer_start

MEANING = {"yes": True, "true": True, "no": False, "false": False}
WORD = re.compile(rf"\b(?:{'|'.join(MEANING)})\b", re.IGNORECASE)


def find(text: str) -> Span | None:
    """Return where in the text the answer's word stands, or None.

    Examples
    --------
    >>> find("A fish has no legs. The answer is: True")
    (35, 39)
    """
    spans = [match.span() for match in WORD.finditer(text)]
    opens = bool(spans) and not any(map(str.isalnum, text[: spans[0][0]]))
    if opens and answer_start(text) is None:
        return spans[0]
    return announced(text, spans)


def find_gold(text: str) -> Span | None:
    """Return where the word of a gold answer stands, or None if there is not just one.

    Examples
    --------
    >>> find_gold("True."), find_gold("yes and no")
    ((0, 4), None)
    """
    return find(text) if len(WORD.findall(text, answer_start(text) or 0)) == 1 else None


def same(value: str, gold: str) -> bool:
    """Whether two words mean the same truth value.

    Examples
    --------
    >>> same("Yes", "true"), same("no", "true")
    (True, False)
    """
    meaning = MEANING.get(value.lower())
    return meaning is not None and meaning == MEANING.get(gold.lower())
