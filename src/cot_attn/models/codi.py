"""Reads CODI checkpoints (Shen et al. 2025, arXiv:2502.21074), SIM-CoT's among them.

One state dict holds the whole model: `codi.*` is the language model, mostly wrapped by peft
(`codi.base_model.model.*` with `.base_layer`, `.lora_A.default` and `.lora_B.default`), and `prj.*`
the projection: `prj.1` and `prj.3` are linear, a GELU without tensors stands between them, and
`prj.ln` is a LayerNorm that may be absent. The vocabulary has three tokens more than the base:
padding, BOT and EOT. SIM-CoT (Wei et al. 2025, arXiv:2509.20317) adds an auxiliary decoder that is
for training only.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from cot_attn.models.base import Base
from cot_attn.models.converted import Converted, Setting
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.inner import Place, read_inner
from cot_attn.models.keys import Shape
from cot_attn.models.registry import CheckpointInfo
from cot_attn.models.template import Template
from cot_attn.models.tokens import AddedTokens, Vocabulary
from cot_attn.models.weights import Weights

_PLACE = Place(
    family="CODI",
    prefix="codi.",
    copy=None,
    added=AddedTokens(("[PAD]", "<|bocot|>", "<|eocot|>"), bot="<|bocot|>", eot="<|eocot|>"),
)
_PROJECTION = {"prj.1": "expand", "prj.3": "contract", "prj.ln": "norm"}


def is_codi(keys: Iterable[str]) -> bool:
    """Whether keys are those of a CODI checkpoint."""
    return any(key.startswith(_PLACE.prefix) for key in keys)


def convert_codi(weights: Weights, base: Base, info: CheckpointInfo) -> Converted:
    """Turn a CODI state dict into a plain language model, its feedback and its template.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from.
    info
        What its files do not say.

    Raises
    ------
    ValueError
        Where the checkpoint does not fit; see `read_inner`.
    """
    given = weights.tensors
    shapes = _projection_shapes(given, d_model=base.config.hidden_size)
    inner = read_inner(weights, base, info, _PLACE, shapes)
    feedback, described = _feedback(given)
    return Converted(
        language_model=inner.language_model,
        tokenizer=inner.vocabulary.base.tokenizer,
        feedback=feedback,
        template=_template(inner.vocabulary, info),
        n_tensors=inner.n_tensors,
        repeated=inner.repeated,
        unused=inner.unused,
        settings={
            "remove_eos": info.remove_eos,
            "lora_rank": None,
            "lora_alpha": None,
            **inner.settings,
            **described,
        },
        notes=inner.notes,
    )


def _template(vocabulary: Vocabulary, info: CheckpointInfo) -> Template:
    bot, eot, eos = vocabulary.bot, vocabulary.eot, vocabulary.base.eos
    return Template(
        bot=(eos, bot) if info.eos_before_bot else (bot,),
        eot=(eot, eos) if info.eos_after_eot else (eot,),
        eos=eos,
        suppressed=(eot,),
        normalise_spaces=True,
        answer_marker=info.answer_marker,
    )


def _projection_shapes(given: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
    if not any(key.startswith("prj.") for key in given):
        return {}
    bias = given.get("prj.1.bias")
    d_hidden = len(bias) if bias is not None and bias.ndim == 1 else d_model
    shapes: dict[str, Shape] = {
        "prj.1.weight": (d_hidden, d_model),
        "prj.1.bias": (d_hidden,),
        "prj.3.weight": (d_model, d_hidden),
        "prj.3.bias": (d_model,),
    }
    if any(key.startswith("prj.ln.") for key in given):
        shapes |= {"prj.ln.weight": (d_model,), "prj.ln.bias": (d_model,)}
    return shapes


def _feedback(given: Mapping[str, Tensor]) -> tuple[Feedback, dict[str, Setting]]:
    if "prj.1.weight" not in given:
        return Identity(), {"prj_dim": None}
    d_hidden, d_model = given["prj.1.weight"].shape
    layer_norm = "prj.ln.weight" in given
    projection = Projection(d_model, d_hidden, layer_norm=layer_norm)
    projection.load_state_dict(
        {
            f"{_PROJECTION[part]}.{parameter}": tensor
            for key, tensor in given.items()
            for part, _, parameter in [key.rpartition(".")]
            if part in _PROJECTION
        }
    )
    projection.requires_grad_(False)
    return projection, {"prj_dim": d_hidden, "layer_norm": layer_norm}
