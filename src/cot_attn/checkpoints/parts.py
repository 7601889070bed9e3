"""What a model that thinks is made of."""

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cot_attn.checkpoints.report import LoadReport
from cot_attn.models.feedback import Feedback
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template


@dataclass(frozen=True)
class ModelParts:
    """What a model that thinks is made of; nothing of a file format is left in it.

    `ContinuousThoughtModel.from_pretrained` builds a model from what `load` returns, and
    `model.parts` is what `save` writes.

    Attributes
    ----------
    language_model
        The Hugging Face model, LoRA merged, vocabulary grown.
    tokenizer
        The base's tokenizer with the added tokens.
    feedback
        From hidden state to thought.
    template
        The tokens round question, thoughts and answer.
    n_thoughts
        How many thoughts a run has unless it is told otherwise.
    name
        What results call the model.
    report
        What was read from where, where it was read from files.
    checkpoint
        First twelve hex digits of the SHA-256 of the weights, where a file says it.
    stop
        When a problem has thought enough; None where all think `n_thoughts` thoughts.

    Examples
    --------
    >>> from cot_attn.checkpoints import load
    >>> parts = load("toy-gpt2")
    >>> type(parts.language_model).__name__, type(parts.feedback).__name__, parts.n_thoughts
    ('GPT2LMHeadModel', 'Projection', 6)
    """

    language_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    feedback: Feedback
    template: Template
    n_thoughts: int
    name: str
    report: LoadReport | None = None
    checkpoint: str | None = None
    stop: StopRule | None = None
