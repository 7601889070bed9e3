"""Heat maps of what a lens finds beyond its baseline: by layer and place, by step and thought."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes

from cot_attn.plots._headings import heading
from cot_attn.plots._heatmap import draw_heatmap, write_cells
from cot_attn.plots._summaries import model_of, n_of, summary
from cot_attn.plots.canvas import axes_or_new, style
from cot_attn.plots.colours import DIFFERENCES

ROW = 0.17  # inches from one row to the next
FEWEST_ROWS = 5  # with fewer rows, the map is as high as with these
SHORT = {"answer_value": "value"}


@style()
def lens_by_layer(agreement: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how often a lens finds one target at each place (across) and layer (up), beyond chance.

    Parameters
    ----------
    agreement
        Over (layer, place), from `stats.lens_agreement`: one of its targets and of its answers,
        such as `.sel(target="step 2", answered="all")`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    shown = summary(agreement, ("layer", "place"), "agreement")
    return _draw(shown, "layer", "place", f"Lens: {_target(shown)}", ax)


@style()
def lens_by_step(agreement: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how often a lens finds each target (up) in each thought or place, beyond chance.

    Parameters
    ----------
    agreement
        Over (target, thought) of the vectors that were fed, or over (target, place) of one layer,
        from `stats.lens_agreement`: one of its answers, such as `.sel(answered="all")`.
    ax
        Where to draw; by default, on a new figure of a column's width.
    """
    across = "thought" if "thought" in agreement.dims else "place"
    shown = summary(agreement, ("target", across), "agreement")
    return _draw(shown, "target", across, "Lens: what is in which thought", ax)


def _draw(shown: xr.Dataset, up: str, across: str, title: str, ax: Axes | None) -> Axes:
    rows, columns = list(shown[up].values), short_places(shown[across].values.tolist())
    ax = axes_or_new(ax, height=1.05 + ROW * max(len(rows), FEWEST_ROWS))
    ax.set_xlabel(across_label(across))
    ax.set_ylabel("" if up == "target" else up)
    k = shown.attrs.get("k", 1)
    mesh = draw_heatmap(
        ax,
        100 * shown["estimate"].values,
        rows,
        columns,
        scale=DIFFERENCES,
        scale_label="more than elsewhere (points)",
    )
    found = f"in the top {k}" if k > 1 else "in the first place"
    what = f"problems with it {found}, less those of others' states"
    heading(ax, title, [model_of(shown), what, _where(shown, up), n_of(shown)])
    write_cells(ax, mesh)
    return ax


def short_places(places: Sequence[object]) -> list[str]:
    """Write places as short as an axis needs.

    Examples
    --------
    >>> short_places(["bot", "thought 0", "eot", "answer_value"])
    ['bot', '0', 'eot', 'value']
    """
    return [SHORT.get(str(place), str(place).removeprefix("thought ")) for place in places]


def across_label(dim: str) -> str:
    """Say what an axis of places or thoughts shows."""
    return "thought" if dim == "thought" else "place (numbers: where thoughts are fed)"


def _target(shown: xr.Dataset) -> str:
    if "target" in shown.coords and not shown["target"].ndim:
        return str(shown["target"].item())
    return "one target"


def _where(shown: xr.Dataset, up: str) -> str | None:
    """Say what was selected or read: the layer, the answers."""
    parts = []
    if up != "layer" and "layer" in shown.coords and not shown["layer"].ndim:
        parts.append(f"layer {shown['layer'].item()}")
    if shown.attrs.get("space") == "fed":
        parts.append("what was fed")
    if "answered" in shown.coords and not shown["answered"].ndim:
        answered = str(shown["answered"].item())
        parts.append("all answers" if answered == "all" else f"answered {answered}")
    if shown.attrs.get("lens") == "tuned":
        parts.append("tuned lens")
    return ", ".join(parts) or None
