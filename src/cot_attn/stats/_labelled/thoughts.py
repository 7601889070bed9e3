"""The keys of a recording that are thoughts, and problems that do not have all of them."""

import re
import warnings

import xarray as xr

THOUGHT_KEY = re.compile(r"thought (\d+)")


def thought_keys(rows: xr.DataArray) -> dict[str, int]:
    """Find the keys that are thoughts, in the order of their numbers.

    Raises
    ------
    ValueError
        If there is none: a run with n_thoughts = 0, or other labels than the recorder's.

    Examples
    --------
    >>> labels = ["question", "thought 1", "thought 0", "eot"]
    >>> thought_keys(xr.DataArray([0.4, 0.1, 0.2, 0.3], {"key": labels}, "key"))
    {'thought 0': 0, 'thought 1': 1}
    """
    matches = [THOUGHT_KEY.fullmatch(str(label)) for label in rows["key"].values]
    found = {match.group(0): int(match.group(1)) for match in matches if match}
    if not found:
        raise ValueError(
            f"No key is called 'thought 0', 'thought 1', ...; the keys are "
            f"{[str(label) for label in rows['key'].values]}. Was the model run without thoughts?"
        )
    return dict(sorted(found.items(), key=lambda item: item[1]))


def tell_of_shorter(what: str, *arrays: xr.DataArray) -> None:
    """Warn where problems that stopped early are left out of what needs all of their thoughts.

    Recorders and interventions say of a model with a stop rule, as `n_thoughts` along `problem`,
    how many thoughts each has.
    """
    for array in arrays:
        lengths = array.coords.get("n_thoughts")
        if lengths is None or lengths.dims != ("problem",) or "thought" not in array.dims:
            continue
        shorter = int((lengths <= array["thought"].max()).sum())
        if shorter:
            warnings.warn(
                f"{what} needs all {array.sizes['thought']} thoughts of a problem: {shorter} of "
                f"{lengths.size} problems stopped before, and are left out. Select the first "
                "thoughts, as in .sel(thought=[0, 1]), to keep more problems.",
                stacklevel=4,
            )
            return
