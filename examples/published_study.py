"""The published comparison, redrawn on one axis and audited from its printed numbers alone.

python examples/published_study.py [folder]
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cot_attn import plots, stats

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "published_study")
folder.mkdir(parents=True, exist_ok=True)
tables = json.loads(Path(__file__).with_name("published_tables.json").read_text())["tables"]


def printed(name: str) -> xr.Dataset:
    """Return what was printed as fractions by model, layer and thought; no intervals were."""
    rows = [
        {"model": table["model"], "layer": table["layer"], "thought": i, "estimate": percent / 100}
        for table in tables
        for i, percent in enumerate(np.atleast_1d(table[name]))
    ]
    estimate = pd.DataFrame(rows).set_index(["model", "layer", "thought"]).to_xarray()["estimate"]
    unknown = xr.full_like(estimate, np.nan)
    return xr.Dataset({"estimate": estimate, "low": unknown, "high": unknown})


panels = plots.importance_beside_attention_by_layer(
    printed("importance").max("layer"),  # the same in both tables of a model
    printed("share"),
    totals=printed("total_thought_attention").squeeze("thought", drop=True),
)
panels[0, 0].figure.legends[0].set_title("as printed, without intervals")
for file in plots.save(panels, folder / "published_study", ["png", "svg"]):
    print("wrote", file)

for check in stats.audit(tables):
    if check.status != "pass":
        print(check)
