"""A study's folder: arrays as zarr, settings as JSON, problems as JSONL.

The folder is written under another name first and then takes its place, so that an interruption
leaves what was there before whole. Reading it raises where any of its files is not as it was
written; others may stand beside them.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from cot_attn._writing import probe, saying_what_failed, taking_the_place_of
from cot_attn.data.loading import load_problems
from cot_attn.data.problem import Problem
from cot_attn.data.saving import save_problems
from cot_attn.study._checksums import checked, checksums, damaged, parsed, read, sealed, unsealed
from cot_attn.study._packing import encoding, text

FORMAT_VERSION = 2
SETTINGS = "study.json"
PROBLEMS = "problems.jsonl"
PACKED = "attention"


def write_folder(
    folder: str | PathLike[str],
    arrays: Mapping[str, xr.Dataset],
    settings: Mapping[str, Any],
    problems: Sequence[Problem],
) -> Path:
    """Write a study; what was there before is replaced in the last moment.

    Raises
    ------
    FileExistsError
        Where the folder has something else in it than a study.
    PermissionError
        Where nothing can be written there.
    """
    target = Path(folder).absolute()
    check_writable(target)
    n_bytes = sum(dataset.nbytes for dataset in arrays.values())
    with saying_what_failed(target, n_bytes), taking_the_place_of(target) as new:
        new.mkdir()
        for name, dataset in arrays.items():
            with warnings.catch_warnings():
                # zarr says that text arrays may be stored in another way one day.
                warnings.simplefilter("ignore")
                coordinates = {key: _storable(value) for key, value in dataset.coords.items()}
                storable = dataset.map(_storable, keep_attrs=True).assign_coords(coordinates)
                packed = {PACKED: encoding(storable[PACKED])} if PACKED in storable else {}
                storable.to_zarr(new / f"{name}.zarr", consolidated=False, encoding=packed)
        save_problems(problems, new / PROBLEMS)
        described = {
            "format_version": FORMAT_VERSION,
            "settings": dict(settings),
            "files": checksums(new),
        }
        (new / SETTINGS).write_bytes(sealed(described))
    return Path(folder)


def read_folder(
    folder: str | PathLike[str], names: Sequence[str]
) -> tuple[dict[str, xr.Dataset], dict[str, Any], list[Problem]]:
    """Read what `write_folder` wrote: arrays, settings and problems.

    Arrays of the given names must be there; others are read where they were written.

    Raises
    ------
    FileNotFoundError
        Where the folder is not a study.
    ValueError
        Where it is of another format version, or damaged; the message names the file.
    """
    source = Path(folder)
    file = source / SETTINGS
    if not os.path.lexists(file):
        raise FileNotFoundError(
            f"{source} is not a study: it has no {SETTINGS}. Give the folder that Study.save or "
            "`cot-attn study` wrote (with several models, one of the folders inside)."
        )
    data = read(file)
    document = parsed(file, data)
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        advice = "Update cot-attn" if newer else "Run the study again"
        raise ValueError(
            f"{file} says format version {version}; this cot-attn reads {FORMAT_VERSION}. "
            f"{advice}, or copy the folder again where it should be of this version."
        )
    described = unsealed(file, data, document)
    settings, files = described.get("settings"), described.get("files")
    if not isinstance(settings, dict) or not isinstance(files, dict):
        raise damaged(file, "has no settings or no checksums")
    contents = checked(source, files)
    written = {name.partition(".zarr/")[0] for name in contents if ".zarr/" in name}
    stores = [*names, *sorted(written - set(names))]
    arrays = {name: _opened(source / f"{name}.zarr", contents) for name in stores}
    if PROBLEMS not in contents:
        raise damaged(source / PROBLEMS, "is missing")
    return arrays, settings, load_problems(source / PROBLEMS)


def holds(folder: Path, settings: Mapping[str, Any], problems: Sequence[Problem]) -> bool:
    """Return whether a folder holds the study with these settings and problems; arrays unread."""
    try:
        there = parsed(folder / SETTINGS, read(folder / SETTINGS)).get("settings")
        return there == json.loads(as_json(settings)) and same_problems(folder, problems)
    except ValueError:  # it is damaged, or no study
        return False


def same_problems(folder: Path, problems: Sequence[Problem]) -> bool:
    """Return whether a folder's file of problems has these."""
    try:
        return load_problems(folder / PROBLEMS) == list(problems)
    except (ValueError, OSError):
        return False


def _opened(store: Path, contents: Mapping[str, bytes]) -> xr.Dataset:
    """Return the arrays of a zarr store, from the contents of its files."""
    prefix, buffer = f"{store.name}/", default_buffer_prototype().buffer
    files = {
        name.removeprefix(prefix): buffer.from_bytes(data)
        for name, data in contents.items()
        if name.startswith(prefix)
    }
    if not files:
        raise damaged(store, "is missing")
    arrays: xr.Dataset = xr.open_zarr(MemoryStore(files), consolidated=False).load()
    return arrays


def check_writable(target: Path) -> None:
    """Raise where a study could not be written."""
    if os.path.isfile(target):
        raise FileExistsError(f"{target} is a file. Give a folder.")
    empty = os.path.isdir(target) and not any(target.iterdir())
    if os.path.exists(target) and not empty and not (target / SETTINGS).is_file():
        raise FileExistsError(
            f"{target} exists and is not a study. Give another folder, or remove it first."
        )
    for folder in (target, target.parent):
        probe(folder)


def as_json(value: Mapping[str, Any]) -> bytes:
    """Return a mapping as JSON that every reader takes: null where a number is NaN or infinite."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair, as undecodable bytes of a path become one, is written as its escape.
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _storable(array: xr.DataArray) -> xr.DataArray:
    return text(array) if array.dtype == object else array
