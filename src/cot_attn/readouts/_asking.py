"""What is looked for, in whose states."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Int

from cot_attn.readouts._chains import Tokens
from cot_attn.readouts._others import matched_others
from cot_attn.readouts._vocabulary import Spelling, Vocabulary


@dataclass(frozen=True)
class Asked:
    """What is looked for in whose states.

    Attributes
    ----------
    vocabulary
        Words.
    spelled
        Of each problem and target, the ways to write it; none where there is no target.
    n_tokens
        Tokens of the shortest.
    donors
        For each problem and target whose states are searched: its own, then the others'.
    words
        For each problem, the words that are looked for in its states.
    """

    vocabulary: Vocabulary
    spelled: list[list[tuple[Spelling, ...]]]
    n_tokens: Int[np.ndarray, "problem target"]
    donors: Int[np.ndarray, "problem target searched"]
    words: list[Int[np.ndarray, " _"]]

    @classmethod
    def of(cls, texts: xr.DataArray, vocabulary: Vocabulary, n_others: int) -> "Asked":
        """Return what texts ask for, and in which others' states they are looked for.

        Raises
        ------
        ValueError
            Where the tokenizer cannot write one of them.
        """
        ids = texts["problem"].values
        distinct_texts = {text for text in texts.values.flat if text.strip()}
        spellings = {text: _spelled(text, texts, vocabulary) for text in sorted(distinct_texts)}
        spelled = [[spellings.get(text, ()) for text in row] for row in texts.values]
        lengths = [[min((len(s.tokens) for s in each), default=0) for each in r] for r in spelled]
        n_tokens = np.array(lengths).reshape(texts.shape)
        own_problem = np.where(n_tokens > 0, np.arange(len(ids))[:, None], -1)[..., None]
        donors = np.concatenate([own_problem, matched_others(ids, n_tokens, n_others)], axis=2)
        words: list[set[int]] = [set() for _ in ids]
        for problem, target, searched in np.argwhere(donors >= 0):
            donor = donors[problem, target, searched]
            words[donor] |= {spelling.word for spelling in spelled[problem][target]}
        return cls(
            vocabulary, spelled, n_tokens, donors, [np.array(sorted(w), dtype=int) for w in words]
        )

    def chains(self) -> dict[int, set[Tokens]]:
        """Return the tokens to force, by the problem from whose places."""
        chains: dict[int, set[Tokens]] = {}
        for problem, target, searched in np.argwhere(self.donors >= 0):
            for spelling in self.spelled[problem][target]:
                if spelling.tail:
                    donor = int(self.donors[problem, target, searched])
                    chains.setdefault(donor, set()).add(spelling.tokens)
        return chains


def _spelled(text: str, texts: xr.DataArray, vocabulary: Vocabulary) -> tuple[Spelling, ...]:
    try:
        return vocabulary.spellings(text)
    except ValueError as error:
        row, column = np.argwhere(texts.values == text)[0]
        problem, target = texts["problem"].values[row], texts["target"].values[column]
        raise ValueError(f"{target} of problem {problem!r} cannot be looked for. {error}") from None
