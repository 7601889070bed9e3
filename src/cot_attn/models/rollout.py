"""One batch on its way from the prompt to the answer."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from cot_attn._former import former_method
from cot_attn.data.problem import Problem
from cot_attn.models._cache import RoomyCache
from cot_attn.models.feedback import Feedback, Moment
from cot_attn.models.finite import check_finite, finite_scores
from cot_attn.models.jacobi import Jacobi
from cot_attn.models.layout import Layout
from cot_attn.models.stages import Answer, Close, Prompt, Stage, Thought
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template
from cot_attn.models.unembedding import Workspace, unembed


@runtime_checkable
class Runnable(Protocol):
    """What a rollout needs of a model, which tells hooks by `running` where it stands."""

    bridge: TransformerBridge
    feedback: Feedback
    template: Template
    running: "Rollout | None"

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the input embeddings."""
        ...


class Rollout:
    """One batch of problems on its way from the prompt to the answer.

    It holds the key-value cache, the attention mask and the position of every row, so that each
    step feeds only what is new. `ContinuousThoughtModel.run` drives it from start to end; an
    intervention engine branches it.

    Parameters
    ----------
    model
        The model that runs.
    problems
        What the rows are about, in order.
    questions
        Token ids of each question, without BOT.
    n_thoughts
        How many thoughts the run has, or has at most where there is a stop rule.
    stop
        Which problems think no further, asked before each thought. What is fed to a problem that
        has stopped is never attended to and takes no position: whatever follows goes on behind its
        own last thought. Branches go on with the numbers of thoughts that were decided so far.

    Attributes
    ----------
    stage
        The stage that was entered last.
    layout
        Which column plays which role, and how many thoughts each problem has, as far as it is
        known.

    Examples
    --------
    Thought by thought, what the unembedding reads from the state that becomes it:

    >>> import torch
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems, questions = model.encode(load_problems("toy", n=1, difficulties=[3]))
    >>> problems[0].steps
    ('9', '18', '13')
    >>> with torch.no_grad():
    ...     rollout = model.rollout(problems, questions, n_thoughts=3)
    ...     rollout.read()
    ...     for index in range(3):
    ...         print(model.decode(rollout.logits(rollout.hidden).argmax(dim=-1).tolist()))
    ...         fed = rollout.think(index)
    9
    18
    13
    """

    stage: Stage

    def __init__(
        self,
        model: Runnable,
        problems: Sequence[Problem],
        questions: Sequence[Sequence[int]],
        n_thoughts: int,
        stop: StopRule | None = None,
    ) -> None:
        template = model.template
        prompts = [template.prompt(question) for question in questions]
        self.model = model
        self._stop, self._n_decided = stop, 0
        self.problems = tuple(problems)
        self.layout = Layout(
            question_lengths=tuple(len(prompt) - template.bot_width for prompt in prompts),
            bot_width=template.bot_width,
            n_thoughts=n_thoughts,
            eot_width=len(template.eot),
        )
        self._cache = RoomyCache()
        self._hidden_states: list[Tensor] = []
        self._sources: list[Tensor] = []  # of all thoughts, where a pass before this one made them
        device = model.device
        width = self.layout.bot.stop
        self._prompt = torch.full((len(prompts), width), template.eos, device=device)
        self._mask = torch.zeros((len(prompts), 0), dtype=torch.bool, device=device)
        self._positions = torch.zeros(len(prompts), dtype=torch.long, device=device)
        self._prompt_mask = torch.zeros_like(self._prompt, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            self._prompt[row, width - len(prompt) :] = torch.tensor(prompt, device=device)
            self._prompt_mask[row, width - len(prompt) :] = True

    @property
    def hidden(self) -> Float[Tensor, "batch d_model"]:
        """The hidden state, after the final norm, that becomes the next thought.

        Of a loop that makes all thoughts at once, that of the last position that was fed.
        """
        return self._hidden_states[-1]

    def read(self) -> None:
        """Read the prompts: the questions and BOT."""
        padded = self.model.dtype == torch.float64 and not self._prompt_mask.all()
        points = self.model.bridge.hook_points() if padded else ()
        with self._in_stage(Prompt()), finite_scores(points):
            self._think(self._prompt_mask, input_ids=self._prompt)
        if isinstance(self.model.feedback, Jacobi) and self.layout.n_thoughts:
            self._iterate(self.model.feedback)

    def think(
        self, index: int, fed: Float[Tensor, "batch d_model"] | None = None
    ) -> Float[Tensor, "batch d_model"]:
        """Feed thought `index` and return the vectors that were fed, NaN to problems without it.

        Without `fed`, the thought is made from the last hidden state.
        """
        with self._in_stage(Thought(index)):
            before, moment = self._source(index), self._moment(index)
            self._decide(moment)
            if index >= len(self.layout.thoughts):  # all have stopped
                return torch.full_like(before, torch.nan)
            fed = self.model.feedback(before, moment) if fed is None else fed
            if not self.layout.thought_lengths:
                everywhere = torch.ones_like(self._positions, dtype=torch.bool)[:, None]
                self._think(everywhere, inputs_embeds=fed[:, None])
                return fed
            lengths = torch.tensor(self.layout.thought_lengths, device=fed.device)
            going_on = (lengths > index)[:, None]
            # What stands in a column that nobody attends to has to be finite all the same.
            self._think(going_on, inputs_embeds=torch.where(going_on, fed, before)[:, None])
            self._hidden_states[-1] = torch.where(going_on, self.hidden, before)
            return fed.masked_fill(~going_on, torch.nan)

    def close(self) -> Float[Tensor, "batch d_vocab"]:
        """Feed EOT and return the logits of the first answer token."""
        eot = self._eot()
        with self._in_stage(Close()):
            hidden = self._step(torch.ones_like(eot, dtype=torch.bool), input_ids=eot)
            logits = self.logits(hidden[:, -1])
            check_finite("Logits", logits, self.problems, self.stage)
            return logits

    def answer(
        self,
        index: int,
        tokens: Int[Tensor, "batch n_tokens"],
        real: Bool[Tensor, "batch n_tokens"],
        workspace: Workspace | None = None,
    ) -> Float[Tensor, "batch n_tokens d_vocab"]:
        """Feed answer tokens from token `index` on and return the logits behind each of them.

        Where `real` is False a row has ended: what is fed there is never attended to. A pass over
        several tokens counts as the stage of its first. The logits may lie in a workspace until
        its next use.
        """
        with self._in_stage(Answer(index)):
            return self.logits(self._step(real, input_ids=tokens), workspace)

    def force_answer(
        self, tokens: Int[Tensor, "batch n_tokens"], real: Bool[Tensor, "batch n_tokens"]
    ) -> Float[Tensor, "batch n_tokens+1 d_model"]:
        """Feed EOT and a forced answer in one pass (teacher forcing), as the stage `Close`.

        Returns
        -------
        Tensor
            The hidden states behind EOT and behind each token: number t predicts answer token t.
            `logits` turns them, or a few of them, into logits.
        """
        eot = self._eot()
        everywhere = torch.ones_like(eot, dtype=torch.bool)
        with self._in_stage(Close()):
            hidden = self._step(
                torch.cat([everywhere, real], dim=1), input_ids=torch.cat([eot, tokens], dim=1)
            )
        return hidden[:, eot.shape[1] - 1 :]

    def logits(
        self, hidden: Float[Tensor, "*batch d_model"], workspace: Workspace | None = None
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Return the logits of hidden states, which may lie in a workspace until its next use."""
        return unembed(self.model.bridge.original_model, hidden, workspace)

    def branch(
        self,
        rows: Int[Tensor, " rows"],
        *,
        after: Stage | None = None,
        n_rows: int | None = None,
        n_columns: int | None = None,
        spare: "Rollout | None" = None,
    ) -> "Rollout":
        """Return a copy of chosen rows, repeats allowed, as they were just after a stage.

        What is fed to the copy leaves this rollout untouched.

        Parameters
        ----------
        rows
            Which rows.
        after
            The stage; by default the last one that was entered. Behind an answer stage, the rows
            should be ones whose answers had not ended.
        n_rows, n_columns
            How many rows and columns the copy will have in the end, as far as it is known; see
            `append_rows` and `view`.
        spare
            A rollout that nobody uses any more, whose memory may serve for the copy: large pieces
            of fresh memory are slow to get.
        """
        other = copy.copy(self)
        other.stage = after or self.stage
        width = self.layout.columns(after).stop if after else self._mask.shape[1]
        n_thoughts = min(max(width - self.layout.bot.stop, 0), self.layout.n_thoughts)
        other.problems, other.layout = (), self.layout.rows([])
        other._mask, other._positions = self._mask[:0, :width], self._positions[:0]
        other._hidden_states = [hidden[:0] for hidden in self._hidden_states[: n_thoughts + 1]]
        other._sources = [hidden[:0] for hidden in self._sources]
        n_rows, n_columns = max(n_rows or 0, len(rows)), max(n_columns or 0, width)
        n_shared = self.layout.bot.stop  # the prompt, which nothing that is fed to a copy changes
        other._cache = self._cache.empty_like(
            width, n_rows, n_columns, n_shared, None if spare is None else spare._cache
        )
        other.append_rows(self, rows)
        return other

    def append_rows(self, other: "Rollout", rows: Int[Tensor, " rows"]) -> None:
        """Add chosen rows of another rollout, as they were when it stood where this one stands.

        It is the rollout that this one was branched off. There is room for the rows; see `branch`.
        """
        self._cache.append_rows(other._cache, rows)
        indices, width = rows.tolist(), self._mask.shape[1]
        self.problems += tuple(other.problems[row] for row in indices)
        self.layout = self.layout.joined(other.layout.rows(indices))
        mask = other._mask[rows, :width]
        self._mask = torch.cat([self._mask, mask])
        self._positions = torch.cat([self._positions, mask.sum(dim=1)])
        # The other may have gone on from here.
        pairs = zip(self._hidden_states, other._hidden_states, strict=False)
        self._hidden_states = [torch.cat([hidden, more[rows]]) for hidden, more in pairs]
        sources = zip(self._sources, other._sources, strict=True)
        self._sources = [torch.cat([hidden, more[rows]]) for hidden, more in sources]

    def view(self, rows: slice) -> "Rollout":
        """Return some rows as a rollout of their own that shares the memory of this one.

        Feed one of the two only; see `merge`.
        """
        other = copy.copy(self)
        other.problems = self.problems[rows]
        other.layout = self.layout.rows(range(len(self.problems))[rows])
        other._mask, other._positions = self._mask[rows], self._positions[rows]
        other._hidden_states = [hidden[rows] for hidden in self._hidden_states]
        other._sources = [hidden[rows] for hidden in self._sources]
        other._cache = self._cache.view(rows)
        return other

    def merge(self, views: Sequence["Rollout"]) -> None:
        """Go on from where views stand, which together are all rows, in order."""
        self.stage = views[0].stage
        self._mask = torch.cat([view._mask for view in views])
        self._positions = torch.cat([view._positions for view in views])
        steps = zip(*(view._hidden_states for view in views), strict=True)
        self._hidden_states = [torch.cat(step) for step in steps]
        self._cache.merge([view._cache for view in views])

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep chosen rows alone, without repeats, in the order in which they are given."""
        indices = rows.tolist()
        self.problems = tuple(self.problems[row] for row in indices)
        self.layout = self.layout.rows(indices)
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        self._hidden_states = [hidden[rows] for hidden in self._hidden_states]
        self._sources = [hidden[rows] for hidden in self._sources]
        self._cache.select(rows)

    def truncated(self, n_rows: int, n_tokens: int) -> "Rollout":
        """Return the first rows as they were behind so many of their answer tokens.

        What is fed to them next stands right behind those tokens: some models attend by counting
        columns (windows, ALiBi), so no column may be left that holds no token of theirs. The memory
        is shared, and the tokens behind are overwritten. Where all rows stand there, it is this
        rollout.
        """
        width = self.layout.eot.stop + n_tokens
        if (n_rows, width) == self._mask.shape:
            return self
        other = self.view(slice(n_rows))
        other._mask = self._mask[:n_rows, :width].clone()
        other._mask[:, self.layout.eot.stop :] = True
        other._positions = other._mask.sum(dim=1)
        other._cache = self._cache.view(slice(n_rows), width)
        return other

    admit = former_method("Rollout", "admit", "append_rows")
    part = former_method("Rollout", "part", "view")
    rejoin = former_method("Rollout", "rejoin", "merge")
    keep = former_method("Rollout", "keep", "select")
    recite = former_method("Rollout", "recite", "force_answer")
    answered = former_method("Rollout", "answered", "truncated")

    @contextmanager
    def _in_stage(self, stage: Stage) -> Iterator[None]:
        """Tell hooks where the model is while a forward pass runs."""
        outer, self.model.running = self.model.running, self
        self.stage = stage
        try:
            yield
        finally:
            self.model.running = outer

    def _iterate(self, loop: Jacobi) -> None:
        """Run all passes over the thoughts but the last, and keep what that is made from."""
        mask, positions, width = self._mask, self._positions, self._mask.shape[1]
        everywhere = torch.ones_like(positions, dtype=torch.bool)[:, None]
        for iteration in range(loop.n_iterations):
            for index in range(self.layout.n_thoughts):
                with self._in_stage(Thought(index, iteration)):
                    moment = self._moment(index)
                    if iteration:
                        fed = loop(self._source(index), moment)
                    else:
                        fed = moment.embedded(loop.placeholder).expand_as(self.hidden)
                    self._think(everywhere, inputs_embeds=fed[:, None])
            self._sources = self._hidden_states[:-1]
            self._hidden_states = self._hidden_states[:1]
            self._mask, self._positions = mask, positions
            self._cache = self._cache.view(slice(len(self.problems)), width)
        self.stage = Prompt()

    def _source(self, index: int) -> Float[Tensor, "batch d_model"]:
        """Return the hidden states that become thought `index`."""
        return self._sources[index] if self._sources else self.hidden

    def _moment(self, thought: int) -> Moment:
        ids = tuple(problem.id for problem in self.problems)
        earlier = tuple(self._hidden_states[:-1])
        return Moment(self.model.bridge.original_model, ids, thought, earlier)

    def _decide(self, moment: Moment) -> None:
        """Ask the stop rule, where it has not been asked yet, who goes without this thought."""
        if self._stop is None or moment.thought < self._n_decided:
            return
        self._n_decided = moment.thought + 1
        stops = self._stop(self.hidden, moment).tolist()
        lengths = zip(self.layout.n_thoughts_each, stops, strict=True)
        self.layout = self.layout.stopped(
            [min(n, moment.thought) if stopped else n for n, stopped in lengths]
        )

    def _eot(self) -> Int[Tensor, "batch eot_width"]:
        eot = torch.tensor(self.model.template.eot, device=self._mask.device)
        return repeat(eot, "position -> row position", row=len(self.problems))

    def _think(self, real: Bool[Tensor, "batch width"], **inputs: Tensor) -> None:
        self._hidden_states.append(self._step(real, **inputs)[:, -1])

    def _step(
        self, real: Bool[Tensor, "batch width"], **inputs: Tensor
    ) -> Float[Tensor, "batch width d_model"]:
        inner = self.model.bridge.original_model.base_model
        hidden: Tensor = inner(**inputs, **self._extend(real)).last_hidden_state
        # What stands in the padding before a question is not looked at again.
        used = hidden[:, -1:] if isinstance(self.stage, Prompt) else hidden
        check_finite("Hidden states", used, self.problems, self.stage)
        return hidden

    def _extend(self, real: Bool[Tensor, "batch width"]) -> dict[str, Any]:
        """Extend mask and positions by the new columns and return them as model arguments."""
        self._mask = torch.cat([self._mask, real], dim=1)
        positions = self._positions[:, None] + real.cumsum(dim=1) - 1
        self._positions = self._positions + real.sum(dim=1)
        return {
            "attention_mask": self._mask.long(),
            "position_ids": positions.clamp(min=0),
            "past_key_values": self._cache,
            "use_cache": True,
        }
