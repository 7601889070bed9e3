"""The words that a model can say: the spellings of one word, "7" and " 7", are one."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

UNFINISHED = "\ufffd"  # what part of a character's bytes decodes to


@dataclass(frozen=True)
class Spelling:
    """One way to write a text: its first word, and the tokens that follow.

    Attributes
    ----------
    word
        The word that its first token spells.
    tokens
        All its tokens. Where the first one has several spellings, it is the one that the tokenizer
        writes behind a space.
    """

    word: int
    tokens: tuple[int, ...]

    @property
    def tail(self) -> tuple[int, ...]:
        """The tokens behind the first."""
        return self.tokens[1:]


class Vocabulary:
    """What each token spells, where space at its edges makes no other word.

    Parameters
    ----------
    tokenizer
        What reads and writes tokens.
    n_tokens
        How many tokens the model has; one that the tokenizer does not know is a word of its own.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> None:
        self._tokenizer = tokenizer
        self.texts: list[str] = list(tokenizer.batch_decode([[token] for token in range(n_tokens)]))
        number: dict[tuple[str, int], int] = {}
        words = []
        for token, text in enumerate(self.texts):
            # Parts of characters all decode alike, and are different words.
            whole = bool(text) and UNFINISHED not in text
            key = (text.strip() or text, -1) if whole else ("", token)
            words.append(number.setdefault(key, len(number)))
        self.n_words = len(number)
        self.word_of: Int[Tensor, " token"] = torch.tensor(words)
        self._word = {text: word for (text, token), word in number.items() if token < 0}
        self._members: dict[int, list[int]] = defaultdict(list)
        for token, word in enumerate(words):
            self._members[word].append(token)

    def total(self, probabilities: Float[Tensor, "n token"]) -> Float[Tensor, "n word"]:
        """Add up the probabilities of each word's spellings."""
        if self.n_words == probabilities.shape[1]:
            return probabilities
        totals = probabilities.new_zeros(len(probabilities), self.n_words)
        return totals.index_add_(1, self.word_of.to(totals.device), probabilities)

    def best(self, scores: Float[Tensor, "n token"]) -> Float[Tensor, "n word"]:
        """Take the greatest score of each word's spellings."""
        if self.n_words == scores.shape[1]:
            return scores
        word_of = self.word_of.to(scores.device).expand(len(scores), -1)
        lowest = scores.new_full((len(scores), self.n_words), -torch.inf)
        return lowest.scatter_reduce_(1, word_of, scores, "amax")

    def tokens_of(self, words: Int[Tensor, " some"]) -> Int[Tensor, "some most"]:
        """Return the tokens that spell some words, filled up with -1."""
        listed = [self._members[word] for word in words.tolist()]
        most = max(map(len, listed), default=0)
        return torch.tensor([tokens + [-1] * (most - len(tokens)) for tokens in listed])

    def spellings(self, text: str) -> tuple[Spelling, ...]:
        """Return the ways to write a text, "7" and " 7" alike.

        A text that is one word is that word, whatever longer ways there are to write it.

        Raises
        ------
        ValueError
            Where the tokenizer cannot write it.
        """
        wanted = text.strip()
        if (word := self._word.get(wanted)) is not None:
            return (Spelling(word, (self._members[word][0],)),)
        found: dict[tuple[int, tuple[int, ...]], Spelling] = {}
        for written in (f" {wanted}", wanted):
            tokens = list(self._tokenizer(written, add_special_tokens=False)["input_ids"])
            while tokens and not self.texts[tokens[0]].strip():
                tokens.pop(0)  # a space by itself is no part of the word
            if not tokens or str(self._tokenizer.decode(tokens)).strip() != wanted:
                raise ValueError(
                    f"The tokenizer cannot write {wanted!r}: it makes "
                    f"{self._tokenizer.decode(tokens)!r} of it. Give a text of its vocabulary."
                )
            spelling = Spelling(int(self.word_of[tokens[0]]), tuple(tokens))
            found.setdefault((spelling.word, spelling.tail), spelling)
        return tuple(found.values())
