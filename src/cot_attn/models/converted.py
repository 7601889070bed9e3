"""What the reader of a checkpoint family hands on."""

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cot_attn.models.feedback import Feedback
from cot_attn.models.template import Template

Setting = int | float | bool | str | None


@dataclass(frozen=True)
class Converted:
    """A checkpoint as plain parts: nothing of its file format is left in them.

    Attributes
    ----------
    language_model
        The Hugging Face model in float32, LoRA merged, vocabulary grown.
    tokenizer
        The base's tokenizer with the added tokens.
    feedback
        From hidden state to thought.
    template
        The tokens round question, thoughts and answer.
    n_tensors
        How many of the checkpoint's tensors these were made from.
    repeated, unused
        Keys whose tensor repeats another's, and known keys that are not needed.
    settings
        What the shapes of the tensors and the files beside them said.
    notes
        What was done to the checkpoint that is not always done, a sentence each.
    """

    language_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    feedback: Feedback
    template: Template
    n_tensors: int
    repeated: tuple[str, ...]
    unused: tuple[str, ...]
    settings: dict[str, Setting]
    notes: tuple[str, ...]
