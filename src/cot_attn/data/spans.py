"""From characters of an answer to the tokens that were generated."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Decoder(Protocol):
    """What is needed of a tokenizer: Hugging Face's, `transformers` or `tokenizers`, have it."""

    def decode(self, token_ids: list[int], skip_special_tokens: bool = ...) -> Any:
        """Return the text of these tokens."""
        ...


def value_token(
    tokenizer: Decoder, tokens: Sequence[int], span: tuple[int, int] | None
) -> int | None:
    """Find the generated token in which a value begins.

    Only prefixes of the generated tokens are decoded. Nothing is tokenised again: a model may
    have written "18" as "1" and "8" where the tokenizer would write it as one token.

    Parameters
    ----------
    tokenizer
        What decoded the answer.
    tokens
        The ids of the generated answer, special tokens included or not.
    span
        Where the value stands in `tokenizer.decode(tokens, skip_special_tokens=True)`, as in
        `Grade.span`.

    Returns
    -------
    int | None
        Index into `tokens` of the token that holds the value's first character or, of a character
        in several tokens (bytes), its first part. None if `span` is None.

    Raises
    ------
    ValueError
        If the span lies outside of the tokens' text.
    """
    if span is None:
        return None
    ids = list(tokens)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    start = span[0]
    if not 0 <= start < len(text):
        raise ValueError(
            f"The value begins at character {start}, but these tokens are a text of {len(text)} "
            f"characters: {text!r}. Give the span that was found in just that text."
        )

    # Once the value is reached it stays so: the first such prefix can be found by halving.
    reached = partial(_reaches, tokenizer, ids, text[:start])
    return bisect_left(range(1, len(ids) + 1), True, key=reached)


def _reaches(tokenizer: Decoder, ids: list[int], before: str, n_tokens: int) -> bool:
    """Whether the first tokens hold all before a value, and something at its place.

    The something may be a replacement character, while the bytes of the true one are not all
    there. What stands before must be right, for unfinished bytes can decode to more characters
    than the finished ones.
    """
    prefix = tokenizer.decode(ids[:n_tokens], skip_special_tokens=True)
    return len(prefix) > len(before) and prefix.startswith(before)
