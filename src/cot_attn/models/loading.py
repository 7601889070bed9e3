"""From a name to a model: bundled names and local folders."""

from difflib import get_close_matches
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cot_attn.models.pretrained import SETTINGS, read

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that ship with the package, by name."""
    folder = Path(str(files("cot_attn.toy") / "bundled"))
    return {each.parent.name: each.parent for each in sorted(folder.glob(f"*/{SETTINGS}"))}


def load(
    name_or_path: str | PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> "ContinuousThoughtModel":
    """Load a model by its bundled name or from a folder that `save_pretrained` wrote.

    Parameters
    ----------
    name_or_path
        `toy-gpt2`, `toy-llama`, or a local folder.
    dtype
        The floating-point type to run in.
    device
        Where to run, as in PyTorch; by default the CPU.

    Raises
    ------
    ValueError
        Where the name is not known (near ones are suggested) or the folder is damaged.
    """
    bundled = bundled_models()
    if str(name_or_path) in bundled:
        return read(bundled[str(name_or_path)], dtype=dtype, device=device)
    folder = Path(name_or_path)
    if (folder / SETTINGS).is_file():
        return read(folder, dtype=dtype, device=device)
    if folder.is_dir():
        raise ValueError(
            f"{folder} has no {SETTINGS}, so it is not a folder that save_pretrained wrote."
        )
    near = get_close_matches(str(name_or_path), bundled)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"There is no model named {str(name_or_path)!r}.{hint} Accepted are {', '.join(bundled)}, "
        "or a local folder."
    )
