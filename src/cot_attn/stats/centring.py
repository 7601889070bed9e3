"""What is left within problems when each problem's and each thought's own level is taken out."""

import xarray as xr

from cot_attn.stats._arguments import require_array


def double_centred(values: xr.DataArray) -> xr.DataArray:
    """Take out what is common to a problem and what is common to a thought.

    Of what is left, `correlate(..., estimand="within_problem")` is the correlation, and
    `fitted_line` the line within problems.

    Parameters
    ----------
    values
        (problem, thought, ...). A problem with a missing value is missing as a whole, and does
        not count in the thoughts' means.

    Returns
    -------
    xr.DataArray
        In the dimensions and units of `values`; its mean over thoughts is 0 in every problem, and
        its mean over problems 0 for every thought.

    Raises
    ------
    ValueError
        Where a dimension is missing.

    Examples
    --------
    >>> additive = xr.DataArray([[1.0, 2.0], [5.0, 6.0]], dims=("problem", "thought"))
    >>> float(abs(double_centred(additive)).max())
    0.0
    """
    require_array(values, ("problem", "thought"), "Centring", name="values")
    exact = values.astype("float64")
    whole = exact.where(exact.notnull().all("thought"))
    of_problem = whole.mean("thought", skipna=False)
    centred = whole - of_problem - whole.mean("problem") + of_problem.mean("problem")
    return centred.transpose(*values.dims).assign_attrs(values.attrs)
