"""The library's own folder format: everything that a model needs, in one place.

A folder holds `cot_attn.json` (format version, template, feedback, architecture), one
`model.safetensors` (the language model's tensors under `model.`, the feedback's under
`feedback.`) and the tokenizer's files.
"""

import hashlib
import json
import shutil
import tempfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.template import Template

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel

FORMAT_VERSION = 1
SETTINGS = "cot_attn.json"
WEIGHTS = "model.safetensors"


def save(
    model: "ContinuousThoughtModel",
    folder: str | PathLike[str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as one folder that needs no original checkpoint any more.

    Parameters
    ----------
    model
        What is written.
    folder
        A folder that does not exist yet, or an empty one.
    dtype
        The floating-point type of the stored tensors; by default the model's own.

    Raises
    ------
    FileExistsError
        Where the folder has something in it.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is not empty. Give a new folder, or remove it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: _stored(tensor, dtype) for name, tensor in named_tensors(model).items()}
    settings = {
        "format_version": FORMAT_VERSION,
        "name": model.name,
        "n_thoughts": model.n_thoughts,
        "template": model.template.to_dict(),
        "feedback": _describe(model.feedback),
        "model": model.bridge.original_model.config.to_diff_dict(),
    }
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        save_file(tensors, unfinished / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (unfinished / SETTINGS).write_text(text + "\n", encoding="utf-8")
        model.tokenizer.save_pretrained(unfinished)
        unfinished.chmod(0o755)
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> "ContinuousThoughtModel":
    """Read a folder that `save` wrote.

    Parameters
    ----------
    folder
        Where it is.
    dtype
        The floating-point type to run in.
    device
        Where to run; by default where the tensors are read, the CPU.

    Raises
    ------
    ValueError
        Where the format is of another version, a file is damaged, or a tensor is missing, not
        expected, or of the wrong shape.
    """
    from cot_attn.models.continuous import ContinuousThoughtModel

    settings = _read_settings(folder / SETTINGS)
    weights = folder / WEIGHTS
    tensors = _read_tensors(weights)
    architecture = dict(settings["model"])
    config = AutoConfig.for_model(architecture.pop("model_type"), **architecture)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        hf_model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        feedback = _feedback(settings["feedback"])
    _fill(hf_model, "model.", tensors, weights)
    _fill(feedback, "feedback.", tensors, weights)
    if tensors:
        raise ValueError(
            f"{weights} holds tensors that {SETTINGS} does not describe: {sorted(tensors)[:20]}."
        )
    hf_model.to(device=device, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    bridge = TransformerBridge.boot_transformers(
        settings["name"], hf_model=hf_model, tokenizer=tokenizer, dtype=dtype, device=device
    )
    return ContinuousThoughtModel(
        bridge,
        feedback,
        Template.from_dict(settings["template"]),
        settings["n_thoughts"],
        tokenizer=tokenizer,
        name=settings["name"],
        checkpoint=sha256(weights)[:12],
    )


def named_tensors(model: "ContinuousThoughtModel") -> dict[str, Tensor]:
    """Return every weight by the name it has in the format, tied ones once."""
    if getattr(model.bridge, "compatibility_mode", False):
        raise ValueError(
            "The bridge is in TransformerLens' compatibility mode, which folds weights into one "
            "another. Save the model before enable_compatibility_mode()."
        )
    hf_model = model.bridge.original_model
    with torch.device("meta"):
        blank = AutoModelForCausalLM.from_config(hf_model.config)
    # The bridge puts its components round the original ones; the names are theirs otherwise.
    wrapped = {
        name.replace("._original_component", ""): tensor
        for name, tensor in hf_model.state_dict().items()
    }
    own = {f"model.{name}": wrapped[name] for name in _untied(blank)}
    return own | {
        f"feedback.{name}": tensor for name, tensor in model.feedback.state_dict().items()
    }


def fingerprint(model: "ContinuousThoughtModel") -> str:
    """Return the first twelve hex digits of the SHA-256 over the names and bytes of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(named_tensors(model).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def sha256(file: Path) -> str:
    """Return a file's SHA-256 as hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _untied(model: nn.Module) -> list[str]:
    """Return the names in a state dict, leaving out those that repeat another's tensor."""
    names = [name for name, _ in model.named_parameters()]
    buffers = [name for name, _ in model.named_buffers()]
    stored = model.state_dict().keys()
    return [name for name in [*names, *buffers] if name in stored]


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()


def _describe(feedback: Feedback) -> dict[str, Any]:
    match feedback:
        case Identity():
            return {"kind": "identity"}
        case Projection():
            return {
                "kind": "projection",
                "d_model": feedback.expand.in_features,
                "d_hidden": feedback.expand.out_features,
                "layer_norm": isinstance(feedback.norm, nn.LayerNorm),
            }
    raise TypeError(
        f"A {type(feedback).__name__} cannot be stored; the format knows Identity and Projection."
    )


def _feedback(described: dict[str, Any]) -> Feedback:
    if described["kind"] == "identity":
        return Identity()
    return Projection(
        described["d_model"], described["d_hidden"], layer_norm=described["layer_norm"]
    )


def _fill(module: nn.Module, prefix: str, tensors: dict[str, Tensor], file: Path) -> None:
    """Move the tensors under a prefix into a module; raise where they do not fit exactly."""
    wanted = {name: module.state_dict()[name] for name in _untied(module)}
    given = {
        name.removeprefix(prefix): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(prefix)
    }
    missing = sorted(wanted.keys() - given.keys())
    unexpected = sorted(given.keys() - wanted.keys())
    misshapen = sorted(
        f"{name}: {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted.keys() & given.keys()
        if given[name].shape != wanted[name].shape
    )
    if missing or unexpected or misshapen:
        raise ValueError(
            f"{file} does not fit its {SETTINGS}. Missing: {missing[:20]}; not expected: "
            f"{unexpected[:20]}; wrong shape: {misshapen[:20]}. Was one of the two files replaced?"
        )
    module.load_state_dict(given, strict=False)


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not valid JSON: {error}. Copy the folder again.") from error
    version = settings.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        advice = "Update cot-attn." if newer else "Save the model again with this version."
        raise ValueError(
            f"{file} has format version {version}; this cot-attn reads version {FORMAT_VERSION}. "
            + advice
        )
    return settings


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing. Copy the folder again.") from None
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {error}. Copy the folder again.") from error
