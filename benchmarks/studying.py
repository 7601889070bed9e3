"""What a study costs beside its runs: statistics, tables, saving, loading and the page.

`python -m benchmarks.studying [PROBLEMS LAYERS HEADS]` prints seconds of wall clock and of
processor time as JSON, of a study that is made up.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.browsing import made_up
from benchmarks.measuring import Seconds, timed
from cot_attn.study import Study
from cot_attn.study._packing import rounded


def own_share(n_problems: int = 1000, n_layers: int = 16, n_heads: int = 32) -> dict[str, Seconds]:
    """Return the seconds that each part takes, and all of them."""
    study = made_up(n_problems, n_layers=n_layers, n_heads=n_heads)
    taken: dict[str, Seconds] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        works: dict[str, Callable[[], Any]] = {
            "rounding": lambda: study.attention.map(rounded, keep_attrs=True),
            "statistics and tables": lambda: (study.checks, list(study.tables())),
            "saving": lambda: study.save(folder / "study"),
            "loading": lambda: Study.load(folder / "study"),
            "page": lambda: study.report(folder / "page"),
        }
        for name, work in works.items():
            taken[name] = timed(work)[0]
    return {**taken, "all": sum(taken.values(), Seconds(0.0, 0.0))}


if __name__ == "__main__":
    print(json.dumps(own_share(*map(int, sys.argv[1:])), indent=2, default=vars))
