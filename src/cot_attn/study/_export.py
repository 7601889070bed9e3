"""What a study found, for other programs: tables and a summary."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cot_attn._writing import saying_what_failed
from cot_attn.study._storage import as_json
from cot_attn.study.results import Study


def write_tables(study: Study, folder: Path) -> None:
    """Write every result of a study into a folder as CSV, fractions as they are."""
    with saying_what_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in study.tables():
            table.to_csv(folder / f"{name}.csv", index=False)


def write_summary(study: Study, folder: Path) -> None:
    """Write a study's findings into a folder as `summary.json`; see `summary`."""
    with saying_what_failed(folder):
        (folder / "summary.json").write_bytes(as_json(summary(study)))


def summary(study: Study) -> dict[str, Any]:
    """Return a study's findings in numbers; fractions, not percent, but for `percent_by_layer`."""
    layers = {
        str(layer): json.loads(study.table(layer).to_json(orient="index")) for layer in study.layers
    }
    correlations = study.correlations.to_dataframe().reset_index()
    return {
        "settings": study.settings,
        "checks": [asdict(check) for check in study.checks],
        "n_problems": len(study.problems),
        "n_correct": study.n_correct,
        "accuracy": study.accuracy,
        "noise_floor": study.effects.attrs["noise_floor"],
        "percent_by_layer": layers,
        "correlations": json.loads(correlations.to_json(orient="records")),
    }
