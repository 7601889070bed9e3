"""Whether problems have different numbers of thoughts, as a stop rule lets them have."""

import xarray as xr

from cot_attn.stats._checks.check import Check

LENGTHS = "n_thoughts"
"""The coordinate along problems that says it."""


def all_have_all_thoughts(data: xr.Dataset | xr.DataArray) -> Check:
    """Say how many problems have each thought."""
    name, lengths = "All problems have all thoughts", data[LENGTHS]
    most = int(lengths.max())
    counts = [int((lengths > thought).sum()) for thought in range(most)]
    if lengths.size and int(lengths.min()) == most:
        return Check(name, "pass", f"All {lengths.size} have {most}.")
    listed = ", ".join(f"thought {thought}: {count}" for thought, count in enumerate(counts))
    return Check(
        name,
        "warn",
        f"They stopped at different ones. Of {lengths.size} problems have {listed}. A figure of "
        "one thought rests on those that have it, and one of a whole profile, such as a "
        "correlation, on those that have all.",
    )
