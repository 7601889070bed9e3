"""From a name to a model: bundled, on the hub, or in a local folder or file."""

from dataclasses import replace
from difflib import get_close_matches
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cot_attn.models.base import read_base
from cot_attn.models.build import bridged
from cot_attn.models.coconut import convert_coconut, is_coconut
from cot_attn.models.codi import convert_codi, is_codi
from cot_attn.models.hub import download
from cot_attn.models.pretrained import SETTINGS, read
from cot_attn.models.registry import KNOWN_UNUSED, CheckpointInfo, Family, known_checkpoints
from cot_attn.models.report import LoadReport
from cot_attn.models.validation import validate as check
from cot_attn.models.weights import Weights, read_weights

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that ship with the package, by name."""
    folder = Path(str(files("cot_attn.toy") / "bundled"))
    return {each.parent.name: each.parent for each in sorted(folder.glob(f"*/{SETTINGS}"))}


def load(
    name_or_path: str | PathLike[str],
    *,
    family: Family | None = None,
    base: str | PathLike[str] | None = None,
    n_thoughts: int | None = None,
    lora_alpha: int | float | None = None,
    remove_eos: bool | None = None,
    weights: str | None = None,
    sha256: str | None = None,
    revision: str | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: str | torch.device | None = None,
    validate: bool = True,
) -> "ContinuousThoughtModel":
    """Load a model by name, or from a folder or file.

    Bundled models, folders that `save_pretrained` wrote and known checkpoints need no more than
    their name. Of any other CODI or Coconut checkpoint say what its files do not.

    Parameters
    ----------
    name_or_path
        A bundled name (`toy-gpt2`), a hub id, a local folder, or a weight file.
    family
        `codi` or `coconut`; by default what the keys look like.
    base
        The hub id or folder of the model that the checkpoint was trained from; by default the
        checkpoint's own folder. Only its configuration and tokenizer are read.
    n_thoughts
        How many thoughts a run has unless it is told otherwise.
    lora_alpha
        LoRA's alpha, for CODI checkpoints with LoRA.
    remove_eos
        CODI's training flag: whether there is no EOS before BOT and after EOT. By default the
        known checkpoint's own, and otherwise true, as in CODI's scripts.
    weights
        The name of the weight file in a folder that has several.
    sha256
        The SHA-256 that the weight file must have (of several files: `load_report.sha256`).
    revision
        Branch, tag or commit on the hub.
    dtype
        The floating-point type to run in. LoRA is merged in float32 before.
    device
        Where to run, as in PyTorch; by default the CPU.
    validate
        Whether the model checks itself once; see `cot_attn.models.validate`.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, file or hub id, or the hub cannot be reached.
    ValueError
        Where the name is not known, something must be said that was not, or the files are
        damaged or do not fit; keys at fault are listed. Nothing is ever loaded in part.
    """
    name, dtype = str(name_or_path), _dtype(dtype)
    own = bundled_models().get(name, Path(name).expanduser())
    info = known_checkpoints().get(name)
    commit = None
    if not own.exists():
        _check_hub_id(name, info)
        own, weights = download(
            name, revision=revision, weights=weights or (info.weights if info else None)
        )
        commit = own.name
    if (own / SETTINGS).is_file():
        told = {"family": family, "base": base, "lora_alpha": lora_alpha, "remove_eos": remove_eos}
        if given := [option for option, value in told.items() if value is not None]:
            raise ValueError(
                f"{own} is a folder that save_pretrained wrote; it says itself what {given} would."
            )
        model = read(own, dtype=dtype, device=device)
        assert model.load_report is not None
        _check_digest(name, model.load_report.sha256, sha256)
        if n_thoughts is not None:
            model.n_thoughts = n_thoughts
    else:
        stored = read_weights(own, weights or (info.weights if info and own.is_dir() else None))
        _check_digest(name, stored.sha256, sha256)
        info = _completed(info, own, stored, family, base, n_thoughts, lora_alpha, remove_eos)
        model = _convert(name, stored, info, commit, dtype, device)
    if validate and model.load_report is not None:
        model.load_report = replace(model.load_report, checks=check(model))
    return model


def _convert(
    name: str,
    weights: Weights,
    info: CheckpointInfo,
    revision: str | None,
    dtype: torch.dtype,
    device: str | torch.device | None,
) -> "ContinuousThoughtModel":
    from cot_attn.models.continuous import ContinuousThoughtModel

    convert = {"codi": convert_codi, "coconut": convert_coconut}[info.family]
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        converted = convert(weights, read_base(info.base), info)
    short = Path(name).name
    report = LoadReport(
        source=name,
        family=info.family,
        files=weights.digests,
        revision=revision,
        base=info.base,
        settings={"n_thoughts": info.n_thoughts, **converted.settings},
        n_tensors=converted.n_tensors,
        repeated=converted.repeated,
        unused=converted.unused,
        verified=info.verified,
    )
    return ContinuousThoughtModel(
        bridged(converted.language_model, converted.tokenizer, short, dtype, device),
        converted.feedback,
        converted.template,
        info.n_thoughts,
        tokenizer=converted.tokenizer,
        name=short,
        load_report=report,
    )


def _completed(
    known: CheckpointInfo | None,
    path: Path,
    weights: Weights,
    family: Family | None,
    base: str | PathLike[str] | None,
    n_thoughts: int | None,
    lora_alpha: int | float | None,
    remove_eos: bool | None,
) -> CheckpointInfo:
    """Return what is known of a checkpoint, with what the user says put over it."""
    family = _family(family or (known.family if known else None), weights)
    if base is None:
        folder = path if path.is_dir() else path.parent
        base = known.base if known else folder
        if not known and not (folder / "config.json").is_file():
            raise ValueError(
                f"{path} has no config.json. Give as base= the folder or hub id of the model that "
                "it was trained from."
            )
    if known is None:
        if n_thoughts is None:
            raise ValueError(
                f"No file of {path} says how many thoughts it was trained to have. Give "
                "n_thoughts=; most published checkpoints have 6."
            )
        known = CheckpointInfo(
            family,
            str(base),
            n_thoughts,
            answer_marker="###" if family == "coconut" else None,
            unused=KNOWN_UNUSED[family],
            verified="nothing: not one of the known checkpoints",
        )
    told = replace(known, base=str(base))
    if n_thoughts is not None:
        told = replace(told, n_thoughts=n_thoughts)
    if lora_alpha is not None:
        told = replace(told, lora_alpha=lora_alpha)
    if remove_eos is not None:
        told = replace(told, eos_before_bot=not remove_eos, eos_after_eot=not remove_eos)
    return told


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


def _check_digest(name: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted.lower():
        raise ValueError(
            f"The SHA-256 of {name} is {found}, not {wanted}. Download it again, or give the right "
            "one."
        )


def _check_hub_id(name: str, info: CheckpointInfo | None) -> None:
    """Raise where a name that is no local path is no hub id either."""
    if info is not None:
        return
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(f"There is no folder or file {name}.")
    names = [*bundled_models(), *known_checkpoints()]
    near = get_close_matches(name, names)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if "/" not in name:
        raise ValueError(
            f"There is no model named {name!r}.{hint} Accepted are {', '.join(names)}, any "
            "other hub id (owner/name), a local folder, or a weight file."
        )


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    """Return a floating-point type given as itself or, as in Hugging Face, by its name."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; give for example torch.float32 or 'bfloat16'.")
    return found
