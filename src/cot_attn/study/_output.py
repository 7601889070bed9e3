"""The folder that a study of several models is written to, from its first file to its report.

It says in `asked.json` what was asked for. While it is not finished, it has a folder `.unfinished`
with the finished parts and a lock. The same request goes on from there, and any other is refused.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from cot_attn._lock import locked
from cot_attn._writing import probe, saying_what_failed, sweep, taking_the_place_of
from cot_attn.data.problem import Problem
from cot_attn.data.sets.own import row_of
from cot_attn.interventions.resume import Lasting
from cot_attn.study._naming import ASKED, PAGE, file_name
from cot_attn.study._storage import as_json

STUDIES = Path("studies")
UNFINISHED = ".unfinished"
LOCK = "lock"


def check_output(folder: Path) -> None:
    """Raise where a study cannot be written to a folder, whatever is asked for.

    Raises
    ------
    FileExistsError
        Where it is a file, or has something in it that is no study of several models.
    PermissionError
        Where nothing can be written there.
    """
    if os.path.exists(folder) and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file. Give a folder that is new, or empty.")
    if not _is_blank(folder) and _asked_before(folder) is None:
        raise FileExistsError(
            f"{folder} is not empty. Give a folder that is new, or leave --out away."
        )
    probe(folder)


def new_folder(wanted: Path | None, models: Sequence[str], root: Path = STUDIES) -> Path:
    """Return where to write: the given folder, or a new one that no earlier study has.

    Raises
    ------
    FileExistsError, PermissionError
        As `check_output` does.
    """
    if wanted is not None:
        check_output(wanted)
        return wanted
    named = "-".join(file_name(model) for model in models)[:80]
    base = f"{datetime.now(UTC):%Y-%m-%d}-{named}"
    for number in count(1):
        folder = root / (base if number == 1 else f"{base}-{number}")
        killed_at_once = _is_blank(folder) and (folder / UNFINISHED).exists()
        if not folder.exists() or killed_at_once:
            check_output(folder)
            return folder
    raise AssertionError


def unfinished_folder(asked: Mapping[str, Any], root: Path = STUDIES) -> Path | None:
    """Return the folder in which the same study was begun and not finished."""
    for left in sorted(root.glob(f"*/{UNFINISHED}")):
        if _asked_before(left.parent) == _plain(asked):
            return left.parent
    return None


@contextmanager
def held(folder: Path, asked: Mapping[str, Any], models: Sequence[str]) -> Iterator[Lasting]:
    """Hold a folder until its study is written, and give where finished parts are kept.

    These are removed at the end, and stay where the context ends with an error.

    Parameters
    ----------
    folder
        Where the study is written.
    asked
        What is asked for, as plain JSON values.
    models
        The names of the models; each has a folder of its own inside.

    Raises
    ------
    BlockingIOError
        Where another process writes there.
    FileExistsError
        Where the folder holds something else.
    """
    _check_same(folder, asked)
    unfinished = folder / UNFINISHED
    with saying_what_failed(folder):
        unfinished.mkdir(parents=True, exist_ok=True)
    busy = f"Another process is writing a study to {folder}. Wait for it, or give another --out."
    with locked(unfinished / LOCK, busy):
        _check_same(folder, asked)  # another process may have been here meanwhile
        with saying_what_failed(folder), taking_the_place_of(folder / ASKED) as new:
            new.write_bytes(as_json(asked))
        for name in (*map(file_name, models), PAGE):
            sweep(folder / name)
        yield Lasting(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)


def fingerprint(problems: Sequence[Problem]) -> str:
    """Return the SHA-256 over everything that is known of the problems."""
    rows = [json.dumps(row_of(problem), sort_keys=True) for problem in problems]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    before, now = _asked_before(folder), _plain(asked)
    if before is None:
        if _is_blank(folder):
            return
        raise FileExistsError(f"{folder} is not empty. Give a folder that is new.")
    different = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    if different:
        raise FileExistsError(
            f"{folder} is not empty: it holds a study that differs in {', '.join(different)} (see "
            f"{ASKED} there). Give another folder, or ask for the same again to go on with it."
        )


def _is_blank(folder: Path) -> bool:
    """Return whether nothing is there, or only what a process left that was killed at once."""
    if not os.path.exists(folder):  # also of a path that is no path, for which there is a message
        return True
    return folder.is_dir() and all(
        each.name == UNFINISHED or each.name.startswith(f".{ASKED}-") for each in folder.iterdir()
    )


def _asked_before(folder: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        before = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        return before if isinstance(before, dict) else None
    return None


def _plain(asked: Mapping[str, Any]) -> Any:
    return json.loads(as_json(asked))
