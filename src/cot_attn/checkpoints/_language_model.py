"""The language model inside a checkpoint's state dict: LoRA merged, vocabulary grown."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig, PreTrainedModel

from cot_attn.checkpoints._adapter_config import (
    NAME,
    Strength,
    check_no_adapter,
    find_strength,
    read_adapter_config,
)
from cot_attn.checkpoints._base import Base
from cot_attn.checkpoints._base_weights import WRAPPED
from cot_attn.checkpoints._build import (
    blank_model,
    copied,
    embedding_name,
    language_model,
    tied_names,
)
from cot_attn.checkpoints._lora import Lora, find_lora
from cot_attn.checkpoints._mismatch_hint import mismatch_hint
from cot_attn.checkpoints._state_dict import (
    check_finite,
    state_dict_diff,
    take_repeats,
    take_unused,
)
from cot_attn.checkpoints._vocabulary import Vocabulary, grown_vocabulary
from cot_attn.checkpoints._weights import Weights
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.checkpoints.report import Setting


@dataclass(frozen=True)
class InnerModel:
    """The language model of a checkpoint.

    Attributes
    ----------
    language_model
        The Hugging Face model, LoRA merged, vocabulary grown.
    vocabulary
        Its token ids.
    n_tensors
        How many tensors it was made from, those of the feedback among them.
    repeated, unused, settings, notes
        As in `LoadReport`.
    """

    language_model: PreTrainedModel
    vocabulary: Vocabulary
    n_tensors: int
    repeated: tuple[str, ...]
    unused: tuple[str, ...]
    settings: dict[str, Setting]
    notes: tuple[str, ...]


def read_language_model(
    weights: Weights,
    base: Base,
    info: CheckpointInfo,
    form: Format,
    dtype: torch.dtype,
) -> InnerModel:
    """Read the language model of a checkpoint, and check that the checkpoint has all and no more.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from.
    info
        What its files do not say.
    form
        The format of the checkpoint.
    dtype
        The floating-point type of the model. LoRA is merged in float32 before.

    Raises
    ------
    ValueError
        Where a key is missing, not expected, or of the wrong shape, a number is not finite, two
        copies of a tied tensor differ, or LoRA's strength or a token's id is not known.
    """
    stored = dict(weights.tensors)
    of_feedback = form.feedback_shapes(stored, base.config.hidden_size)
    unused = take_unused(stored, info.unused)
    wrapped = form.prefix + WRAPPED
    prefix = wrapped if any(key.startswith(wrapped) for key in stored) else form.prefix
    inner = {
        key.removeprefix(prefix): tensor for key, tensor in stored.items() if key.startswith(prefix)
    }
    lora = find_lora(inner, weights.where)
    blank = blank_model(base.config)
    keys = {name: prefix + (lora.key(name) if lora else name) for name in blank.state_dict()}
    ties, embedding = tied_names(blank), embedding_name(blank)
    repeats = {keys[name]: keys[first] for name, first in ties.items()}
    if form.duplicate is not None:
        module = f"{prefix}{embedding.rpartition('.')[0]}."
        repeats |= {
            key: module + key.removeprefix(form.duplicate)
            for key in stored
            if key.startswith(form.duplicate)
        }
    repeated = take_repeats(stored, repeats, weights.where)

    table = stored.get(keys[embedding])
    n_rows = len(table) if table is not None and table.ndim == 2 else None
    user_ids = {"bot": info.bot, "eot": info.eot}
    vocabulary = grown_vocabulary(base, form.added, n_rows, weights.folder, user_ids)
    blank = blank_model(vocabulary.base.config)
    untied = {name: key for name, key in keys.items() if name not in ties}
    blank_state = blank.state_dict()
    wanted = {key: tuple(blank_state[name].shape) for name, key in untied.items()}
    halves = lora.shapes(blank) if lora else {}
    wanted |= {prefix + name: shape for name, shape in halves.items()} | of_feedback
    if diff := state_dict_diff(wanted, stored):
        n_added = len(form.added.names)
        hint = mismatch_hint(diff, stored, keys[embedding], base.n_vocabulary, n_added)
        what = f"a {form.title} model on the base {base.source}"
        raise diff.error(weights.where, what, hint)
    check_finite(stored, weights.where)

    adapter = read_adapter_config(weights.folder, trained_tokens=form.on_base)
    tensors = {name: stored[key] for name, key in untied.items()}
    config, notes = vocabulary.base.config, vocabulary.notes
    if lora is None:
        check_no_adapter(adapter, weights.where)
        model, settings = language_model(config, copied(tensors, dtype), dtype), {}
    else:
        strength = find_strength(lora, adapter, info, weights.where)
        if any(lora.adapts(name) or lora.adapts(first) for name, first in ties.items()):
            tensors |= {name: tensors[first] for name, first in ties.items()}
            _untie(config, weights.where)
            notes += tuple(
                f"{name} no longer shares its tensor with {first}, because LoRA adapts one"
                for name, first in ties.items()
            )
        merged = lora.merged(tensors, blank, strength.scales(lora), inner)
        model, settings = language_model(config, merged, dtype), _settings(lora, strength)
        notes += (f"read {NAME}",) if adapter else ()
    return InnerModel(model, vocabulary, len(wanted), repeated, unused, settings, notes)


def _untie(config: PretrainedConfig, where: str) -> None:
    """Give every name of a model a tensor of its own, as LoRA on one of two tied ones needs."""
    config.tie_word_embeddings = False
    if ties := tied_names(blank_model(config)):
        raise ValueError(
            f"{where} has LoRA on one of two tied tensors, and {type(config).__name__} cannot be "
            f"untied ({ties}). Only a model without LoRA there can be read."
        )


def _settings(lora: Lora, strength: Strength) -> dict[str, Setting]:
    settings: dict[str, Setting] = {
        "lora_rank": _one_or_all(lora.ranks.values()),
        "lora_alpha": _one_or_all(strength.alphas.values()),
    }
    if strength.use_rslora:
        settings["use_rslora"] = True
    if lora.adapter not in ("default", ""):
        settings["adapter"] = lora.adapter
    return settings


def _one_or_all(numbers: Iterable[int | float]) -> int | float | str:
    """Return the one number that all are, or all in words."""
    found = sorted(set(numbers))
    return found[0] if len(found) == 1 else ", ".join(map(str, found))
