"""From a name to a model: bundled, on the hub, or in a local folder or file."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch

from cot_attn._did_you_mean import did_you_mean
from cot_attn.checkpoints._base import read_base
from cot_attn.checkpoints._hub import download
from cot_attn.checkpoints.bundled import SETTINGS, bundled_models
from cot_attn.checkpoints.conversion import UserOptions, read_checkpoint
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.checkpoints.pretrained import read
from cot_attn.checkpoints.registry import NOT_READ, CheckpointInfo, Family, known_checkpoints
from cot_attn.checkpoints.report import options_of


def load(
    name_or_path: str | PathLike[str],
    *,
    family: Family | None = None,
    base: str | PathLike[str] | None = None,
    n_thoughts: int | None = None,
    lora_alpha: int | float | None = None,
    use_rslora: bool | None = None,
    remove_eos: bool | None = None,
    bot: int | None = None,
    eot: int | None = None,
    compression: int | None = None,
    weights: str | None = None,
    sha256: str | None = None,
    revision: str | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: str | torch.device | None = None,
) -> ModelParts:
    """Read the parts of a model by its name, or from a folder or file.

    `ContinuousThoughtModel.from_pretrained` takes the same arguments and builds the model.

    Bundled models, folders that `save_pretrained` wrote and known checkpoints need no more than
    their name. Of any other CODI or Coconut checkpoint say what its files do not.

    Parameters
    ----------
    name_or_path
        A bundled name (`toy-gpt2`), a hub id, a local folder, or a weight file.
    family
        `codi`, `coconut`, `coconut-theory`, `latent-tts`, `latent-tts-colar`, `colar`,
        `pccot` or `adaptive`; by default what the keys look like.
    base
        The hub id or folder of the model that the checkpoint was trained from; by default the
        checkpoint's own folder. Only its configuration and tokenizer are read, and its weights
        where the checkpoint holds what was trained alone (`colar`, `pccot`).
    n_thoughts
        How many thoughts a run has unless it is told otherwise.
    lora_alpha
        LoRA's alpha, where there is LoRA; by default what `adapter_config.json` beside the weights
        says, or what is known.
    use_rslora
        Whether LoRA was trained with rsLoRA's scale, alpha / sqrt(rank); by default as for
        `lora_alpha`, and otherwise not.
    remove_eos
        CODI's training flag: whether there is no EOS before BOT and after EOT. By default the
        known checkpoint's own, and otherwise true, as in CODI's scripts.
    bot, eot
        The ids of the tokens that open and close the thoughts. By default those that the files of
        a tokenizer beside the weights or the base's tokenizer give to the family's names; where
        they name none, the added tokens follow the base's last id. Needed where the embedding was
        padded, or grown by other tokens too.
    compression
        How many tokens a thought should stand for, as CoLaR's prompt asks; by default 5, and 2 for
        LatentTTS' copy.
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

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, file or hub id, or the hub cannot be reached.
    ValueError
        Where the name is not known, something must be said that was not, or the files are
        damaged or do not fit; keys at fault are listed. Nothing is ever loaded in part.

    Examples
    --------
    >>> load("toy-gpt2", n_thoughts=4, dtype="float64").language_model.dtype
    torch.float64
    """
    options = options_of(load, locals())
    name, dtype, device = str(name_or_path), chosen_dtype(dtype), chosen_device(device)
    path = bundled_models().get(name, Path(name).expanduser())
    info, commit = known_checkpoints().get(name), None
    user = UserOptions(
        family,
        base if base is None else str(base),
        n_thoughts,
        lora_alpha,
        use_rslora,
        remove_eos,
        bot,
        eot,
        compression,
    )
    if name in NOT_READ:
        raise ValueError(f"{name} is known and cannot be loaded. {NOT_READ[name]}")
    if n_thoughts is not None and n_thoughts < 0:
        raise ValueError(f"n_thoughts is {n_thoughts}; give 0 or more.")
    if path.exists():
        if revision is not None:
            raise ValueError(f"{path} is on this machine; a revision is for models on the hub.")
        if weights is None and info is not None and path.is_dir():
            weights = info.weights
    else:
        _check_hub_id(name, info)
        if trained_from := user.base or (info.base if info else None):
            read_base(trained_from)  # so that a missing or gated base shows before a large download
        weights = weights or (info.weights if info else None)
        path, weights = download(name, revision=revision, weights=weights)
        commit = path.name
    if (path / SETTINGS).is_file():
        if names := user.about_the_format():
            raise ValueError(
                f"{path} is a folder that save_pretrained wrote; it says itself what {names} would."
            )
        parts = read(path, dtype)
        parts = parts if n_thoughts is None else replace(parts, n_thoughts=n_thoughts)
    else:
        parts = read_checkpoint(path, weights, info, user, Path(name).name, dtype)
    named = commit is not None or info is not None or name in bundled_models()
    source = name if named else str(path.absolute())
    assert parts.report is not None
    report = replace(parts.report, source=source, revision=commit, options=options)
    if sha256 is not None and report.sha256 != sha256.lower():
        raise ValueError(
            f"The SHA-256 of {name} is {report.sha256}, not {sha256}. Download it again, or give "
            "the right one."
        )
    language_model, feedback = parts.language_model, parts.feedback.to(device, dtype)
    language_model.to(device=device, dtype=dtype)  # type: ignore[call-arg]  # wrapped in transformers
    return replace(parts, feedback=feedback, report=report)


def _check_hub_id(name: str, info: CheckpointInfo | None) -> None:
    """Raise where a name that is no local path is no hub id either."""
    if info is not None:
        return
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(f"There is no folder or file {name}.")
    names = [*bundled_models(), *known_checkpoints()]
    if "/" not in name:
        raise ValueError(
            f"There is no model named {name!r}.{did_you_mean(name, names)} "
            f"Accepted are {', '.join(names)}, any other hub id (owner/name), a local folder, or a "
            "weight file."
        )


def chosen_device(device: str | torch.device | None) -> torch.device:
    """Return a device that this PyTorch can use; by default the CPU."""
    try:
        probe = torch.ones(1, device=device or "cpu")
        probe.item()  # the device "meta" has shapes and no numbers
        return probe.device
    # Without CUDA it is an AssertionError, and a device of a plugin looks for its module.
    except (RuntimeError, AssertionError, ImportError) as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(
            f"device is {str(device)!r}, which this PyTorch cannot use ({cause}). Give 'cpu', or "
            "install a PyTorch for your accelerator."
        ) from error


def chosen_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """Return a floating-point type given as itself or, as in Hugging Face, by its name."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; give for example torch.float32 or 'bfloat16'.")
    return found
