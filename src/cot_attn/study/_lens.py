"""Where a study's readouts keep what was read; no model is needed to look it up.

One dataset holds it all: the ranks of a lens, and under names that begin with a prefix the parts
that are read beside them.
"""

from typing import Any

import xarray as xr

from cot_attn import stats

RANKS = ("rank", "baseline_rank")
FED, PROBE, WORDS = PREFIXES = ("fed_", "probe_", "words_")


def in_space(readouts: xr.Dataset, space: str) -> xr.Dataset:
    """Return the ranks of one space, as `logit_lens` gives them."""
    ranks = part_of(readouts, FED) if space == "fed" else readouts[list(RANKS)]
    return ranks.assign_attrs({**_shared(readouts), "space": space})


def agreement(readouts: xr.Dataset | None, space: str, model: str) -> xr.Dataset:
    """Return how often a lens finds what it looks for, beyond others' states."""
    found = stats.lens_agreement(in_space(_there(readouts, model), space))
    return found.assign_attrs(model=model)


def probe_of(readouts: xr.Dataset | None, model: str) -> xr.Dataset:
    """Return what a probe read."""
    return _beside(readouts, PROBE, model)


def words_of(readouts: xr.Dataset | None, model: str) -> xr.Dataset:
    """Return the likeliest words of one problem."""
    words = _beside(readouts, WORDS, model)
    return words.rename(nth="rank").assign_coords(problem=words.attrs["problem"])


def has_probe(readouts: xr.Dataset) -> bool:
    """Return whether a probe was asked too; readouts of earlier versions have a lens alone."""
    return bool(part_of(readouts, PROBE))


def _beside(readouts: xr.Dataset | None, prefix: str, model: str) -> xr.Dataset:
    found = part_of(_there(readouts, model), prefix)
    if not found:
        raise ValueError(
            f"The readouts of {model} are of an earlier version, with neither a probe nor words. "
            "Run the study again."
        )
    return found.assign_attrs(model=model)


def _there(readouts: xr.Dataset | None, model: str) -> xr.Dataset:
    if readouts is None:
        raise ValueError(
            f"The study of {model} has no readouts. Make it with run_study(..., readouts=True) or "
            "`cot-attn study --readouts`."
        )
    return readouts


def late_target(readouts: xr.Dataset) -> str:
    """Return the second target, or the only one: the first may be read before any thought."""
    targets = readouts["target"].values
    return str(targets[min(1, len(targets) - 1)])


def with_part(readouts: xr.Dataset, prefix: str, read: xr.Dataset) -> xr.Dataset:
    """Put a part into readouts, its variables and its own attributes under a prefix.

    Raises
    ------
    ValueError
        Where a dimension that both have has other labels in one than in the other.
    """
    xr.align(readouts, read, join="exact")
    new = {name: value for name, value in read.attrs.items() if readouts.attrs.get(name) != value}
    return readouts.assign(
        {f"{prefix}{name}": each.reset_coords(drop=True) for name, each in read.data_vars.items()}
    ).assign_attrs({f"{prefix}{name}": value for name, value in new.items()})


def part_of(readouts: xr.Dataset, prefix: str) -> xr.Dataset:
    """Return a part as it was before it was put in; without variables where there is none."""
    names = {
        name: name.removeprefix(prefix)
        for name in sorted(map(str, readouts))
        if _begins(name, prefix)
    }
    found = readouts[list(names)].rename(names)
    found.attrs = _shared(readouts) | {
        str(name).removeprefix(prefix): value
        for name, value in readouts.attrs.items()
        if _begins(name, prefix)
    }
    return found


def _shared(readouts: xr.Dataset) -> dict[str, Any]:
    return {n: value for n, value in readouts.attrs.items() if not _begins(n, *PREFIXES)}


def _begins(name: object, *prefixes: str) -> bool:
    return str(name).startswith(prefixes)
