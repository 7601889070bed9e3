"""The tokens that stand around a question, its thoughts and its answer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Template:
    r"""The tokens that stand around a question, its thoughts and its answer.

    Parameters
    ----------
    bot
        Token ids that close the question. The last one's hidden state becomes thought 0. Where no
        token opens the thoughts there are none, and the question's last token stands in their
        place: it is BOT in results, and not part of the question.
    eot
        Token ids that close the thoughts. The last one predicts the first answer token.
    eos
        The token id that ends an answer.
    suppressed
        Token ids that decoding never emits.
    question_prefix, question_suffix
        Text put before and behind the question before it is tokenised. A question that is given as
        token ids already has both. As a key, it counts to the question.
    special_tokens
        Whether the tokenizer may add tokens of its own to a question, such as a start token.
    normalise_spaces
        Whether the question is stripped and its double spaces made single before tokenising.
    stop_at_first
        Whether an EOS in the very first place ends the answer. Where it does not, that EOS stays
        in the answer and decoding goes on.
    answer_marker
        Text after which the answer's value stands, where the family writes one.

    Examples
    --------
    CODI's on GPT-2, whose BOT and EOT follow the last id of the base:

    >>> template = Template(bot=(50258,), eot=(50259,), eos=50256, normalise_spaces=True)
    >>> template.text("  What is  1 + 1? ")
    'What is 1 + 1?'

    Coconut's writes a line break behind the question:

    >>> Template(bot=(50257,), eot=(50258,), eos=50256, question_suffix="\n").text("1 + 1?")
    '1 + 1?\n'
    """

    bot: tuple[int, ...]
    eot: tuple[int, ...]
    eos: int
    suppressed: tuple[int, ...] = ()
    question_suffix: str = ""
    normalise_spaces: bool = False
    stop_at_first: bool = True
    answer_marker: str | None = None
    question_prefix: str = ""
    special_tokens: bool = True

    def __post_init__(self) -> None:
        if not self.eot:
            raise ValueError(
                "Template.eot is empty. Its last token predicts the answer, so it needs at least "
                "one token id."
            )

    @property
    def bot_width(self) -> int:
        """Number of columns that close the question: the tokens of BOT, or what stands for them."""
        return max(len(self.bot), 1)

    def prompt(self, question: Sequence[int]) -> list[int]:
        """Return the tokens that are read before thinking, the last of which predicts thought 0."""
        return [*question, *self.bot]

    def text(self, question: str) -> str:
        """Return the question as it is tokenised."""
        if self.normalise_spaces:
            question = question.strip().replace("  ", " ")
        return self.question_prefix + question + self.question_suffix

    def to_dict(self) -> dict[str, Any]:
        """Return the template as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Template":
        """Rebuild a template from `to_dict`."""
        tuples = {name: tuple(values[name]) for name in ("bot", "eot", "suppressed")}
        return cls(**{**values, **tuples})
