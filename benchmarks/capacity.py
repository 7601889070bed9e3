"""What a ladder of toy models shows of size: `python -m benchmarks.capacity LADDER SWEEPS`.

Asks every model of `make ladder` the same problems, in a sweep for each row (equal steps, equal
accuracy), and writes what it found to `examples/capacity.csv`. Goes on where it was.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cot_attn.sweeps import ladder_plan, model_quantities, plan_sweep, run_sweep
from cot_attn.toy import toy_problems
from cot_attn.toy.ladder import ROWS

TABLE = Path(__file__).parent.parent / "examples" / "capacity.csv"
LONGEST = 3
N_PROBLEMS = 90
EXPERIMENTS = ("exits", "usage")
SEED = 2  # other problems than those by which the ladder measures accuracy


def main(
    ladder: Annotated[Path, typer.Argument(help="Where `make ladder` kept its models.")],
    sweeps: Annotated[Path, typer.Argument(help="Where the sweeps are kept.")],
) -> None:
    """Sweep over both rows and write the table."""
    problems = toy_problems(N_PROBLEMS, seed=SEED, steps=range(1, LONGEST + 1))
    tables = []
    for row in ROWS:
        plan = ladder_plan(
            ladder,
            problems,
            row,
            problems_per_shard=N_PROBLEMS,
            batch_size=256,
            experiments=EXPERIMENTS,
        )
        plan_sweep(plan, sweeps / row)
        run_sweep(sweeps / row)
        tables.append(model_quantities(sweeps / row).to_dataframe().reset_index().assign(row=row))
    table = pd.concat(tables)
    first = ["row", "model", "family", "d_model", "n_parameters", "training_seed", "quantity"]
    table = table[[*first, *(name for name in table if name not in first)]]
    table.to_csv(TABLE, index=False, float_format="%.4g")


if __name__ == "__main__":
    typer.run(main)
