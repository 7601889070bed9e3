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
from cot_attn.models.build import blank_model, embedding_name, language_model, tied_names
from cot_attn.models.causes import likely_cause
from cot_attn.models.converted import Converted, Setting
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.keys import Shape, check_finite, compare, take_known, take_repeats
from cot_attn.models.lora import Lora, find_lora, merge_lora
from cot_attn.models.registry import CheckpointInfo
from cot_attn.models.template import Template
from cot_attn.models.weights import Weights

ADDED_TOKENS = ("[PAD]", "<|bocot|>", "<|eocot|>")

_PREFIX, _WRAPPED = "codi.", "codi.base_model.model."
_PROJECTION = {"prj.1": "expand", "prj.3": "contract", "prj.ln": "norm"}


def is_codi(keys: Iterable[str]) -> bool:
    """Whether keys are those of a CODI checkpoint."""
    return any(key.startswith(_PREFIX) for key in keys)


def convert_codi(weights: Weights, base: Base, info: CheckpointInfo) -> Converted:
    """Turn a CODI state dict into a plain language model, its feedback and its template.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from, before tokens were added.
    info
        What its files do not say.

    Raises
    ------
    ValueError
        Where a key is missing, not expected, or of the wrong shape, a number is not finite, two
        copies of a tied tensor differ, or there is LoRA and no alpha for it.
    """
    grown = base.grown(ADDED_TOKENS)
    blank = blank_model(grown.config)
    given = dict(weights.tensors)
    prefix = _WRAPPED if any(key.startswith(_WRAPPED) for key in given) else _PREFIX
    inner = {
        key.removeprefix(prefix): tensor for key, tensor in given.items() if key.startswith(prefix)
    }
    lora = find_lora(inner)
    keys = {name: prefix + (lora.key(name) if lora else name) for name in blank.state_dict()}
    ties = tied_names(blank)

    unused = take_known(given, info.unused)
    repeated = take_repeats(
        given, {keys[name]: keys[first] for name, first in ties.items()}, weights.where
    )
    untied = {name: key for name, key in keys.items() if name not in ties}
    wanted = {key: tuple(blank.state_dict()[name].shape) for name, key in untied.items()}
    halves = lora.shapes(blank) if lora else {}
    wanted |= {prefix + name: shape for name, shape in halves.items()}
    wanted |= _projection_shapes(given, d_model=wanted[keys[embedding_name(blank)]][1])
    if misfit := compare(wanted, given):
        embedding = keys[embedding_name(blank)]
        cause = likely_cause(misfit, given, embedding, base.n_vocabulary, len(ADDED_TOKENS))
        raise misfit.error(weights.where, f"a CODI model on the base {base.source}", cause)
    check_finite(given, weights.where)
    alpha = _alpha(info, lora, weights) if lora else None

    model = language_model(grown.config, {name: given[key] for name, key in untied.items()})
    if lora and alpha is not None:
        model = merge_lora(model, lora, alpha, {name: inner[name] for name in halves})
    feedback, described = _feedback(given)
    return Converted(
        language_model=model,
        tokenizer=grown.tokenizer,
        feedback=feedback,
        template=_template(base, info),
        n_tensors=len(wanted),
        repeated=repeated,
        unused=unused,
        settings={
            "remove_eos": info.remove_eos,
            "lora_rank": lora.rank if lora else None,
            "lora_alpha": alpha,
            **described,
        },
    )


def _template(base: Base, info: CheckpointInfo) -> Template:
    bot, eot = base.n_vocabulary + 1, base.n_vocabulary + 2
    return Template(
        bot=(base.eos, bot) if info.eos_before_bot else (bot,),
        eot=(eot, base.eos) if info.eos_after_eot else (eot,),
        eos=base.eos,
        suppressed=(eot,),
        normalise_spaces=True,
        answer_marker=info.answer_marker,
    )


def _alpha(info: CheckpointInfo, lora: Lora, weights: Weights) -> int | float:
    if info.lora_alpha is None:
        raise ValueError(
            f"{weights.where} has LoRA of rank {lora.rank}, and no file says its alpha. Give "
            "lora_alpha=; CODI's own scripts train with 32."
        )
    return info.lora_alpha


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
