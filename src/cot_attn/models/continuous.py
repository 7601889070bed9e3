"""A language model that thinks in vectors: question, thoughts, answer."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import xarray as xr

from cot_attn._progress import progress
from cot_attn.data.grading import value_token
from cot_attn.data.problem import Problem
from cot_attn.models._activation_shapes import Names, check_memory, probed
from cot_attn.models._gaps import check_window
from cot_attn.models.activations import check_distinct, chosen_stages, labelled, recorded
from cot_attn.models.decoding import greedy
from cot_attn.models.pretrained import PretrainedModel
from cot_attn.models.questions import Question, check_count, check_room, encode
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run, joined
from cot_attn.models.stages import Stage


class ContinuousThoughtModel(PretrainedModel):
    """A TransformerLens bridge that reads a question, feeds itself thoughts, and answers.

    Parameters
    ----------
    bridge
        Any causal language model as a `TransformerBridge`; its hook names work everywhere.
    feedback
        How the last hidden state becomes the next input embedding.
    template
        The tokens round question, thoughts and answer.
    n_thoughts
        How many thoughts a run has unless it is told otherwise; with `stop`, at most.
    stop
        When a problem has thought enough, such as `EntropyBelow(0.5)`; by default all problems
        think `n_thoughts` thoughts. It is asked before each thought.
    tokenizer
        Reads questions and writes answers; by default the bridge's, where that adds no token to a
        question (TransformerLens mostly lets it add a start token).
    name
        What results call this model.
    checkpoint
        Start of the SHA-256 of the weights that it has now; computed from the tensors when it is
        not given, and again once they have changed.
    load_report
        What was read from where, where it was loaded from files.

    Examples
    --------
    The bundled models put one step of a problem into each thought. With a thought too few, the
    answer is the step before:

    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=2, difficulties=[3])
    >>> [problem.steps for problem in problems]
    [('9', '18', '13'), ('0', '6', '12')]
    >>> model.generate(problems, n_thoughts=3)
    ['The answer is 13', 'The answer is 12']
    >>> model.generate(problems, n_thoughts=2)
    ['The answer is 18', 'The answer is 6']
    """

    def __repr__(self) -> str:
        return (
            f"ContinuousThoughtModel({self.name!r}, n_thoughts={self.n_thoughts}, "
            f"n_layers={self.n_layers}, n_heads={self.n_heads}, d_model={self.d_model}, "
            f"feedback={type(self.feedback).__name__}, dtype={self.dtype}, device={self.device})"
        )

    @torch.no_grad()
    def run(
        self,
        questions: Sequence[Question],
        *,
        max_new_tokens: int = 64,
        n_thoughts: int | None = None,
        batch_size: int | None = None,
    ) -> Run:
        """Read the questions, think, and answer greedily.

        A batch of mixed lengths gives what each question gives alone.

        Parameters
        ----------
        questions
            Problems, texts, or 1-D tensors of token ids (the question only, without BOT).
        max_new_tokens
            The greatest number of tokens in an answer; with 0 the run stops before the answer.
        n_thoughts
            How many thoughts; by default the model's own number. With a stop rule, at most so many:
            `Run.n_thoughts` says how many each problem had.
        batch_size
            How many questions run at once; by default all.

        Raises
        ------
        ValueError
            Where there is no question, an empty one, or one that leaves too little of the context.

        Warns
        -----
        UserWarning
            Where there is a stop rule by which no problem stopped.

        Examples
        --------
        >>> from cot_attn import ContinuousThoughtModel, load_problems
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> model.run(load_problems("toy", n=2, difficulties=[3]))
        Run(2 problems, thoughts 2x6x96, answers ['The answer is 13', 'The answer is 12']...)
        """
        n_thoughts = self.n_thoughts if n_thoughts is None else n_thoughts
        problems, tokens = self.encode(
            questions, n_thoughts=n_thoughts, max_new_tokens=max_new_tokens
        )
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give at least 1, or None for all.")
        size = batch_size or len(problems)
        runs = []
        with progress(f"{self.name} answers", len(problems)) as advance:
            for start in range(0, len(problems), size):
                batch = slice(start, start + size)
                rollout = self.rollout(problems[batch], tokens[batch], n_thoughts)
                runs.append(self._finish(rollout, tokens[batch], max_new_tokens))
                advance(len(rollout.problems))
        run = joined(runs)
        if self.stop is not None and n_thoughts and set(run.n_thoughts) == {n_thoughts}:
            warnings.warn(
                f"No problem stopped by {self.stop!r}: all {len(problems)} thought the greatest "
                f"number of thoughts, {n_thoughts}. Look at the rule, or raise n_thoughts.",
                stacklevel=3,
            )
        return run

    def run_with_cache(
        self,
        questions: Sequence[Question],
        names: Names,
        *,
        stages: Iterable[Stage] | None = None,
        max_new_tokens: int = 64,
        n_thoughts: int | None = None,
        batch_size: int | None = None,
        max_bytes: int = 2**31,
    ) -> tuple[Run, xr.Dataset]:
        """Run as `run` does and return the activations at some hooks as well.

        Parameters
        ----------
        questions, max_new_tokens, n_thoughts, batch_size
            As for `run`. No problem is given twice.
        names
            A hook name, a function that says whether a name is chosen, or several of both. Of
            those that a function chooses, the ones that have no activation of each problem are
            left out: hooks that are switched off, run over keys, or see whole numbers.
        stages
            When; by default `Prompt()`, every `Thought(i)` and `Close()`. Of a stage that feeds
            several positions, the last one counts.
        max_bytes
            The greatest memory for the activations, which are kept outside of any GPU.

        Returns
        -------
        tuple
            The run, and a dataset with one variable for each hook, whose dims are `problem`,
            `stage` (`bot`, `thought 0` .., `eot`, `answer 0` ..) and those of a vector or of heads.
            It is NaN where a hook is not called in a stage (nothing but thoughts passes the
            feedback) and where thoughts or answer had ended.

        Raises
        ------
        KeyError
            Where there is no such hook; near names are suggested.
        ValueError
            Where a stage is not part of the run, or a hook has no activation of each problem.
        MemoryError
            Before the run, where more than `max_bytes` would be taken.

        Examples
        --------
        >>> from cot_attn import ContinuousThoughtModel, load_problems
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> run, cache = model.run_with_cache(load_problems("toy", n=3), "blocks.1.hook_out")
        >>> dict(cache["blocks.1.hook_out"].sizes)
        {'problem': 3, 'stage': 8, 'd_model': 96}
        >>> cache["stage"].values[:3].tolist()
        ['bot', 'thought 0', 'thought 1']
        """
        n_thoughts = self.n_thoughts if n_thoughts is None else n_thoughts
        how = {"n_thoughts": n_thoughts, "max_new_tokens": max_new_tokens}
        problems, tokens = self.encode(questions, **how)
        check_distinct(problems)
        chosen = chosen_stages(stages, **how)
        activations = probed(self, names, chosen, problems[0], tokens[0])
        check_memory(activations, len(problems), len(chosen), max_bytes)
        with recorded(self, activations, chosen, len(problems)) as arrays:
            run = self.run(questions, batch_size=batch_size, **how)
        cache = labelled(self, arrays, chosen, run.problems)
        return run, cache.assign_attrs(self.provenance())

    def generate(self, questions: Sequence[Question], **options: Any) -> list[str]:
        """Return the answers alone; the options are those of `run`."""
        return self.run(questions, **options).answers

    def think(
        self,
        questions: Sequence[Question],
        *,
        n_thoughts: int | None = None,
        batch_size: int | None = None,
    ) -> Run:
        """Run until EOT has been fed and stop before the answer, whose texts are empty."""
        return self.run(questions, max_new_tokens=0, n_thoughts=n_thoughts, batch_size=batch_size)

    def _finish(self, rollout: Rollout, questions: list[list[int]], max_new_tokens: int) -> Run:
        rollout.read()
        thoughts = [rollout.think(index) for index in range(rollout.layout.n_thoughts)]
        nothing = self._embedding_weight.new_zeros(len(rollout.problems), 0, self.d_model)
        logits = rollout.close()
        answers = greedy(rollout, logits, max_new_tokens)
        run = Run(
            problems=rollout.problems,
            thoughts=torch.stack(thoughts, dim=1) if thoughts else nothing,
            answers=[self.decode(tokens) for tokens in answers],
            answer_tokens=answers,
            first_logits=logits,
            layout=rollout.layout.answered([len(tokens) for tokens in answers]),
            question_tokens=questions,
        )
        for watcher in self._watchers:
            watcher(run)
        return run

    def encode(
        self,
        questions: Sequence[Question],
        *,
        n_thoughts: int | None = None,
        max_new_tokens: int = 0,
    ) -> tuple[list[Problem], list[list[int]]]:
        """Return the problems and the token ids of their questions, without BOT.

        Raises
        ------
        ValueError
            Where there is no question, an empty one, or one that leaves too little of the context
            for thoughts and answer.
        """
        n_thoughts = self.n_thoughts if n_thoughts is None else n_thoughts
        check_count("n_thoughts", n_thoughts)
        check_count("max_new_tokens", max_new_tokens)
        vocabulary = len(self._embedding_weight)
        problems, tokens = encode(questions, self.tokenizer, self.template, vocabulary)
        check_room(problems, tokens, self.template, self.n_context, n_thoughts, max_new_tokens)
        if self.stop is not None:
            around = len(self.template.bot) + len(self.template.eot) + max_new_tokens
            longest = max(map(len, tokens)) + n_thoughts + around
            check_window(self.bridge.original_model.config, longest)
        return problems, tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return answer tokens as text."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def value_tokens(self, tokens: Sequence[int], span: tuple[int, int] | None) -> range | None:
        """Return which answer tokens hold a value that stands at `span` of the answer's text.

        Nothing is tokenised again: see `cot_attn.data.value_token`.
        """
        first = value_token(self.tokenizer, tokens, span)
        if first is None or span is None:
            return None
        last = value_token(self.tokenizer, tokens, (span[1] - 1, span[1]))
        return range(first, first + 1 if last is None else last + 1)
