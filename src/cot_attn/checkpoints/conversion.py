"""A checkpoint in another project's format becomes the parts of a model."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from cot_attn.checkpoints._base import Base
from cot_attn.checkpoints._base_weights import with_base_weights
from cot_attn.checkpoints._language_model import read_language_model
from cot_attn.checkpoints._weights import Weights, read_weights
from cot_attn.checkpoints._wrappers import without_wrappers
from cot_attn.checkpoints.adaptive import Adaptive
from cot_attn.checkpoints.coconut import Coconut
from cot_attn.checkpoints.coconut_theory import CoconutTheory
from cot_attn.checkpoints.codi import Codi
from cot_attn.checkpoints.colar import Colar, LatentTtsColar
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.latent_tts import LatentTts
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.checkpoints.pccot import Pccot
from cot_attn.checkpoints.registry import KNOWN_UNUSED, CheckpointInfo, Family
from cot_attn.checkpoints.report import LoadReport

FORMATS: dict[Family, Format] = {
    form.family: form
    for form in (
        Codi(),
        Coconut(),
        CoconutTheory(),
        LatentTts(),
        LatentTtsColar(),
        Colar(),
        Pccot(),
        Adaptive(),
    )
}
"""The formats that are read, by family."""


@dataclass(frozen=True)
class UserOptions:
    """What the user says about a checkpoint; it overrides what is known."""

    family: Family | None = None
    base: str | None = None
    n_thoughts: int | None = None
    lora_alpha: int | float | None = None
    use_rslora: bool | None = None
    remove_eos: bool | None = None
    bot: int | None = None
    eot: int | None = None
    compression: int | None = None

    def about_the_format(self) -> list[str]:
        """Return which options were given, leaving out those that suit any model."""
        return [
            each.name
            for each in fields(self)
            if each.name != "n_thoughts" and getattr(self, each.name) is not None
        ]

    def over(self, info: CheckpointInfo) -> CheckpointInfo:
        """Return what is known, overridden by the options."""
        overridden = replace(
            info,
            base=self.base or info.base,
            n_thoughts=info.n_thoughts if self.n_thoughts is None else self.n_thoughts,
            lora_alpha=info.lora_alpha if self.lora_alpha is None else self.lora_alpha,
            use_rslora=info.use_rslora if self.use_rslora is None else self.use_rslora,
            bot=info.bot if self.bot is None else self.bot,
            eot=info.eot if self.eot is None else self.eot,
            compression=info.compression if self.compression is None else self.compression,
        )
        if self.remove_eos is None:
            return overridden
        return replace(
            overridden, eos_before_bot=not self.remove_eos, eos_after_eot=not self.remove_eos
        )


def read_checkpoint(
    path: Path,
    weights: str | None,
    info: CheckpointInfo | None,
    user: UserOptions,
    name: str,
    dtype: torch.dtype = torch.float32,
) -> ModelParts:
    """Read a CODI or Coconut checkpoint, on the CPU.

    Parameters
    ----------
    path
        Its folder or file.
    weights
        The name of the weight file, where the folder has several.
    info
        What is known of it, where it is a known checkpoint.
    user
        What the user says about it.
    name
        What results call the model.
    dtype
        The floating-point type of the language model.

    Raises
    ------
    FileNotFoundError
        Where a file is missing.
    ValueError
        Where something must be said that was not, or the files are damaged or do not fit.
    """
    stored, notes = without_wrappers(read_weights(path, weights))
    form = _format(user.family or (info.family if info else None), stored)
    _check_compression(user.compression, form)
    info = user.over(info or _unknown(path, form, user))
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        base = form.base(info.base, stored)
        if form.on_base:
            stored = with_base_weights(stored, base, form.prefix)
            notes += (f"read the weights of {base.source}, of which it holds what was trained",)
        return _converted(form, stored, base, info, str(path), name, notes, dtype)


def _converted(
    form: Format,
    weights: Weights,
    base: Base,
    info: CheckpointInfo,
    source: str,
    name: str,
    notes: tuple[str, ...],
    dtype: torch.dtype,
) -> ModelParts:
    """Turn a state dict into parts and say in the report what was read."""
    inner = read_language_model(weights, base, info, form, dtype)
    form.check(inner.vocabulary, weights.tensors)
    feedback = form.feedback(weights.tensors, inner.vocabulary, info)
    settings = {"n_thoughts": info.n_thoughts, **form.settings(info, feedback), **inner.settings}
    if (stop := form.stop(inner.vocabulary)) is not None:
        settings["stop"] = repr(stop)
    return ModelParts(
        language_model=inner.language_model,
        tokenizer=inner.vocabulary.base.tokenizer,
        feedback=feedback,
        template=form.template(inner.vocabulary, info, feedback),
        n_thoughts=info.n_thoughts,
        name=name,
        report=LoadReport(
            source=source,
            family=form.family,
            files=weights.digests,
            base=base.source,
            settings=settings,
            n_tensors=inner.n_tensors,
            repeated=inner.repeated,
            unused=inner.unused,
            notes=notes + inner.notes + form.notes,
            verified=info.verified,
        ),
        stop=stop,
    )


def _check_compression(compression: object, form: Format) -> None:
    """Raise where a compression is no whole number, or is asked of a family without one."""
    if compression is None:
        return
    if not isinstance(form, Colar):
        raise ValueError(f"compression= is of CoLaR's prompt; {form.title} has none. Leave it out.")
    if isinstance(compression, bool) or not isinstance(compression, int) or compression < 1:
        raise ValueError(
            f"compression is {compression!r}; give how many tokens a thought stands for, a whole "
            "number from 1 on. CoLaR was trained with 1 to 5."
        )


def _unknown(path: Path, form: Format, user: UserOptions) -> CheckpointInfo:
    """Return what can be said of a checkpoint that nobody knows."""
    folder = path if path.is_dir() else path.parent
    config = folder / "config.json"
    alone = not (config.is_file() and config.read_bytes().strip())
    if user.base is None and alone and form.needs_base:
        found = "an empty config.json" if config.is_file() else "no config.json"
        raise ValueError(
            f"{folder} has {found}. Give as base= the folder or hub id of the model that "
            "the checkpoint was trained from."
        )
    if user.n_thoughts is None:
        raise ValueError(
            f"No file of {path} says how many thoughts it was trained to have. Give n_thoughts=; "
            "most published checkpoints have 6."
        )
    return CheckpointInfo(
        form.family,
        base=user.base or (str(folder) if form.needs_base else ""),
        n_thoughts=user.n_thoughts,
        answer_marker=form.answer_marker,
        unused=KNOWN_UNUSED[form.family],
        verified="nothing: not one of the known checkpoints",
    )


def _format(family: Family | None, weights: Weights) -> Format:
    """Return the format that was asked for, or that the keys look like."""
    if family is not None and family not in FORMATS:
        raise ValueError(f"family is {family!r}; accepted are {list(FORMATS)}.")
    if family is not None and FORMATS[family].accepts(weights.tensors):
        return FORMATS[family]
    alike = [name for name, form in FORMATS.items() if form.recognises(weights.tensors)]
    if alike and family is None:
        return FORMATS[alike[0]]
    keys = list(weights.tensors)[:5]
    if alike:
        cause = f"these keys are of the family {alike[0]!r}, not {family!r}"
    elif any(".lora_" in key for key in weights.tensors):
        cause = "a LoRA file without its base; save the whole state dict"
    else:
        cause = "a plain language model, or another method's checkpoint"
    tried = f"the family {family}" if family else f"any of the families {', '.join(FORMATS)}"
    raise ValueError(
        f"{weights.where} is not a checkpoint of {tried}: its "
        f"first keys are {keys}. CODI's begin with 'codi.', Coconut's with 'base_causallm.', those "
        "of adaptive latent reasoning with '_base_model.'; LatentTTS has some with 'projector.' or "
        "'lt_head.', CoLaR with 'latent_policy.', PCCoT's are an adapter with a '.token_adapter.'. "
        f"A plain language model is read by from_language_model. The likely cause: {cause}."
    )
