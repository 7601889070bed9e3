"""The published comparison, redrawn on one axis and audited from its printed numbers alone.

python examples/published_study.py [folder]
"""

import json
import sys
from pathlib import Path

import xarray as xr

from cot_attn import plots, stats

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "published_study")
folder.mkdir(parents=True, exist_ok=True)
tables = json.loads(Path(__file__).with_name("published_tables.json").read_text())["tables"]


def column(table: dict, name: str) -> xr.Dataset:
    """A printed column as fractions; the study printed no intervals, so they are unknown."""
    printed = xr.DataArray(table[name], dims="thought", coords={"thought": range(6)}) / 100
    unknown = xr.full_like(printed, float("nan"))
    parts = xr.Dataset({"estimate": printed, "low": unknown, "high": unknown})
    return parts.assign_coords(layer=table["layer"]).assign_attrs(model=table["model"])


figure, axes = plots.subplots(2, 2, width=plots.PAGE, height=4.8, sharey=True)
for table, ax in zip(tables, axes.flat, strict=True):
    printed = table["total_thought_attention"] / 100
    total = xr.Dataset({"estimate": printed, "low": float("nan"), "high": float("nan")})
    plots.importance_beside_attention(
        column(table, "importance"), column(table, "share"), total=total, ax=ax
    )
for file in plots.save(axes, folder / "published_study", ["png", "svg"]):
    print("wrote", file)

for check in stats.audit(tables):
    if check.status != "pass":
        print(check)
