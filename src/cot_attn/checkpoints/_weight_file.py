"""One weight file: read without running anything that is in it, and hashed."""

import hashlib
import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

_ZIP, _PICKLE, _POINTER = b"PK\x03\x04", b"\x80", b"version https://git-lfs"


def sha256(file: Path) -> str:
    """Return a file's SHA-256 as hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_weight_file(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a PyTorch or safetensors file by name.

    What kind of file it is shows in its first bytes, not in its name. Nothing in a pickle is run:
    PyTorch reads it with `weights_only=True`.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where it is empty, cut off, damaged, a web page, a Git LFS pointer, a pickle with more
        than tensors in it, or anything else than named tensors.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing. Download it again, or give another file.")
    with file.open("rb") as stream:
        head = stream.read(64)
    if not head:
        raise _damaged(file, "it is empty")
    if head.startswith(_POINTER):
        raise _damaged(file, "it is a Git LFS pointer, not the file itself; run `git lfs pull`")
    if head.lstrip().startswith(b"<"):
        raise _damaged(file, "it is a web page (HTML), as a failed or refused download leaves it")
    if head.startswith((_ZIP, _PICKLE)):
        tensors = _read_torch(file, is_zip=head.startswith(_ZIP))
    elif head[8:9] == b"{":
        tensors = _read_safetensors(file)
    else:
        raise _damaged(file, "its first bytes are neither PyTorch's nor safetensors'")
    _check_cached_digest(file)
    return tensors


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise _damaged(file, str(error)) from error


def _read_torch(file: Path, *, is_zip: bool) -> dict[str, Tensor]:
    if is_zip:
        _check_zip(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise ValueError(
            f"{file} is a pickle that holds other things than tensors{what}, or is damaged. "
            "Nothing in it was run. Ask its author for a state dict, best as safetensors."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(file, str(error).splitlines()[0] if str(error) else repr(error)) from error
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        keys = f" with the keys {list(content)[:20]}" if isinstance(content, dict) else ""
        raise ValueError(
            f"{file} holds a {type(content).__name__}{keys}; accepted is a state dict, that is "
            "names with a tensor each. Save the model's state_dict() alone."
        )
    return dict(content)


def _check_zip(file: Path) -> None:
    """PyTorch does not compare the checksums of its zip files; do it here."""
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise _damaged(file, str(error)) from error
    if broken is not None:
        raise _damaged(file, f"the checksum of {broken!r} in it is wrong")


def _check_cached_digest(file: Path) -> None:
    """In the hub's cache a large file is stored under its own SHA-256: compare the two."""
    stored = file.resolve()
    if stored.parent.name != "blobs" or not re.fullmatch(r"[0-9a-f]{64}", stored.name):
        return
    if (digest := sha256(stored)) != stored.name:
        raise _damaged(
            file, f"its SHA-256 is {digest}, where the hub has {stored.name}; delete {stored}"
        )


def _damaged(file: Path, why: str) -> ValueError:
    size = file.stat().st_size
    return ValueError(
        f"{file} ({size} bytes) cannot be read as a weight file: {why}. Download or copy it again."
    )
