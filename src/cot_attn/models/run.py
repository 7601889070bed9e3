"""What a model did with a batch of questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn import _html
from cot_attn.data.grading import grade
from cot_attn.data.problem import Problem
from cot_attn.models.layout import Layout

SHOWN = 6  # problems that a notebook shows of a run


@dataclass(frozen=True)
class Run:
    """What a model did with a batch of questions.

    Attributes
    ----------
    problems
        What was asked, in order.
    thoughts
        The vectors that were fed, (batch, n_thoughts, d_model); NaN where a problem had stopped.
    answers
        The answers as text.
    answer_tokens
        The answers' token ids, without the EOS that ends them; token j is what the stage
        `Answer(j)` feeds. Under a template that does not stop at an EOS in the first place
        (Coconut's), such an EOS ends nothing: it is fed, and it is token 0.
    first_logits
        Logits of the first answer token, (batch, d_vocab), before any token is suppressed.
    layout
        Which position plays which role.
    question_tokens
        Token ids of the questions as they were fed, without BOT.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, Thought, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> run = model.run(load_problems("toy", n=2, difficulties=[3]))
    >>> run.answers
    ['The answer is 13', 'The answer is 12']
    >>> run.thoughts[:, 2].shape  # thought 2 of both problems
    torch.Size([2, 96])
    >>> run.layout.columns(Thought(2)).start - run.layout.bot.start
    3
    """

    problems: tuple[Problem, ...]
    thoughts: Float[Tensor, "batch n_thoughts d_model"]
    answers: list[str]
    answer_tokens: list[list[int]]
    first_logits: Float[Tensor, "batch d_vocab"]
    layout: Layout
    question_tokens: list[list[int]]

    @property
    def n_thoughts(self) -> tuple[int, ...]:
        """How many thoughts each problem had; without a stop rule all have the same number."""
        return self.layout.n_thoughts_each

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.thoughts.shape))
        return (
            f"Run({len(self.problems)} problems, thoughts {shape}, answers {self.answers[:3]}...)"
        )

    def _repr_html_(self) -> str:
        """Show in a notebook how many answers are right, and the first of them."""
        graded = [
            grade(answer, problem).correct if problem.answer is not None else None
            for problem, answer in zip(self.problems, self.answers, strict=True)
        ]
        _, n_thoughts, width = self.thoughts.shape
        said = [
            (
                f"{n_thoughts} thoughts of width {width} each; {graded.count(True)} answers right, "
                f"{graded.count(False)} wrong, {graded.count(None)} without a gold answer"
            )
        ]
        if len(self.problems) > SHOWN:
            said.append(f"The first {SHOWN}:")
        marks = {True: "right", False: "wrong", None: ""}
        rows = [
            (problem.question, problem.answer or "", answer, marks[right])
            for problem, answer, right in zip(self.problems, self.answers, graded, strict=True)
        ]
        columns = ["question", "gold answer", "model's answer", ""]
        heading = f"Run of {len(self.problems)} problems"
        return str(_html.summary(heading, said) + _html.table(columns, rows[:SHOWN]))


def joined(runs: Sequence[Run]) -> Run:
    """Return the runs of several batches as one."""
    first, *others = runs
    if not others:
        return first
    return Run(
        problems=tuple(problem for run in runs for problem in run.problems),
        thoughts=torch.cat([run.thoughts for run in runs]),
        answers=[answer for run in runs for answer in run.answers],
        answer_tokens=[tokens for run in runs for tokens in run.answer_tokens],
        first_logits=torch.cat([run.first_logits for run in runs]),
        layout=first.layout.joined(*(run.layout for run in others)),
        question_tokens=[tokens for run in runs for tokens in run.question_tokens],
    )
