"""Reads checkpoints of LatentTTS (You et al. 2025, arXiv:2510.07745): CODI and Coconut retrained.

They are stored as Hugging Face stores a language model, with the projection beside it: in
`projector.*`, 1 and 3 are linear, a GELU stands between them and 4 is a LayerNorm. Without one the
hidden state is fed back as it is (Coconut's), and a line break stands behind the question. The
tokens that open and close the thoughts have the names of Coconut's in both, and their ids are in
the files of the tokenizer.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from cot_attn.checkpoints._feedback import projection_of
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.checkpoints.report import Setting
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.template import Template

_PROJECTION = {"projector.1": "expand", "projector.3": "contract", "projector.4": "norm"}


class LatentTts(Format):
    """The format of LatentTTS' checkpoints."""

    family = "latent-tts"
    title = "LatentTTS"
    prefix = ""
    added = AddedTokens(
        ("<|latent|>", "<|start-latent|>", "<|end-latent|>"),
        bot="<|start-latent|>",
        eot="<|end-latent|>",
    )

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether there is a projector; without one it looks like any language model."""
        return any(key.startswith("projector.") for key in keys)

    def accepts(self, keys: Iterable[str]) -> bool:
        """Whether keys can be those of such a checkpoint when the user says so."""
        return any(key.startswith(("transformer.", "model.")) for key in keys)

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        return Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            question_suffix="\n" if isinstance(feedback, Identity) else "",
            answer_marker=info.answer_marker,
        )

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the keys and shapes of the projector, where there is one."""
        if not self.recognises(tensors):
            return {}
        bias = tensors.get("projector.1.bias")
        d_hidden = len(bias) if bias is not None and bias.ndim == 1 else d_model
        return {
            "projector.1.weight": (d_hidden, d_model),
            "projector.1.bias": (d_hidden,),
            "projector.3.weight": (d_model, d_hidden),
            "projector.3.bias": (d_model,),
            "projector.4.weight": (d_model,),
            "projector.4.bias": (d_model,),
        }

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the projection, or the identity where there is none."""
        if not self.recognises(tensors):
            return Identity()
        return projection_of(tensors, _PROJECTION)

    def settings(self, info: CheckpointInfo, feedback: Feedback) -> dict[str, Setting]:
        """Return the width of the projector."""
        width = feedback.expand.out_features if isinstance(feedback, Projection) else None
        return {"projector_hidden_size": width}
