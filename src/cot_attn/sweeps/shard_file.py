"""A shard's result: one zarr group in one zip file, which is whole or not there.

It is written under another name, brought to the disk and renamed. Equal results are equal bytes.
`xr.open_zarr` reads such a file too.
"""

import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from cot_attn._writing import saying_what_failed
from cot_attn.study._packing import encoding, text

SUFFIX = ".zarr.zip"
UNFINISHED = ".unfinished"
FOLDER = "shards"
_ALL_ALIKE = (1980, 1, 1, 0, 0, 0)
PACKED = "attention"


def path_of(folder: Path, name: str) -> Path:
    """Return where a shard's result lies."""
    return folder / FOLDER / f"{name}{SUFFIX}"


def finished(folder: Path) -> set[str]:
    """Return the names of the shards that have a result."""
    place = folder / FOLDER
    if not place.is_dir():
        return set()
    return {each.removesuffix(SUFFIX) for each in os.listdir(place) if each.endswith(SUFFIX)}


def write_shard(folder: Path, name: str, result: xr.Dataset) -> None:
    """Write a shard's result; what a killed process left of it is no hindrance.

    Raises
    ------
    OSError
        Where it cannot be written; the message has the path and the cause.
    """
    target = path_of(folder, name)
    data = _zipped(result.assign_attrs(shard=name))
    with saying_what_failed(target, len(data)):
        target.parent.mkdir(parents=True, exist_ok=True)
        number, staged = tempfile.mkstemp(f"{SUFFIX}{UNFINISHED}", f".{name}-", target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(staged, 0o644)
            os.replace(staged, target)
        finally:
            Path(staged).unlink(missing_ok=True)


def read_shard(folder: Path, name: str) -> xr.Dataset:
    """Read a shard's result into memory.

    Raises
    ------
    ValueError
        Where it is damaged.
    """
    with _members(folder, name) as store:
        result: xr.Dataset = xr.open_zarr(store, consolidated=False).load()
    return result


def read_array(folder: Path, name: str, variable: str) -> np.ndarray:
    """Read one array of a shard's result, and nothing else of it.

    Raises
    ------
    ValueError
        Where it is damaged.
    """
    with _members(folder, name, f"{variable}/") as store:
        return np.asarray(zarr.open_array(store, path=variable, mode="r")[...])


@contextmanager
def _members(folder: Path, name: str, prefix: str = "") -> Iterator[MemoryStore]:
    """Give the members of a shard's file whose names begin so; what they raise is damage."""
    file, buffer = path_of(folder, name), default_buffer_prototype().buffer
    try:
        with zipfile.ZipFile(file) as archive:  # which checks every member's checksum
            wanted = [each for each in archive.namelist() if each.startswith(prefix)]
            members = {each: buffer.from_bytes(archive.read(each)) for each in wanted}
            says = json.loads(archive.read("zarr.json"))["attributes"]["shard"]
        if says != name:
            raise ValueError(f"It says that it is the shard {says}.")
        yield MemoryStore(members)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever zip, zarr and its codecs say of bytes that are not theirs
        raise damaged(file) from error


def remove_damaged(folder: Path, names: set[str]) -> set[str]:
    """Remove results that were cut short, as a crash of the machine may do; return their names."""
    cut = {name for name in names if not zipfile.is_zipfile(path_of(folder, name))}
    for name in cut:
        path_of(folder, name).unlink(missing_ok=True)
    return cut


def remove_unfinished(folder: Path) -> None:
    """Remove what killed workers left beside the results."""
    for left in (folder / FOLDER).glob(f".*{UNFINISHED}"):
        left.unlink(missing_ok=True)


def damaged(file: Path) -> ValueError:
    """Return the error for a result that is not as it was written."""
    return ValueError(
        f"{file} is not as it was written. Remove it and resume the sweep: this shard alone is "
        "done again."
    )


def _zipped(result: xr.Dataset) -> bytes:
    store = MemoryStore()
    coordinates = {key: _storable(value) for key, value in result.coords.items()}
    storable = result.map(_storable, keep_attrs=True).assign_coords(coordinates)
    # The file is read as a whole: a chunk an array.
    how = {
        str(key): {"chunks": tuple(max(1, size) for size in array.shape)}
        for key, array in storable.variables.items()
        if array.ndim
    }
    if PACKED in storable:
        how[PACKED] = encoding(storable[PACKED])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr says that text may be stored otherwise one day
        storable.to_zarr(store, consolidated=False, encoding=how)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for key, value in sorted(store._store_dict.items()):
            archive.writestr(zipfile.ZipInfo(key, _ALL_ALIKE), value.to_bytes())
    return data.getvalue()


def _storable(array: xr.DataArray) -> xr.DataArray:
    return text(array) if array.dtype.kind in "OU" else array
