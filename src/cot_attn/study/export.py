"""What a study leaves on disk: arrays, tables, a summary and figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cot_attn._writing import saying_what_failed
from cot_attn.study.comparison import compare
from cot_attn.study.figures import comparison_figures, draw, study_figures
from cot_attn.study.naming import COMPARISON, file_name
from cot_attn.study.results import Study
from cot_attn.study.storage import as_json


def export_study(study: Study, folder: Path) -> Path:
    """Write a study into a folder of its own inside `folder` and return that.

    It holds what `Study.load` reads, `summary.json`, `tables/` (CSV) and `figures/` (PNG, PDF).
    """
    target = study.save(folder / file_name(study.name))
    export_findings(study, target)
    return target


def export_findings(study: Study, folder: Path) -> None:
    """Write a study's tables, summary and figures into its folder."""
    write_tables(study, folder / "tables")
    with saying_what_failed(folder):
        (folder / "summary.json").write_bytes(as_json(summary(study)))
        draw(study_figures(study), folder / "figures")


def write_tables(study: Study, folder: Path) -> None:
    """Write every result of a study into a folder as CSV, fractions as they are."""
    with saying_what_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in study.tables():
            table.to_csv(folder / f"{name}.csv", index=False)


def export_comparison(studies: Sequence[Study], folder: Path) -> Path:
    """Draw studies side by side into `comparison/` inside `folder` and return that."""
    target = folder / COMPARISON
    with saying_what_failed(target):
        draw(comparison_figures(compare(studies)), target)
    return target


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
