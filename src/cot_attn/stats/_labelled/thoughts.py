"""The keys of a recording that are thoughts."""

import re

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
