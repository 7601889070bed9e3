"""What models are called that are studied together: a name each, and so a folder each."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

COMPARISON = "comparison"
PAGE = "report.html"
ASKED = "asked.json"
TAKEN = (COMPARISON, PAGE, ASKED)
"""What else lies beside the models' folders."""
LONGEST = 100


def file_name(model: str) -> str:
    """Return a model's name as one path component that is not hidden.

    Examples
    --------
    >>> file_name("zen-E/CODI-gpt2"), file_name("..")
    ('zen-E_CODI-gpt2', 'model')
    """
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in model)
    return plain.lstrip(".")[-LONGEST:] or "model"


def folder_names(names: Iterable[str]) -> list[str]:
    """Return the folder of each model; raise where two would have one, or it is taken."""
    seen = {_key(name): name for name in TAKEN}
    folders = []
    for name in names:
        if _key(name) in seen:
            raise ValueError(
                f"The folder of the model {name!r} would be called {file_name(name)!r}, as that of "
                f"{seen[_key(name)]!r}. Give it another name: model.name = ..., before it is run."
            )
        seen[_key(name)] = name
        folders.append(file_name(name))
    return folders


def distinct_names(names: Sequence[str], origins: Sequence[str]) -> list[str]:
    """Return names that differ, also as folders.

    Parameters
    ----------
    names
        What the models are called; a name that no other has stays.
    origins
        The paths or hub ids that they came from. Where names are the same, models are called as
        these end.

    Examples
    --------
    >>> distinct_names(["checkpoint", "checkpoint", "mine"], ["a/checkpoint", "b/checkpoint", "c"])
    ['a/checkpoint', 'b/checkpoint', 'mine']
    """
    named = [_printable(name) for name in names]
    components = [[each for each in Path(origin).parts if each != os.sep] for origin in origins]
    for depth in range(1, max(map(len, components)) + 1):
        keys = [_key(name) for name in named]
        taken = [*keys, *map(_key, TAKEN)]
        if len(set(taken)) == len(taken):
            return named
        named = [
            _printable("/".join(end[-depth:])) if taken.count(key) > 1 else name
            for name, key, end in zip(named, keys, components, strict=True)
        ]
    keys = [_key(name) for name in named]
    alike = len(set(keys) | set(TAKEN)) < len(keys) + len(TAKEN)
    return [f"{i}-{name}" for i, name in enumerate(named, start=1)] if alike else named


def _key(name: str) -> str:
    return file_name(name).casefold()  # some file systems know no case


def _printable(name: str) -> str:
    """Return a name that every file can hold: a path may have bytes that are no text."""
    return name.encode("utf-8", "replace").decode()
