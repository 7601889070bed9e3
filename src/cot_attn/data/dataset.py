"""What the library knows of a data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cot_attn.data._rows import Row
from cot_attn.data.problem import Problem


@dataclass(frozen=True)
class Hub:
    """Where `datasets.load_dataset` finds a data set.

    Parameters
    ----------
    path
        The data set's id on the hub, or the name of a builder such as "json".
    splits
        The names of its splits, the usual one first.
    config
        The configuration, where it has several.
    files
        The address of each split, for data that are not on the hub.
    """

    path: str
    splits: tuple[str, ...]
    config: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """A data set: how its rows are recognised and what problems they are.

    Parameters
    ----------
    name
        What it is called in `load_problems`.
    fields
        The fields of a row that are read, for people.
    recognises
        Whether a row of an unknown file is written in this data set's schema.
    problem
        Turns a row into a problem, or raises a ValueError that says what is wrong with it.
    hub
        Where it can be had; None if it exists only as somebody's file.
    strata
        The lowest and the highest difficulty that samples are balanced by: what is below or above
        counts as these. By default every difficulty counts for itself.
    """

    name: str
    fields: tuple[str, ...]
    recognises: Callable[[Row], bool]
    problem: Callable[[Row], Problem]
    hub: Hub | None = None
    strata: tuple[int, int] | None = None
