"""The library's own folder format: everything that a model needs, in one place.

A folder holds `cot_attn.json` (format version, template, feedback, architecture), one
`model.safetensors` (the language model's tensors under `model.`, the feedback's under
`feedback.`) and the tokenizer's files.
"""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from cot_attn._writing import taking_the_place_of
from cot_attn.checkpoints._base import read_tokenizer
from cot_attn.checkpoints._build import blank_model, copied, language_model, untied_names
from cot_attn.checkpoints._feedback import describe, rebuilt
from cot_attn.checkpoints._state_dict import check_finite, state_dict_diff
from cot_attn.checkpoints._stop import describe_stop, rebuilt_stop
from cot_attn.checkpoints._weight_file import read_weight_file, sha256
from cot_attn.checkpoints.bundled import SETTINGS
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.checkpoints.report import LoadReport
from cot_attn.models.feedback import Feedback
from cot_attn.models.template import Template

FORMAT_VERSION = 1
WITH_STOP_RULE = 2
"""The format version of a model with a stop rule, which a reader of version 1 would not obey."""
WEIGHTS = "model.safetensors"


def save(
    parts: ModelParts,
    folder: str | PathLike[str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write the parts of a model as one folder that needs no original checkpoint any more.

    Parameters
    ----------
    parts
        What is written, such as `model.parts`.
    folder
        A folder that does not exist yet, or an empty one.
    dtype
        The floating-point type of the stored tensors; by default the model's own.

    Raises
    ------
    FileExistsError
        Where the folder has something in it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from cot_attn.checkpoints import load
    >>> with TemporaryDirectory() as folder:
    ...     save(load("toy-gpt2"), Path(folder) / "mine")
    ...     load(Path(folder) / "mine").name
    'toy-gpt2'
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is not empty. Give a new folder, or remove it first.")
    weights = named_tensors(parts.language_model, parts.feedback)
    tensors = {name: _stored(tensor, dtype) for name, tensor in weights.items()}
    settings = {
        "format_version": FORMAT_VERSION if parts.stop is None else WITH_STOP_RULE,
        "name": parts.name,
        "n_thoughts": parts.n_thoughts,
        "sha256": "",  # known once the tensors are written
        "template": parts.template.to_dict(),
        "feedback": describe(parts.feedback),
        **({} if parts.stop is None else {"stop": describe_stop(parts.stop)}),
        "model": parts.language_model.config.to_diff_dict(),
    }
    with taking_the_place_of(target) as new:
        new.mkdir()
        save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
        (new / WEIGHTS).chmod(0o644)  # safetensors makes it readable for its owner alone
        settings["sha256"] = sha256(new / WEIGHTS)
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (new / SETTINGS).write_text(text + "\n", encoding="utf-8")
        parts.tokenizer.save_pretrained(new)


def read(folder: Path, dtype: torch.dtype = torch.float32) -> ModelParts:
    """Read a folder that `save` wrote, its language model in a floating-point type, on the CPU.

    Raises
    ------
    ValueError
        Where the format is of another version, a file is damaged, or a tensor is missing, not
        expected, not finite, or of the wrong shape.
    FileNotFoundError
        Where the weights or the tokenizer are missing.
    """
    settings = _read_settings(folder / SETTINGS)
    version = settings["format_version"]
    weights = folder / WEIGHTS
    tensors = read_weight_file(weights)
    digest = sha256(weights)
    try:
        if digest != settings["sha256"]:
            raise ValueError(
                f"{weights} is not the file that {SETTINGS} was written with: its SHA-256 is "
                f"{digest}, not {settings['sha256']}. Copy the folder again."
            )
        config = _config(settings["model"])
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            feedback = rebuilt(settings["feedback"])
        template, n_thoughts = Template.from_dict(settings["template"]), settings["n_thoughts"]
        name = settings["name"]
        stop = rebuilt_stop(settings["stop"]) if version == WITH_STOP_RULE else None
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / SETTINGS} lacks an entry or has one that is not known: {error}. Copy the "
            "folder again."
        ) from error
    blank = blank_model(config)
    blank_state = blank.state_dict()
    wanted = {f"model.{name}": tuple(blank_state[name].shape) for name in untied_names(blank)} | {
        f"feedback.{name}": tuple(each.shape) for name, each in feedback.state_dict().items()
    }
    if diff := state_dict_diff(wanted, tensors):
        raise diff.error(str(weights), SETTINGS, "Was one of the two files replaced?")
    check_finite(tensors, str(weights))
    feedback.load_state_dict(_under("feedback.", tensors))
    return ModelParts(
        language_model=language_model(config, copied(_under("model.", tensors), dtype), dtype),
        tokenizer=read_tokenizer(folder),
        feedback=feedback,
        template=template,
        n_thoughts=n_thoughts,
        name=name,
        report=LoadReport(
            source=str(folder),
            family="cot_attn",
            files={weights: digest},
            settings={"n_thoughts": n_thoughts} | ({} if stop is None else {"stop": repr(stop)}),
            n_tensors=len(wanted),
        ),
        checkpoint=digest[:12],
        stop=stop,
    )


def named_tensors(model: PreTrainedModel, feedback: Feedback) -> dict[str, Tensor]:
    """Return every weight by the name it has in the format, tied ones once.

    Parameters
    ----------
    model
        The language model, in a bridge or not.
    feedback
        From hidden state to thought.
    """
    blank = blank_model(model.config)
    # A bridge puts its components round the original ones; the names are theirs otherwise.
    stored = {
        name.replace("._original_component", ""): tensor
        for name, tensor in model.state_dict().items()
    }
    return {f"model.{name}": stored[name] for name in untied_names(blank)} | {
        f"feedback.{name}": tensor for name, tensor in feedback.state_dict().items()
    }


def fingerprint(model: PreTrainedModel, feedback: Feedback) -> str:
    """Return the first twelve hex digits of the SHA-256 over the names and bytes of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(named_tensors(model, feedback).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()


def _config(described: dict[str, Any]) -> PretrainedConfig:
    described = dict(described)
    return AutoConfig.for_model(described.pop("model_type"), **described)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under a prefix, by their names without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not valid JSON: {error}. Copy the folder again.") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file} holds no settings. Copy the folder again.")
    version = settings.get("format_version")
    if version not in (FORMAT_VERSION, WITH_STOP_RULE):
        newer = isinstance(version, int) and version > WITH_STOP_RULE
        advice = "Update cot-attn." if newer else "Save the model again with this version."
        raise ValueError(
            f"{file} has format version {version}; this cot-attn reads versions {FORMAT_VERSION} "
            f"and {WITH_STOP_RULE}. " + advice
        )
    return settings
