"""Reads Coconut checkpoints (Hao et al. 2024, arXiv:2412.06769), SIM-CoT's among them.

One state dict holds the language model as `base_causallm.*` and its input embedding once more as
`embedding.weight`. The vocabulary has three tokens more than the base: start, end and a
placeholder where a thought is fed. SIM-CoT adds `expainable_llm.*` (so spelt), an auxiliary decoder
that is for training only.

Controls that were trained with the same curriculum have a `pause_embedding`, which is fed in the
place of every thought. Whether that is done in one pass or in several makes no difference to what
is computed.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo, Family
from cot_attn.models.feedback import Feedback, Identity
from cot_attn.models.loops import Constant
from cot_attn.models.template import Template

_PAUSE = "pause_embedding"


class Coconut(Format):
    """The format of Coconut's checkpoints."""

    family: ClassVar[Family] = "coconut"
    title = "Coconut"
    prefix = "base_causallm."
    duplicate = "embedding."
    added = AddedTokens(
        ("<|start-latent|>", "<|end-latent|>", "<|latent|>"),
        bot="<|start-latent|>",
        eot="<|end-latent|>",
    )
    answer_marker: ClassVar[str | None] = "###"

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        return Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            question_suffix="\n",
            # Coconut's decoding looks for EOS from the second answer token on.
            stop_at_first=False,
            answer_marker=info.answer_marker,
        )

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the pause embedding of a control; otherwise the hidden state is fed back."""
        return {_PAUSE: (d_model,)} if _PAUSE in tensors else {}

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the identity, or the pause embedding of a control."""
        return Constant(tensors[_PAUSE]) if _PAUSE in tensors else Identity()
