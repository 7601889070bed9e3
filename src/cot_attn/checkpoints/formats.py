"""What tells one project's checkpoints from another's."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import Tensor

from cot_attn.checkpoints._base import Base, read_base
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints._weights import Weights
from cot_attn.checkpoints.registry import CheckpointInfo, Family
from cot_attn.checkpoints.report import Setting
from cot_attn.models.feedback import Feedback
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template


class Format(ABC):
    """The format of a family's checkpoints: where its parts are, and what they become.

    What all families share is in `conversion`: LoRA is merged, the vocabulary grown, and the
    keys compared with those that the model needs.

    Attributes
    ----------
    family
        What users call the family.
    title
        What errors call it.
    prefix
        How the keys of the language model begin.
    duplicate
        How the keys of a second copy of its input embedding begin, if there is one.
    added
        The tokens that the family adds to the vocabulary.
    answer_marker
        Text after which the answer's value stands, where the family writes one.
    needs_base
        Whether a checkpoint's architecture and tokenizer stand in other files than its weights.
    on_base
        Whether a checkpoint holds what was trained alone, so that the base's weights are read too.
    notes
        What the load report says of every such checkpoint.
    """

    family: ClassVar[Family]
    title: ClassVar[str]
    prefix: ClassVar[str]
    duplicate: ClassVar[str | None] = None
    added: ClassVar[AddedTokens]
    answer_marker: ClassVar[str | None] = None
    needs_base: ClassVar[bool] = True
    on_base: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = ()

    def base(self, source: str, weights: Weights) -> Base:
        """Return the architecture and the tokenizer of a checkpoint."""
        return read_base(source)

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether keys are those of such a checkpoint."""
        return any(key.startswith(self.prefix) for key in keys)

    def accepts(self, keys: Iterable[str]) -> bool:
        """Whether keys can be those of such a checkpoint when the user says so."""
        return self.recognises(keys)

    @abstractmethod
    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""

    @abstractmethod
    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the keys and shapes that the feedback's tensors must have."""

    @abstractmethod
    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the feedback that the tensors hold."""

    def stop(self, vocabulary: Vocabulary) -> StopRule | None:
        """Return when a problem has thought enough; by default all think the same number."""
        return None

    def check(self, vocabulary: Vocabulary, tensors: Iterable[str]) -> None:  # noqa: B027
        """Raise where a checkpoint of the family asks for what is not read."""

    def settings(self, info: CheckpointInfo, feedback: Feedback) -> dict[str, Setting]:
        """Return what the load report says of such a checkpoint beside what it says of all."""
        return {}
