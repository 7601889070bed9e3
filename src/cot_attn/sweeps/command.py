"""`cot-attn sweep PLAN`, `cot-attn sweep status DIR`, `cot-attn sweep resume DIR`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cot_attn import sweeps  # loads what it has when it is asked for
from cot_attn._screen import Screen, errors_as_sentences


class _PlanOrCommand(TyperGroup):
    """Takes `sweep plan.toml` for `sweep run plan.toml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_PlanOrCommand,
    no_args_is_help=True,
    help="Many studies at once, from a plan: `sweep plan.toml`, `sweep status DIR`, "
    "`sweep resume DIR`.",
)

Folder = Annotated[Path, typer.Argument(help="The sweep's folder.", metavar="DIR")]
Workers = Annotated[int, typer.Option(min=1, help="Processes, actors or jobs at once.")]
Engine = Annotated[
    str, typer.Option(help="`processes` of this machine, `ray`, or `submitit` (Slurm).")
]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster; by default this machine.")]
Gpus = Annotated[float, typer.Option(min=0, help="GPUs of each Ray actor.")]
Device = Annotated[str, typer.Option(help="Where models run, as in PyTorch.")]


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="A TOML file.", metavar="PLAN")],
    out: Annotated[
        Path | None,
        typer.Option(help="The sweep's folder; by default sweeps/ and its name."),
    ] = None,
    workers: Workers = 1,
    engine: Engine = "processes",
    address: Address = None,
    gpus: Gpus = 0,
    device: Device = "cpu",
) -> None:
    """Plan a sweep and run it; one that was interrupted goes on when the same is asked for."""
    with errors_as_sentences():
        folder = out or Path("sweeps") / plan.stem
        executor = _executor(engine, workers, address, gpus)
        sweeps.plan_sweep(sweeps.Plan.read(plan), folder)
        status = sweeps.run_sweep(folder, executor, device=device)
    _show(status)


@app.command()
def resume(
    folder: Folder,
    workers: Workers = 1,
    engine: Engine = "processes",
    address: Address = None,
    gpus: Gpus = 0,
    device: Device = "cpu",
) -> None:
    """Go on with a sweep; what was given up is tried again."""
    with errors_as_sentences():
        status = sweeps.run_sweep(folder, _executor(engine, workers, address, gpus), device=device)
    _show(status)


@app.command("status")
def show_status(folder: Folder) -> None:
    """Say where a sweep stands, while it runs or afterwards."""
    with errors_as_sentences():
        status = sweeps.sweep_status(folder)
    _show(status)


def _executor(
    engine: str, workers: int, address: str | None, gpus: int | float
) -> "sweeps.Executor":
    match engine:
        case "processes":
            return sweeps.Processes(workers) if workers > 1 else sweeps.InProcess()
        case "ray":
            return sweeps.RayActors(workers, address=address, gpus=gpus)
        case "submitit":
            return sweeps.Submitit(workers)
    raise ValueError(f"--engine is {engine!r}; accepted: processes, ray, submitit.")


def _show(status: "sweeps.Status") -> None:
    """Print where a sweep stands; end with 1 where shards were given up."""
    screen = Screen()
    screen.say(str(status))
    for shard, error in status.given_up.items():
        screen.say(f"  {shard}: {error}")
    if status.complete:
        folder = screen.quoted(str(status.folder))
        screen.say(f"Go on in Python: from cot_attn.sweeps import open_sweep; open_sweep({folder})")
    elif status.given_up:
        sys.exit(1)
