"""One self-contained page: the checks, the finding, figures, tables, methods."""

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
import xarray as xr
from markupsafe import Markup

from cot_attn._writing import saying_what_failed, taking_the_place_of
from cot_attn.data.saving import save_problems
from cot_attn.report import _methods as methods
from cot_attn.report import _questions as questions
from cot_attn.report import _tables as tables
from cot_attn.report._browser.content import as_json
from cot_attn.report._drawing import Topic, drawn, save_beside_page, topic
from cot_attn.report._finding import finding
from cot_attn.report._numbers import listed
from cot_attn.report._reading import meaning
from cot_attn.report._templates import template
from cot_attn.report.browser import Browser
from cot_attn.report.catalogue import figures
from cot_attn.report.figure import Target
from cot_attn.study._export import write_tables
from cot_attn.study._naming import PAGE, file_name, folder_names
from cot_attn.study._storage import PROBLEMS, SETTINGS, holds, same_problems
from cot_attn.study.comparison import compare
from cot_attn.study.results import Study


def write_report(
    studies: Sequence[Study], folder: str | os.PathLike[str], formats: Sequence[str] = ()
) -> Path:
    """Write studies as `report.html` into a folder, with their tables and problems beside it.

    Parameters
    ----------
    studies
        One, or several that were made alike; see `compare`.
    folder
        Where to write; made if it is not there. Beside the page, each study has a folder with
        `tables/` (CSV, unrounded) and `problems.jsonl`.
    formats
        In which formats, such as "png" and "pdf", each figure is a file too: in `figures/` in the
        study's folder, and for models side by side in `comparison/`. By default in none.

    Returns
    -------
    Path
        The page. It needs nothing from a network, and no file beside it to be read.

    Raises
    ------
    ValueError
        Where there is no study, or several were not made alike.
    FileExistsError
        Where a study's folder beside the page has another study in it, or other problems that are
        not those of an earlier report.

    Examples
    --------
    >>> import tempfile
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> study = run_study(model, load_problems("toy", n=6), corruptions="zero", layers=[-1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report([study], folder)
    ...     sorted(file.name for file in page.parent.iterdir())
    ['report.html', 'toy-gpt2']
    """
    target, comparison = Path(folder), _checked(studies)
    for study in studies:
        _check_beside(study, target)
    targets: list[Target] = [_page_of(studies)]
    if formats:
        targets.append("files")
    topics = []
    for shown in drawn(studies, figures(*targets)):
        if "files" in shown.figure.targets.intersection(targets):
            save_beside_page(shown, target, formats)
        if _page_of(studies) in shown.figure.targets:
            topics.append(topic(shown))
    page = _page(studies, comparison, topics, beside=True)
    for study in studies:
        beside = target / file_name(study.name)
        beside.mkdir(parents=True, exist_ok=True)
        save_problems(study.problems, beside / PROBLEMS)  # first, by which the folder is ours
        write_tables(study, beside / "tables")
    data = page.encode("utf-8", "replace")  # a path may have bytes that are no text
    with saying_what_failed(target / PAGE, len(data)), taking_the_place_of(target / PAGE) as new:
        new.write_bytes(data)
    return target / PAGE


def render(studies: Sequence[Study]) -> str:
    """Return the page of one study or several, to which no files are linked; see `write_report`."""
    comparison = _checked(studies)
    topics = [topic(shown) for shown in drawn(studies, figures(_page_of(studies)))]
    return _page(studies, comparison, topics, beside=False)


def _checked(studies: Sequence[Study]) -> xr.Dataset | None:
    """Return the studies side by side, if there are several; raise where there is no page."""
    if not studies:
        raise ValueError("There is no study to report. Give at least one.")
    folder_names(study.name for study in studies)
    return compare(studies) if len(studies) > 1 else None


def _check_beside(study: Study, target: Path) -> None:
    """Raise where a study's tables and problems would come into somebody else's folder."""
    beside = target / file_name(study.name)
    if (beside / SETTINGS).exists():
        ours, there = holds(beside, study.settings, study.problems), "another study"
    else:
        earlier = (target / PAGE).exists() or not (beside / PROBLEMS).exists()
        ours, there = earlier or same_problems(beside, study.problems), "other problems"
    if not ours:
        raise FileExistsError(
            f"{beside} has {there} in it, whose files the tables and problems of {study.name} "
            "would replace. Give another folder for the report, or remove that one first."
        )


def _csv(
    flat: Mapping[str, Mapping[str, pd.DataFrame]], topics: Sequence[Topic]
) -> dict[str, dict[str, str]]:
    """Return the tables behind the figures of a page as CSV, by model and name."""
    needed = {table for topic in topics for table in topic.tables}
    return {
        model: {
            name: table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            for name, table in of_model.items()
            if name in needed
        }
        for model, of_model in flat.items()
    }


def _page_of(studies: Sequence[Study]) -> Target:
    return "page of several" if len(studies) > 1 else "page of one"


def _page(
    studies: Sequence[Study],
    comparison: xr.Dataset | None,
    topics: Sequence[Topic],
    *,
    beside: bool,
) -> str:
    folders = folder_names(study.name for study in studies)
    problems = f"{folders[0]}/{PROBLEMS}"
    flat = {study.name: dict(study.tables()) for study in studies}
    return template("report.html").render(
        browser=Browser(tuple(studies), in_report=True),
        tables_json=Markup(as_json(_csv(flat, topics))),
        names=listed(study.name for study in studies),
        studies=studies,
        made=studies[0].settings,
        finding=finding,
        topics=[topic for topic in topics if not questions.of_a_question(topic)],
        experiments=list(questions.answered(studies, folders, topics)),
        meaning=meaning,
        csv_files=[
            (study.name, [f"{folder}/tables/{name}.csv" for name in flat[study.name]])
            for study, folder in zip(studies, folders, strict=True)
        ],
        by_thought=tables.overview(studies),
        by_thought_files=[f"{folder}/tables/importance.csv" for folder in folders],
        differences=[] if comparison is None else list(tables.differences(comparison)),
        details=list(chain.from_iterable(map(tables.details, studies, folders))),
        problems=[tables.problems(study) for study in studies],
        methods=methods.methods,
        settings=methods.settings,
        command=methods.command(studies, problems),
        python=[methods.python_lines(study, problems) for study in studies],
        problems_file=problems,
        beside=beside,
    )
