"""The command line: `cot-attn study MODEL...` and `cot-attn models`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

N_PROBLEMS = 200
UNFINISHED = ".unfinished"
"""The folder, beside the results', from which a study goes on that was interrupted."""

app = typer.Typer(
    help="Find out what the thoughts of continuous-thought language models do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def study(
    models: Annotated[
        list[str], typer.Argument(help="Bundled names, hub ids or folders.", metavar="MODEL...")
    ],
    problems: Annotated[
        str, typer.Option(help="A data set's name, or a JSON, JSONL or CSV file.")
    ] = "toy",
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="How many problems; by default up to 200.")
    ] = None,
    corruptions: Annotated[
        Literal["ccta", "zero"], typer.Option(help="The published seven, or zero alone.")
    ] = "ccta",
    downstream: Annotated[
        Literal["recompute", "frozen"],
        typer.Option(help="Whether later thoughts follow from a change, or get the old inputs."),
    ] = "recompute",
    layers: Annotated[
        str | None, typer.Option(help="Layers to record, as in 0,4,-1; by default all.")
    ] = None,
    query: Annotated[
        str, typer.Option(help="Whose attention: answer_value, eot, bot, 'thought 0' ..")
    ] = "answer_value",
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default a new folder in studies/.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses problems, noise and donors.")] = 0,
    device: Annotated[str, typer.Option(help="Where to run, as in PyTorch.")] = "cpu",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows that run at once; by default what fits.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
) -> None:
    """Study whether models attend to the thoughts that matter to them.

    A study that was interrupted goes on where it was when the same is asked for again.
    """
    from rich.console import Console

    console = Console()
    with _errors_as_sentences():
        chosen = _layers(layers)

        from cot_attn.data import load_problems
        from cot_attn.models import load
        from cot_attn.report import write_report
        from cot_attn.study import run_study
        from cot_attn.study.display import comparison_table, study_tables
        from cot_attn.study.export import export_comparison, export_study, new_folder

        asked = load_problems(problems, n=n, seed=seed)
        if n is None and len(asked) > N_PROBLEMS:
            asked = load_problems(problems, n=N_PROBLEMS, seed=seed)
        folder = new_folder(out, models)
        studies, written = [], []
        for name in models:
            result = run_study(
                load(name, device=device),
                asked,
                corruptions=corruptions,
                layers=chosen,
                query=query,
                downstream=downstream,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                seed=seed,
                unfinished=folder.parent / UNFINISHED,
            )
            studies.append(result)
            written.append(export_study(result, folder))
            for shown in study_tables(result):
                console.print(shown)
        if len(studies) > 1:
            console.print(comparison_table(studies))
            written.append(export_comparison(studies, folder))
        page = write_report(studies, folder)
    console.print(f"To read and to send: {page}", highlight=False, soft_wrap=True)
    console.print("Written, with tables (CSV), figures (PNG, PDF) and arrays (zarr):")
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    onward = f'Go on in Python: from cot_attn import Study; Study.load("{written[0]}")'
    console.print(onward, highlight=False, soft_wrap=True)


@app.command()
def models() -> None:
    """List the models that can be loaded by name."""
    from rich.console import Console

    from cot_attn.study.display import models_table

    Console().print(models_table())


def main() -> None:
    """Run the command line."""
    app()


def _layers(given: str | None) -> list[int] | None:
    """Read layers as in `0,4,-1`."""
    if given is None:
        return None
    try:
        return [int(part) for part in given.split(",")]
    except ValueError:
        raise ValueError(
            f"--layers is {given!r}; give numbers with commas between, as in 0,4,-1."
        ) from None


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    """End with a sentence where the input was at fault, and with a traceback where we were."""
    try:
        yield
    except (ValueError, KeyError, OSError, ImportError) as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("cot_attn"):
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        typer.secho(f"cot-attn: {message}", fg="red", err=True)
        sys.exit(2)
