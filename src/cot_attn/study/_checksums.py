"""Checksums of a study's files: what is read is what was written, or nothing is.

`study.json` holds the SHA-256 of every other file and, as its last entry, that of its own contents.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

LEFT_BY_SYSTEMS = ("Thumbs.db", "desktop.ini")
"""Files that an operating system leaves wherever it looks; others begin with a dot."""


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {file.relative_to(folder).as_posix(): _sha256(file.read_bytes()) for file in files}


def checked(folder: Path, expected: Mapping[str, str]) -> dict[str, bytes]:
    """Return the contents of a folder's files by path, if they are those that were written.

    Raises
    ------
    ValueError
        Where a file is missing, cannot be read or has other contents, or where one stands among
        those of a zarr store that does not belong there.
    """
    contents = {}
    for name, checksum in expected.items():
        file = folder / name
        contents[name] = read(file)
        if _sha256(contents[name]) != checksum:
            raise damaged(file, "is not as it was written")
    for store in sorted({name.partition("/")[0] for name in expected if "/" in name}):
        for place, _, names in os.walk(folder / store):
            for each in names:
                file = Path(place, each)
                ours = file.relative_to(folder).as_posix() in expected
                if not (ours or each.startswith(".") or each in LEFT_BY_SYSTEMS):
                    raise damaged(file, "does not belong there")
    return contents


def sealed(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON, with the SHA-256 of its contents as the last entry."""
    return _json({**document, "sha256": _sha256(_json(document))})


def unsealed(file: Path, data: bytes, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that was read from `sealed` data, without its checksum.

    Raises
    ------
    ValueError
        Where anything in it is not as it was written.
    """
    contents = {name: value for name, value in document.items() if name != "sha256"}
    try:
        whole = sealed(contents) == data
    except ValueError:  # a number that JSON does not have, such as 1e999
        whole = False
    if not whole:
        raise damaged(file, "is not as it was written")
    return contents


def parsed(file: Path, data: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    ValueError
        Where it is none.
    """
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise damaged(file, f"is not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise damaged(file, f"holds a {type(document).__name__} and no settings")
    return document


def read(file: Path) -> bytes:
    """Return a file's contents.

    Raises
    ------
    ValueError
        Where it is not there, or cannot be read.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise damaged(file, "is not a file")
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise damaged(file, "is missing") from None
    except OSError as error:
        raise damaged(file, f"cannot be read ({error.strerror})") from error


def damaged(file: Path, how: str) -> ValueError:
    """Return the error for a file that is not what was written."""
    return ValueError(f"{file} {how}: the study is damaged. Copy the folder again.")


def _json(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "surrogatepass")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
