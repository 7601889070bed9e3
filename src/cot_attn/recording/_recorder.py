"""What recorders share: which layers they listen to, and which run they are in."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TypeVar

from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.models.run import Run
from cot_attn.models.stages import Prompt, in_earlier_pass
from cot_attn.recording.selection import Indices, selected

PATTERN = "blocks.{}.attn.hook_pattern"
Kind = TypeVar("Kind", bound="Recorder")


class Recorder(ABC):
    """Follow an activation of every run inside a `with` block.

    A recorder says what it does when a run starts (`_start`), of each activation in it (`_record`)
    and when it is finished (`_finish`), and how it forgets a run (`_forget`). Branches of a run,
    and what the library runs on its own account, are no part of it.

    Parameters
    ----------
    model
        The model whose runs are recorded.
    hook
        Name of the hook, with `{}` for the layer.
    layers
        Which ones; by default all. Negative numbers count from the end.
    """

    def __init__(self, model: ContinuousThoughtModel, hook: str, layers: Indices | None) -> None:
        self.model = model
        self.layers = selected("layer", layers, model.n_layers)
        self._hook = hook
        self._rollout: Rollout | None = None
        self._stack = ExitStack()

    def __enter__(self: Kind) -> Kind:
        hooks = [(self._hook.format(layer), self._follow) for layer in self.layers]
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

    def _follow(self, activation: Tensor, hook: Any) -> None:
        rollout = self.model.running
        if rollout is None:
            return
        if isinstance(rollout.stage, Prompt) and rollout is not self._rollout:
            self._start(rollout)
            self._forget()
            self._rollout = rollout
        # Others are branches of somebody else's, or passes that another one follows.
        if rollout is self._rollout and not in_earlier_pass(rollout.stage):
            self._record(activation, rollout)

    def _end(self, run: Run) -> None:
        self._finish(run)
        self._leave()

    def _leave(self) -> None:
        self._rollout = None
        self._forget()

    def _start(self, rollout: Rollout) -> None:  # noqa: B027 (most have nothing to check)
        """Raise where the run that begins cannot be recorded beside the earlier ones."""

    @abstractmethod
    def _record(self, activation: Tensor, rollout: Rollout) -> None:
        """Take what is wanted of one layer's activation in one forward."""

    @abstractmethod
    def _finish(self, run: Run) -> None:
        """Turn what was recorded of a run into a result."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was recorded of a run."""
