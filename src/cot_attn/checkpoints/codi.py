"""Reads CODI checkpoints (Shen et al. 2025, arXiv:2502.21074), SIM-CoT's among them.

One state dict holds the whole model: `codi.*` is the language model, mostly wrapped by peft
(`codi.base_model.model.*` with `.base_layer`, `.lora_A.default` and `.lora_B.default`), and `prj.*`
the projection: `prj.1` and `prj.3` are linear, a GELU without tensors stands between them, and
`prj.ln` is a LayerNorm that may be absent. The vocabulary has three tokens more than the base:
padding, BOT and EOT. SIM-CoT (Wei et al. 2025, arXiv:2509.20317) adds an auxiliary decoder that is
for training only.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from cot_attn.checkpoints._feedback import projection_of
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.checkpoints.report import Setting
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.template import Template

_PROJECTION = {"prj.1": "expand", "prj.3": "contract", "prj.ln": "norm"}


class Codi(Format):
    """The format of CODI's checkpoints."""

    family = "codi"
    title = "CODI"
    prefix = "codi."
    added = AddedTokens(("[PAD]", "<|bocot|>", "<|eocot|>"), bot="<|bocot|>", eot="<|eocot|>")

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        bot, eot, eos = vocabulary.bot, vocabulary.eot, vocabulary.base.eos
        return Template(
            bot=(eos, bot) if info.eos_before_bot else (bot,),
            eot=(eot, eos) if info.eos_after_eot else (eot,),
            eos=eos,
            suppressed=(eot,),
            normalise_spaces=True,
            answer_marker=info.answer_marker,
        )

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the keys and shapes of the projection, where there is one."""
        if not any(key.startswith("prj.") for key in tensors):
            return {}
        bias = tensors.get("prj.1.bias")
        d_hidden = len(bias) if bias is not None and bias.ndim == 1 else d_model
        shapes: dict[str, Shape] = {
            "prj.1.weight": (d_hidden, d_model),
            "prj.1.bias": (d_hidden,),
            "prj.3.weight": (d_model, d_hidden),
            "prj.3.bias": (d_model,),
        }
        if any(key.startswith("prj.ln.") for key in tensors):
            shapes |= {"prj.ln.weight": (d_model,), "prj.ln.bias": (d_model,)}
        return shapes

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the projection, or the identity where there is none."""
        if "prj.1.weight" not in tensors:
            return Identity()
        return projection_of(tensors, _PROJECTION)

    def settings(self, info: CheckpointInfo, feedback: Feedback) -> dict[str, Setting]:
        """Return CODI's flag, that there may be no LoRA, and the form of the projection."""
        settings: dict[str, Setting] = {
            "remove_eos": info.remove_eos,
            "lora_rank": None,
            "lora_alpha": None,
            "prj_dim": None,
        }
        if isinstance(feedback, Projection):
            settings["prj_dim"] = feedback.expand.out_features
            settings["layer_norm"] = isinstance(feedback.norm, nn.LayerNorm)
        return settings
