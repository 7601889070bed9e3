"""What moves with the size of toy models? Reads capacity.csv and draws capacity.png.

`make ladder` and `python -m benchmarks.capacity` make the table anew, in an hour or so.
"""

from pathlib import Path

import pandas as pd
import xarray as xr

from cot_attn import plots, stats

TABLE = Path(__file__).with_name("capacity.csv")
SHOWN = {
    "accuracy": "right answers (%)",
    "failure": "failure when corrupted (%)",
    "attention: effective thoughts": "attention: effective thoughts",
    "importance: effective thoughts": "importance: effective thoughts",
    "correlation": "correlation within problems",
    "usage: no thoughts": "change without thoughts (points)",
    "usage: another problem's": "change with another's thoughts (points)",
    "exits: thoughts to the final answer": "thoughts to the final answer",
}


def read(row: str = "equal-steps") -> xr.Dataset:
    """Return estimates and intervals over (model, quantity), with what is known of each model."""
    table = pd.read_csv(TABLE).query("row == @row")
    models = table.drop_duplicates("model").set_index("model")
    found = table.set_index(["model", "quantity"])[["estimate", "low", "high", "n_problems"]]
    known = ["family", "n_parameters", "training_seed", "trained_accuracy"]
    labels = {name: ("model", models[name].to_numpy(dtype=object)) for name in known}
    results = found.to_xarray().reindex(
        model=models.index.to_numpy(),
        quantity=table["quantity"][: table["quantity"].nunique()].to_numpy(),
    )
    return results.assign_coords(labels).assign_attrs(confidence=0.95)


def trends(row: str, covariates: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return how each quantity moves for a size ten times as large."""
    found = stats.trend_over(read(row)["estimate"], covariates=covariates)
    return found[["estimate", "low", "high", "p", "q", "n_models"]].to_dataframe().round(2)


def draw(row: str = "equal-steps") -> None:
    """Draw eight quantities by size, and the plane of strategies."""
    results = read(row)
    _, axes = plots.subplots(3, 3, width=1.4 * plots.PAGE, height=9.2)
    for ax, (name, label) in zip(axes.flat, SHOWN.items(), strict=False):
        quantity = results.sel(quantity=name)
        factor = 100 if "%" in label or "points" in label else 1
        trend = stats.trend_over(quantity["estimate"])
        plots.quantity_by_size(quantity, trend, label=label, factor=factor, ax=ax)
    plots.strategies_by_size(
        results.sel(quantity="importance: effective thoughts"),
        results.sel(quantity="attention: effective thoughts"),
        ax=axes[2, 2],
    )
    plots.save(axes, f"capacity-{row}", ["png"], dpi=130)


if __name__ == "__main__":
    for row in ("equal-steps", "equal-accuracy"):
        print(f"\n{row}\n{trends(row).to_string()}")
        draw(row)
