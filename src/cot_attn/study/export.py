"""What a study leaves on disk: arrays, tables, a summary and figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from cot_attn.study.comparison import compare
from cot_attn.study.figures import comparison_figures, draw, study_figures
from cot_attn.study.results import Study
from cot_attn.study.storage import check_writable


def export_study(study: Study, folder: Path) -> Path:
    """Write a study into a folder of its own inside `folder` and return that.

    It holds what `Study.load` reads, `summary.json`, `tables/` (CSV) and `figures/` (PNG, PDF).
    """
    target = study.save(folder / file_name(study.name))
    write_tables(study, target / "tables")
    text = json.dumps(summary(study), indent=2, ensure_ascii=False)
    (target / "summary.json").write_text(text + "\n", encoding="utf-8")
    draw(study_figures(study), target / "figures")
    return target


def write_tables(study: Study, folder: Path) -> None:
    """Write every result of a study into a folder as CSV, fractions as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in study.tables():
        table.to_csv(folder / f"{name}.csv", index=False)


def export_comparison(studies: Sequence[Study], folder: Path) -> Path:
    """Draw studies side by side into `comparison/` inside `folder` and return that."""
    draw(comparison_figures(compare(studies)), folder / "comparison")
    return folder / "comparison"


def summary(study: Study) -> dict[str, Any]:
    """Return a study's findings in numbers, as plain JSON values; fractions, not percent."""
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


def new_folder(wanted: Path | None, models: Sequence[str], root: Path = Path("studies")) -> Path:
    """Return where to write: the given folder, or a new one that no earlier study has.

    Raises
    ------
    FileExistsError
        Where the given folder has something in it.
    PermissionError
        Where nothing can be written there.
    """
    if wanted is not None:
        if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
            raise FileExistsError(
                f"{wanted} is not empty. Give a folder that is new, or leave --out away."
            )
        check_writable(wanted)
        return wanted
    named = "-".join(file_name(model) for model in models)[:80]
    base = f"{datetime.now(UTC):%Y-%m-%d}-{named}"
    for number in count(1):
        folder = root / (base if number == 1 else f"{base}-{number}")
        if not folder.exists():
            check_writable(folder)
            return folder
    raise AssertionError


def file_name(model: str) -> str:
    """Return a model's name as one path component."""
    last = Path(model).name if Path(model).exists() else model
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in last) or "model"
