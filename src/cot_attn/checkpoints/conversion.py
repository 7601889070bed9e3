"""A checkpoint in another project's format becomes the parts of a model."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cot_attn.checkpoints._base import Base, read_base
from cot_attn.checkpoints._language_model import read_language_model
from cot_attn.checkpoints._weights import Weights, read_weights
from cot_attn.checkpoints._wrappers import without_wrappers
from cot_attn.checkpoints.adaptive import Adaptive
from cot_attn.checkpoints.coconut import Coconut
from cot_attn.checkpoints.codi import Codi
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.latent_tts import LatentTts
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.checkpoints.registry import KNOWN_UNUSED, NOT_READ, CheckpointInfo, Family
from cot_attn.checkpoints.report import LoadReport

FORMATS: dict[Family, Format] = {
    form.family: form for form in (Codi(), Coconut(), LatentTts(), Adaptive())
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

    def about_the_format(self) -> list[str]:
        """Return which options were given, leaving out those that suit any model."""
        names = ("family", "base", "lora_alpha", "use_rslora", "remove_eos", "bot", "eot")
        return [name for name in names if getattr(self, name) is not None]

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
    info = user.over(info or _unknown(path, form, user))
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        return _converted(form, stored, read_base(info.base), info, str(path), name, notes, dtype)


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
    feedback = form.feedback(weights.tensors)
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
            base=info.base,
            settings=settings,
            n_tensors=inner.n_tensors,
            repeated=inner.repeated,
            unused=inner.unused,
            notes=notes + inner.notes,
            verified=info.verified,
        ),
        stop=stop,
    )


def _unknown(path: Path, form: Format, user: UserOptions) -> CheckpointInfo:
    """Return what can be said of a checkpoint that nobody knows."""
    folder = path if path.is_dir() else path.parent
    config = folder / "config.json"
    if user.base is None and not (config.is_file() and config.read_bytes().strip()):
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
        base=user.base or str(folder),
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
    elif any(key.startswith(("lt_head.", "latent_policy.")) for key in weights.tensors):
        needs = NOT_READ["ModalityDance/latent-tts-colar"]
        cause = f"CoLaR's latent head, which is not read. {needs}"
    elif any(".lora_" in key for key in weights.tensors):
        cause = "a LoRA file without its base; save the whole state dict"
    else:
        cause = "a plain language model, or another method's checkpoint"
    raise ValueError(
        f"{weights.where} is not a checkpoint of the family {family or ' or '.join(FORMATS)}: its "
        f"first keys are {keys}. CODI's begin with 'codi.', Coconut's with 'base_causallm.', those "
        "of adaptive latent reasoning with '_base_model.', and LatentTTS has some with "
        "'projector.'. A plain language model is read by from_language_model. The likely cause: "
        f"{cause.removesuffix('.')}."
    )
