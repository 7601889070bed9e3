"""A language model that thinks in vectors: question, thoughts, answer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from os import PathLike
from typing import Any

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerBase

from cot_attn._progress import progress
from cot_attn.data.problem import Problem
from cot_attn.data.spans import value_token
from cot_attn.models.decoding import greedy
from cot_attn.models.feedback import Feedback
from cot_attn.models.hooks import (
    HookFunction,
    HookName,
    attached,
    checked,
    none_in_vain,
    set_aside,
)
from cot_attn.models.integrity import WeightHash, check_unprocessed
from cot_attn.models.questions import Question, check_adds_nothing, encode
from cot_attn.models.registry import Family
from cot_attn.models.report import LoadReport
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run, joined
from cot_attn.models.stages import Stage
from cot_attn.models.template import Template


class ContinuousThoughtModel:
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
        How many thoughts a run has unless it is told otherwise.
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
    """

    def __init__(
        self,
        bridge: TransformerBridge,
        feedback: Feedback,
        template: Template,
        n_thoughts: int,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        name: str | None = None,
        checkpoint: str | None = None,
        load_report: LoadReport | None = None,
    ) -> None:
        _check_count("n_thoughts", n_thoughts)
        check_unprocessed(bridge)
        self.bridge = bridge
        self.feedback = feedback.to(device=self.device, dtype=self.dtype)
        self.template = template
        self.n_thoughts = n_thoughts
        if tokenizer is None:
            check_adds_nothing(bridge.tokenizer)
        self.tokenizer: PreTrainedTokenizerBase = tokenizer or bridge.tokenizer
        self.name = name or str(bridge.cfg.model_name)
        self.running: Rollout | None = None
        self.load_report = load_report
        self._weight_hash = WeightHash(self, checkpoint)
        self._watchers: list[Callable[[Run], None]] = []
        self._isolated = False
        self.hooks_set_aside: tuple[str, ...] = ()

    # What it is -------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        device: torch.device = self._embedding_weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the input embeddings."""
        dtype: torch.dtype = self._embedding_weight.dtype
        return dtype

    @property
    def _embedding_weight(self) -> Tensor:
        weight: Tensor = self.bridge.original_model.get_input_embeddings().weight
        return weight

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def n_heads(self) -> int:
        """Number of attention (query) heads in a block."""
        return int(self.bridge.cfg.n_heads)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def d_kv(self) -> int:
        """Width of a layer's keys, all key-value heads together."""
        cfg = self.bridge.cfg
        n_heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
        return int(n_heads * cfg.d_head)

    @property
    def n_context(self) -> int:
        """The greatest number of positions, or a number out of reach where there is no limit."""
        limit = getattr(self.bridge.original_model.config, "max_position_embeddings", None)
        return int(limit) if limit else 2**31

    @property
    def checkpoint(self) -> str:
        """First twelve hex digits of the SHA-256 of the weights, as they are now."""
        return self._weight_hash()

    @property
    def source(self) -> dict[str, Any] | None:
        """What `from_pretrained` makes this model from again, or None where it was made in memory.

        `name_or_path`, and every other argument that is not its default.
        """
        read = self.load_report
        if read is None:
            return None
        made = {"name_or_path": read.source, **read.options}
        same = read.settings.get("n_thoughts") == self.n_thoughts
        return made if same else {**made, "n_thoughts": self.n_thoughts}

    def provenance(self) -> dict[str, str]:
        """Return what a result says about the model that it came from."""
        return {"model": self.name, "checkpoint": self.checkpoint, "dtype": str(self.dtype)}

    def __repr__(self) -> str:
        return (
            f"ContinuousThoughtModel({self.name!r}, n_thoughts={self.n_thoughts}, "
            f"n_layers={self.n_layers}, n_heads={self.n_heads}, d_model={self.d_model}, "
            f"feedback={type(self.feedback).__name__}, dtype={self.dtype}, device={self.device})"
        )

    # What it does -----------------------------------------------------------------------------

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
            How many thoughts; by default the model's own number.
        batch_size
            How many questions run at once; by default all.

        Raises
        ------
        ValueError
            Where there is no question, an empty one, or one that leaves too little of the context.
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
        return joined(runs)

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

    def rollout(
        self, problems: Sequence[Problem], questions: Sequence[Sequence[int]], n_thoughts: int
    ) -> Rollout:
        """Return one batch at its start, to be driven step by step."""
        check_unprocessed(self.bridge)
        self.bridge.eval()
        self.feedback.eval()
        return Rollout(self, problems, questions, n_thoughts)

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

    # Questions and answers --------------------------------------------------------------------

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
        _check_count("n_thoughts", n_thoughts)
        _check_count("max_new_tokens", max_new_tokens)
        vocabulary = len(self._embedding_weight)
        problems, tokens = encode(questions, self.tokenizer, self.template, vocabulary)
        closing = len(self.template.bot) + len(self.template.eot)
        room = self.n_context - closing - n_thoughts - max_new_tokens
        for problem, ids in zip(problems, tokens, strict=True):
            if len(ids) > room:
                raise ValueError(
                    f"The question of problem {problem.id!r} has {len(ids)} tokens; at most "
                    f"{max(room, 0)} fit into a context of {self.n_context} with {n_thoughts} "
                    f"thoughts, {closing} tokens round them and {max_new_tokens} answer tokens. "
                    "Leave it out, or lower max_new_tokens or n_thoughts."
                )
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

    # Hooks ------------------------------------------------------------------------------------

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Iterable[tuple[HookName, HookFunction]],
        *,
        stages: Iterable[Stage] | None = None,
    ) -> Iterator["ContinuousThoughtModel"]:
        """Add TransformerLens hooks for as long as the context lasts.

        Parameters
        ----------
        fwd_hooks
            Pairs of a hook name (or a function that chooses names) and a function
            `fn(activation, hook)` that returns a new activation or None. Besides the bridge's
            names there are `feedback.hook_in` and `feedback.hook_out`. At one hook they are called
            in the order in which they were added, recorders included.
        stages
            The stages in which the functions are called; by default all. While a function runs,
            `model.running` says which problems, stage and columns it sees.

        What the library runs on its own account is left alone; see `isolated`.

        Raises
        ------
        KeyError
            Where a name is not a hook of this model; near names are suggested. Where a function
            chooses no name.
        TypeError
            Where `stages` are anything else than stages.
        ValueError
            Where a stage cannot be. At the end of the context, where the model has run and a
            function was never called, because no stage was reached or the hook is not passed there.

        Examples
        --------
        Remove the third thought of every question:

        >>> from cot_attn import ContinuousThoughtModel, Thought
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> remove = lambda fed, hook: 0 * fed
        >>> with model.hooks([("feedback.hook_out", remove)], stages=[Thought(2)]):
        ...     run = model.think(["any question"])  # doctest: +SKIP
        """
        chosen = None if stages is None else checked(stages)
        with ExitStack() as stack:
            silent = stack.enter_context(attached(self, fwd_hooks, chosen))
            if not self._isolated:
                stack.enter_context(none_in_vain(self, silent, chosen))
            yield self

    @contextmanager
    def watch(self, watcher: Callable[[Run], None]) -> Iterator[None]:
        """Call a function with the `Run` of every batch that ends while the context lasts.

        What the library runs on its own account is left out; see `isolated`.
        """
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    @contextmanager
    def isolated(self) -> Iterator["ContinuousThoughtModel"]:
        """Set every hook and watcher aside for as long as the context lasts, then put all back.

        What the library runs on its own account (checks of sites, validation, baselines, variants
        and noise floors) runs in here: no recorder sees it, and no hook sees or changes it. A
        result says which weights it came from, and hooks are not part of them. Hooks that are
        added inside the context work.
        """
        outer = self._watchers, self._isolated, self.hooks_set_aside
        self._watchers, self._isolated = [], True
        try:
            with set_aside([*self.bridge.hook_points(), *self.feedback_points]) as names:
                self.hooks_set_aside += tuple(names)
                yield self
        finally:
            self._watchers, self._isolated, self.hooks_set_aside = outer

    @property
    def feedback_points(self) -> tuple[HookPoint, HookPoint]:
        """The hook points of the feedback; all others are the bridge's."""
        return (self.feedback.hook_in, self.feedback.hook_out)

    # Files ------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | PathLike[str],
        *,
        family: Family | None = None,
        base: str | PathLike[str] | None = None,
        n_thoughts: int | None = None,
        lora_alpha: int | float | None = None,
        use_rslora: bool | None = None,
        remove_eos: bool | None = None,
        bot: int | None = None,
        eot: int | None = None,
        weights: str | None = None,
        sha256: str | None = None,
        revision: str | None = None,
        dtype: torch.dtype | str = torch.float32,
        device: str | torch.device | None = None,
        validate: bool = True,
    ) -> "ContinuousThoughtModel":
        """Load a bundled model, a hub id, a local folder or a weight file.

        The parameters are those of `cot_attn.models.load`.
        """
        from cot_attn.models.loading import load

        return load(
            name_or_path,
            family=family,
            base=base,
            n_thoughts=n_thoughts,
            lora_alpha=lora_alpha,
            use_rslora=use_rslora,
            remove_eos=remove_eos,
            bot=bot,
            eot=eot,
            weights=weights,
            sha256=sha256,
            revision=revision,
            dtype=dtype,
            device=device,
            validate=validate,
        )

    def save_pretrained(self, folder: str | PathLike[str], *, dtype: Any = None) -> None:
        """Write the model as one folder that needs nothing else; see `cot_attn.models.save`."""
        from cot_attn.models.pretrained import save

        save(self, folder, dtype=dtype)


def _check_count(name: str, value: int) -> None:
    given: object = value
    if isinstance(given, bool) or not isinstance(given, Integral) or value < 0:
        raise ValueError(f"{name} is {value!r}; give a whole number, 0 or more.")
