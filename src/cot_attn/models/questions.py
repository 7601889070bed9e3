"""From what a user asks to token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from cot_attn.data.problem import Problem
from cot_attn.models.template import Template

Question = Problem | str | Tensor
"""A problem, a text, or a 1-D tensor of token ids (the question only, without BOT)."""


@dataclass(frozen=True)
class TokenProblem(Problem):
    """A question that was given as token ids, which remain what is fed.

    Its text is for reading: tokenised again it may give other ids.
    """

    tokens: tuple[int, ...] = ()


def encode(
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    n_vocabulary: int,
) -> tuple[list[Problem], list[list[int]]]:
    """Return the problems and the token ids of their questions, without BOT.

    Parameters
    ----------
    questions
        Problems, texts, or 1-D tensors of token ids.
    tokenizer, template
        How texts become tokens.
    n_vocabulary
        Number of token ids that the model knows.
    """
    if isinstance(questions, str | Problem | Tensor):
        raise TypeError(
            f"questions is one {type(questions).__name__}; give a list, as in [question]."
        )
    if not len(questions):
        raise ValueError("There are no questions. Give at least one problem, text or tensor.")
    problems, tokens = [], []
    for question in questions:
        problem: Problem
        if isinstance(question, Tensor):
            problem = _from_tokens(question, tokenizer, n_vocabulary)
            ids = list(problem.tokens)
        elif isinstance(question, TokenProblem):
            problem, ids = question, _tokens_of(question, tokenizer)
        elif isinstance(question, Problem | str):
            problem = Problem.from_text(question) if isinstance(question, str) else question
            ids = _read(problem, tokenizer, template)
        else:
            raise TypeError(
                f"A question is a {type(question).__name__}; accepted are a Problem, a text, or a "
                "1-D tensor of token ids."
            )
        if not ids:
            raise ValueError(f"The question {problem.question!r} has no tokens.")
        problems.append(problem)
        tokens.append(ids)
    return problems, tokens


def _read(problem: Problem, tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    text = template.text(problem.question)
    try:
        ids: list[int] = tokenizer(text, add_special_tokens=template.special_tokens)["input_ids"]
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise ValueError(
            f"The question of problem {problem.id!r} is {problem.question!r}, which the tokenizer "
            f"cannot read ({error}). Give words that it knows."
        ) from error
    return ids


def _from_tokens(
    tokens: Tensor, tokenizer: PreTrainedTokenizerBase, n_vocabulary: int
) -> TokenProblem:
    integers = not (tokens.is_floating_point() or tokens.is_complex())
    if tokens.ndim != 1 or not len(tokens) or not integers:
        raise ValueError(
            f"A question is a tensor of shape {tuple(tokens.shape)} and {tokens.dtype}; accepted "
            "are 1-D tensors of at least one token id, without BOT."
        )
    if tokens.min() < 0 or tokens.max() >= n_vocabulary:
        raise ValueError(
            f"A question has token ids from {tokens.min()} to {tokens.max()}; this model's "
            f"vocabulary goes from 0 to {n_vocabulary - 1}."
        )
    ids: list[int] = tokens.tolist()
    return TokenProblem(
        Problem.from_text(_written(ids)).id, _text(ids, tokenizer), tokens=tuple(ids)
    )


def check_room(
    problems: Sequence[Problem],
    tokens: Sequence[Sequence[int]],
    template: Template,
    n_context: int,
    n_thoughts: int,
    max_new_tokens: int,
) -> None:
    """Raise where a question leaves too little of the context for thoughts and answer."""
    closing = len(template.bot) + len(template.eot)
    room = n_context - closing - n_thoughts - max_new_tokens
    for problem, ids in zip(problems, tokens, strict=True):
        if len(ids) > room:
            raise ValueError(
                f"The question of problem {problem.id!r} has {len(ids)} tokens; at most "
                f"{max(room, 0)} fit into a context of {n_context} with {n_thoughts} "
                f"thoughts, {closing} tokens round them and {max_new_tokens} answer tokens. "
                "Leave it out, or lower max_new_tokens or n_thoughts."
            )


def check_count(name: str, value: int) -> None:
    """Raise where a number of thoughts or tokens is no whole number from 0 on."""
    argument: object = value  # a user may give anything
    if isinstance(argument, bool) or not isinstance(argument, Integral) or value < 0:
        raise ValueError(f"{name} is {value!r}; give a whole number, 0 or more.")


def check_adds_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise where a bridge's tokenizer puts tokens of its own round every question.

    TransformerLens lets the tokenizers that it is given begin with a start token, for its own use;
    most thinking models were not trained with one.
    """
    added = tokenizer("a")["input_ids"]
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    if added != plain:
        raise ValueError(
            f"The bridge's tokenizer makes {added} of a text that is {plain}: tokens that it adds "
            "itself. Give as tokenizer= the one that the model was trained with, as it was loaded: "
            "where that adds a start token too, it is meant."
        )


def _tokens_of(problem: TokenProblem, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids = list(problem.tokens)
    if _text(ids, tokenizer) != problem.question:
        raise ValueError(
            f"Problem {problem.id!r} was given as token ids, which this model's tokenizer reads as "
            f"another text than {problem.question!r}. Give the text, or the ids of this tokenizer."
        )
    return ids


def _text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    text = str(tokenizer.decode(list(ids)))
    return text if text.strip() else _written(ids)


def _written(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))
