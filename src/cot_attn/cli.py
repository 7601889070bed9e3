"""The command line: `cot-attn study`, `compare`, `check`, `sweep` and `models`."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cot_attn._screen import errors_as_sentences
from cot_attn.sweeps import command

if TYPE_CHECKING:
    from cot_attn.study import Study

N_PROBLEMS = 200

app = typer.Typer(
    help="Find out what the thoughts of continuous-thought language models do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(command.app, name="sweep")


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
        str, typer.Option(help="Whose attention: answer_value, eot, 'thought 0' ..")
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
    readouts: Annotated[
        bool, typer.Option("--readouts", help="Read states too, by a lens and a probe.")
    ] = False,
    experiments: Annotated[
        str,
        typer.Option(
            help="What else is asked: usage, exits, interchange, steer, graph, heads, frontier."
        ),
    ] = "",
) -> None:
    """Study whether models attend to the thoughts that matter to them.

    A study that was interrupted goes on where it was when the same is asked for again.
    """
    with errors_as_sentences():
        how: dict[str, Any] = {
            "corruptions": corruptions,
            "layers": _layers(layers),
            "query": query,
            "downstream": downstream,
            "max_new_tokens": max_new_tokens,
            "seed": _seed(seed),
            "readouts": readouts,
        }
        if asked := [name.strip() for name in experiments.split(",") if name.strip()]:
            how["experiments"] = asked
        studies, folder = _studied(models, problems, n, how, out, device, batch_size)
    _show(studies, folder)


def _studied(
    models: list[str],
    problems: str,
    n: int | None,
    how: dict[str, Any],
    out: Path | None,
    device: str,
    batch_size: int | None,
) -> "tuple[list[Study], Path]":
    """Run every study and write everything; return them and where they are."""
    from cot_attn._writing import probe
    from cot_attn.data import load_problems
    from cot_attn.report import write_report
    from cot_attn.study import _output as output
    from cot_attn.study._lineup import line_up

    if out is None:
        probe(output.STUDIES)
    else:
        output.check_output(out)
    asked = load_problems(problems, n=n, seed=how["seed"])
    if n is None and len(asked) > N_PROBLEMS:
        asked = load_problems(problems, n=N_PROBLEMS, seed=how["seed"])
    entrants = line_up(models, device, asked, how)
    names = [entrant.name for entrant in entrants]
    request = {
        "cot_attn": version("cot-attn"),
        "models": [entrant.identity for entrant in entrants],
        "problems": output.fingerprint(asked),
        "device": device,
        **how,
    }
    begun = None if out else output.unfinished_folder(request)
    folder = begun or output.new_folder(out, names)
    with output.held(folder, request, names) as resume:
        studies = [
            entrant.study(asked, how, folder, batch_size=batch_size, resume=resume)
            for entrant in entrants
        ]
        write_report(studies, folder, formats=("png", "pdf"))
    return studies, folder


def _show(studies: "list[Study]", folder: Path) -> None:
    """Print what was found, and where it is."""
    from cot_attn._screen import Screen
    from cot_attn.study._display import comparison_table, study_tables
    from cot_attn.study._naming import COMPARISON, PAGE, file_name

    screen = Screen()
    for study in studies:
        for shown in study_tables(study):
            screen.show(shown)
    written = [folder / file_name(study.name) for study in studies]
    screen.say(f"To read and to send: {folder / PAGE}")
    first = screen.quoted(str(written[0]))
    if len(studies) > 1:
        screen.show(comparison_table(studies))
        written.append(folder / COMPARISON)
    screen.say("Written, with tables (CSV), figures (PNG, PDF) and arrays (zarr):")
    for path in written:
        screen.say(f"  {path}")
    screen.say(f"Go on in Python: from cot_attn import Study; study = Study.load({first})")


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Studies, folders of studies, or finished sweeps.", metavar="DIR..."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default a new folder in studies/.")
    ] = None,
) -> None:
    """Write one page of studies that exist already, of any number of models.

    They must have been made alike: the same problems, corruptions, site and downstream.
    """
    with errors_as_sentences():
        from cot_attn.report import write_report
        from cot_attn.study import compare as side_by_side
        from cot_attn.study._output import new_folder

        studies = [study for folder in folders for study in _studies_in(folder)]
        side_by_side(studies)  # refuses what does not belong together, before anything is written
        folder = new_folder(out, [study.name for study in studies])
        page = write_report(studies, folder, formats=("png", "pdf"))

    from cot_attn._screen import Screen
    from cot_attn.study._display import comparison_table

    screen = Screen()
    screen.show(comparison_table(studies))
    screen.say(f"To read and to send: {page}")


def _studies_in(folder: Path) -> "list[Study]":
    """Read a study, the studies inside a folder, or those of a sweep."""
    from cot_attn.study import Study
    from cot_attn.study._storage import SETTINGS
    from cot_attn.sweeps import sweep_studies
    from cot_attn.sweeps.manifest import FILE

    if (folder / FILE).is_file():
        return sweep_studies(folder)
    inside = sorted(each.parent for each in folder.glob(f"*/{SETTINGS}"))
    if inside and not (folder / SETTINGS).is_file():
        return [Study.load(each) for each in inside]
    return [Study.load(folder)]


@app.command("check")
def check(
    model: Annotated[str, typer.Argument(help="A bundled name, hub id, folder or file.")],
    problems: Annotated[
        str | None,
        typer.Option(help="A data set's name, or a JSON, JSONL or CSV file; by default a few."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=2, help="How many problems.")] = None,
    family: Annotated[str | None, typer.Option(help="Whose format it has, such as codi.")] = None,
    base: Annotated[str | None, typer.Option(help="What it was trained from.")] = None,
    n_thoughts: Annotated[int | None, typer.Option(min=0)] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="LoRA's alpha.")] = None,
    compression: Annotated[int | None, typer.Option(min=1, help="Of CoLaR's prompt.")] = None,
    weights: Annotated[str | None, typer.Option(help="The weight file of a folder.")] = None,
    dtype: Annotated[str, typer.Option(help="As in PyTorch.")] = "float32",
    device: Annotated[str, typer.Option(help="As in PyTorch.")] = "cpu",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 64,
) -> None:
    """Load a model, check it, ask it a few questions, and say what looks wrong or is not known.

    It ends with status 1 where a check fails, and with 2 where the model does not load.
    """
    with errors_as_sentences():
        from cot_attn._screen import Screen
        from cot_attn.check import check_model
        from cot_attn.data import load_problems

        asked = None
        if problems is not None:
            asked = load_problems(problems, n=n or min(100, len(load_problems(problems))))
        options = {
            "family": family,
            "base": base,
            "n_thoughts": n_thoughts,
            "lora_alpha": lora_alpha,
            "compression": compression,
            "weights": weights,
            "dtype": dtype,
            "device": device,
        }
        said = check_model(model, asked, n=n, max_new_tokens=max_new_tokens, **options)
        Screen().say(str(said))
    if not said.passed:
        sys.exit(1)


@app.command("models")
def list_models() -> None:
    """List the models that can be loaded by name."""
    from cot_attn._screen import Screen
    from cot_attn.study._by_name import models_table

    Screen().show(models_table())


def main() -> None:
    """Run the command line."""
    from cot_attn._screen import show_what_can_be_shown

    for stream in (sys.stdout, sys.stderr):  # for the help too
        show_what_can_be_shown(stream)
    app()


def _layers(text: str | None) -> list[int] | None:
    """Read layers as in `0,4,-1`."""
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--layers is {text!r}; give numbers with commas between, as in 0,4,-1."
        ) from None


def _seed(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"--seed is {seed}; give 0 or more.")
    return seed
