"""What recorders of attention share: which layers and heads, and which run they are in."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.models.stages import Prompt
from cot_attn.recording._selection import Indices, selected

Kind = TypeVar("Kind", bound="Recorder")


class Recorder(ABC):
    """Follow the attention of every run inside a `with` block.

    A recorder says what it does when a run starts (`_start`), of each attention pattern in it
    (`_record`) and when it is finished (`_finish`), and how it forgets a run (`_forget`).

    Parameters
    ----------
    model
        The model whose runs are recorded.
    layers, heads
        Which ones; by default all. Negative numbers count from the end.
    """

    def __init__(
        self, model: ContinuousThoughtModel, layers: Indices | None, heads: Indices | None
    ) -> None:
        self.model = model
        self.layers = selected("layer", layers, model.n_layers)
        self.heads = selected("head", heads, model.n_heads)
        self._rollout: Rollout | None = None
        self._stack = ExitStack()

    def __enter__(self: Kind) -> Kind:
        hooks = [(f"blocks.{layer}.attn.hook_pattern", self._follow) for layer in self.layers]
        self._stack.enter_context(self.model.hooks(hooks))
        self._stack.enter_context(self.model.watch(self._end))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._leave()

    def _follow(self, pattern: Float[Tensor, "batch head query key"], hook: Any) -> None:
        rollout = self.model.running
        if rollout is None:
            return
        if isinstance(rollout.stage, Prompt) and rollout is not self._rollout:
            self._start(rollout)
            self._forget()
            self._rollout = rollout
        if rollout is self._rollout:  # else it is a branch of somebody else's
            self._record(pattern, rollout)

    def _end(self, run: Run) -> None:
        self._finish(run)
        self._leave()

    def _leave(self) -> None:
        self._rollout = None
        self._forget()

    def _start(self, rollout: Rollout) -> None:  # noqa: B027 (most have nothing to check)
        """Raise where the run that begins cannot be recorded beside the earlier ones."""

    @abstractmethod
    def _record(self, pattern: Float[Tensor, "batch head query key"], rollout: Rollout) -> None:
        """Take what is wanted of one layer's pattern in one forward."""

    @abstractmethod
    def _finish(self, run: Run) -> None:
        """Turn what was recorded of a run into a result."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was recorded of a run."""
