"""A checkpoint in another project's format becomes a model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cot_attn.models.base import read_base
from cot_attn.models.build import bridged
from cot_attn.models.coconut import convert_coconut, is_coconut
from cot_attn.models.codi import convert_codi, is_codi
from cot_attn.models.registry import KNOWN_UNUSED, CheckpointInfo, Family
from cot_attn.models.report import LoadReport
from cot_attn.models.weights import Weights, read_weights
from cot_attn.models.wrappers import without_wrappers

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel

_CONVERT = {"codi": convert_codi, "coconut": convert_coconut}
_MARKER: dict[Family, str | None] = {"codi": None, "coconut": "###"}


@dataclass(frozen=True)
class Said:
    """What the user says about a checkpoint; it goes before what is known."""

    family: Family | None = None
    base: str | None = None
    n_thoughts: int | None = None
    lora_alpha: int | float | None = None
    use_rslora: bool | None = None
    remove_eos: bool | None = None
    bot: int | None = None
    eot: int | None = None

    def about_the_format(self) -> list[str]:
        """Return the names of what was said, leaving out what one may say of any model."""
        names = ("family", "base", "lora_alpha", "use_rslora", "remove_eos", "bot", "eot")
        return [name for name in names if getattr(self, name) is not None]

    def over(self, known: CheckpointInfo) -> CheckpointInfo:
        """Return what is known with what was said put over it."""
        info = replace(
            known,
            base=self.base or known.base,
            n_thoughts=known.n_thoughts if self.n_thoughts is None else self.n_thoughts,
            lora_alpha=known.lora_alpha if self.lora_alpha is None else self.lora_alpha,
            use_rslora=known.use_rslora if self.use_rslora is None else self.use_rslora,
            bot=known.bot if self.bot is None else self.bot,
            eot=known.eot if self.eot is None else self.eot,
        )
        if self.remove_eos is None:
            return info
        return replace(info, eos_before_bot=not self.remove_eos, eos_after_eot=not self.remove_eos)


def read_checkpoint(
    path: Path,
    weights: str | None,
    known: CheckpointInfo | None,
    said: Said,
    *,
    name: str,
    dtype: torch.dtype,
    device: str | torch.device | None,
) -> "ContinuousThoughtModel":
    """Read a CODI or Coconut checkpoint.

    Parameters
    ----------
    path
        Its folder or file.
    weights
        The name of the weight file, where the folder has several.
    known
        What is known of it, where it is a known checkpoint.
    said
        What the user says about it.
    name
        What results call the model.
    dtype, device
        What to run in, and where.

    Raises
    ------
    FileNotFoundError
        Where a file is missing.
    ValueError
        Where something must be said that was not, or the files are damaged or do not fit.
    """
    from cot_attn.models.continuous import ContinuousThoughtModel

    stored, wrappers = without_wrappers(read_weights(path, weights))
    family = _family(said.family or (known.family if known else None), stored)
    info = said.over(known or _unknown(path, family, said))
    base = read_base(info.base)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        converted = _CONVERT[family](stored, base, info)
    return ContinuousThoughtModel(
        bridged(converted.language_model, converted.tokenizer, name, dtype, device),
        converted.feedback,
        converted.template,
        info.n_thoughts,
        tokenizer=converted.tokenizer,
        name=name,
        load_report=LoadReport(
            source=str(path),
            family=family,
            files=stored.digests,
            base=info.base,
            settings={"n_thoughts": info.n_thoughts, **converted.settings},
            n_tensors=converted.n_tensors,
            repeated=converted.repeated,
            unused=converted.unused,
            notes=wrappers + converted.notes,
            verified=info.verified,
        ),
    )


def _unknown(path: Path, family: Family, said: Said) -> CheckpointInfo:
    """Return what can be said of a checkpoint that nobody knows."""
    folder = path if path.is_dir() else path.parent
    config = folder / "config.json"
    if said.base is None and not (config.is_file() and config.read_bytes().strip()):
        found = "an empty config.json" if config.is_file() else "no config.json"
        raise ValueError(
            f"{folder} has {found}. Give as base= the folder or hub id of the model that "
            "the checkpoint was trained from."
        )
    if said.n_thoughts is None:
        raise ValueError(
            f"No file of {path} says how many thoughts it was trained to have. Give n_thoughts=; "
            "most published checkpoints have 6."
        )
    return CheckpointInfo(
        family,
        base=said.base or str(folder),
        n_thoughts=said.n_thoughts,
        answer_marker=_MARKER[family],
        unused=KNOWN_UNUSED[family],
        verified="nothing: not one of the known checkpoints",
    )


def _family(family: Family | None, weights: Weights) -> Family:
    looks: dict[Family, bool] = {
        "codi": is_codi(weights.tensors),
        "coconut": is_coconut(weights.tensors),
    }
    alike = [each for each, is_like in looks.items() if is_like]
    if family is not None and family not in looks:
        raise ValueError(f"family is {family!r}; accepted are {list(looks)}.")
    if alike and family in (None, *alike):
        return family or alike[0]
    keys = list(weights.tensors)[:5]
    if alike:
        cause = f"these keys are of the family {alike[0]!r}, not {family!r}"
    elif any(".lora_" in key for key in weights.tensors):
        cause = "a LoRA file without its base; save the whole state dict"
    else:
        cause = "a plain language model, or another method's checkpoint"
    raise ValueError(
        f"{weights.where} is not a checkpoint of the family {family or 'codi or coconut'}: its "
        f"first keys are {keys}. CODI's begin with 'codi.', Coconut's with 'base_causallm.'. The "
        f"likely cause: {cause}."
    )
