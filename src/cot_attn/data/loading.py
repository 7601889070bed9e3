"""Problems by the name of a data set, or from a file."""

from collections.abc import Collection, Iterable
from itertools import chain
from os import PathLike
from pathlib import Path

from cot_attn._did_you_mean import did_you_mean
from cot_attn.data._files import read_rows
from cot_attn.data._hub import download_rows
from cot_attn.data._rows import Row
from cot_attn.data.dataset import DataSet
from cot_attn.data.problem import Problem
from cot_attn.data.sampling import balanced_sample
from cot_attn.data.sets import GSM8K, MATH500, OWN, PROSQA, STRATEGYQA
from cot_attn.data.sets.toy import toy_problems

DATASETS: dict[str, DataSet] = {
    data_set.name: data_set for data_set in (OWN, GSM8K, MATH500, STRATEGYQA, PROSQA)
}
"""Every schema that files are read in. The first that recognises a file's first row is taken."""

TOY = "toy"
N_TOY = 200  # where nobody says how many; they have no end


def load_problems(
    name_or_path: str | PathLike[str],
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    format: str | None = None,  # noqa: A002
    difficulties: Collection[int] | None = None,
) -> list[Problem]:
    """Load problems by the name of a data set, or from a file.

    Parameters
    ----------
    name_or_path
        "toy", which is made on the spot; "gsm8k", "math500", "strategyqa" or "prosqa", which are
        downloaded; or a JSON, JSONL or CSV file, also gzipped, in the schema of one of these or
        in the library's own: the fields of `Problem`, of which `id` and `question` are needed.
    split
        Which split of a named data set; by default "test". A file has none.
    n
        How many, as even over the difficulties as can be: where one has too few, the others share
        what is missing. For GSM8K these are 2 steps or fewer, 3, 4, and 5 or more. By default all
        of them, and 200 of "toy".
    seed
        Another seed gives another sample. The sample follows from it and from the problems' ids,
        not from their order, and a smaller sample is the beginning of a larger one.
    format
        The schema of a file whose fields do not give it away: "cot_attn" (the library's own) or
        the name of a data set.
    difficulties
        Only problems of these difficulties.

    Returns
    -------
    list[Problem]
        In the file's order, or, if `n` is given, in the order of choice, in which the
        difficulties take turns.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a name, split or format is unknown, or a row is no problem; the message says where.
    TypeError
        If it is neither a name nor a path.
    ConnectionError, ImportError
        If a named data set cannot be downloaded.

    Examples
    --------
    >>> [problem.difficulty for problem in load_problems("toy", n=4, difficulties=[2, 3])]
    [2, 3, 2, 3]
    """
    argument: object = name_or_path
    if not isinstance(argument, str | PathLike):
        raise TypeError(
            f"name_or_path is a {type(argument).__name__}; give the name of a data set or a file. "
            "What is in memory becomes problems with Problem(id, question, answer)."
        )
    if name_or_path == TOY:
        _no_format(TOY, format)
        chosen = _known("split", split or "test", ("test", "train"), TOY)
        steps = None if difficulties is None else sorted(difficulties)
        # The generator balances by itself.
        return toy_problems(
            N_TOY if n is None else n, seed, "test" if chosen == "test" else "train", steps
        )
    if isinstance(name_or_path, str) and name_or_path in _downloadable():
        problems = _from_hub(DATASETS[name_or_path], split, format)
    else:
        problems = _from_file(name_or_path, split, format)
    if difficulties is not None:
        problems = _of_difficulties(problems, set(difficulties))
    return problems if n is None else balanced_sample(problems, n, seed, stratum)


def stratum(problem: Problem) -> int | None:
    """Return the difficulty as samples are balanced by it, with the rare ones taken together."""
    data_set = DATASETS.get(problem.dataset or "")
    if problem.difficulty is None or data_set is None or data_set.strata is None:
        return problem.difficulty
    low, high = data_set.strata
    return min(max(problem.difficulty, low), high)


def _downloadable() -> list[str]:
    return [data_set.name for data_set in DATASETS.values() if data_set.hub]


def _from_hub(dataset: DataSet, split: str | None, format: str | None) -> list[Problem]:  # noqa: A002
    assert dataset.hub
    _no_format(dataset.name, format)
    splits = dataset.hub.splits
    chosen = _known("split", split or splits[0], splits, dataset.name)
    return _problems(download_rows(dataset.name, dataset.hub, chosen), dataset)


def _from_file(
    path: str | PathLike[str],
    split: str | None,
    format: str | None,  # noqa: A002
) -> list[Problem]:
    if format is not None:
        _known("format", format, DATASETS, "a file")
    if not Path(path).is_file():
        raise _not_there(path)
    if split is not None:
        raise ValueError(
            f"split={split!r}: {path} is a file, and files have no splits. Leave `split` out, and "
            "give the file of the split that you want."
        )
    rows = read_rows(Path(path))
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: there are no problems in this file.")
    return _problems(chain([first], rows), DATASETS[format] if format else _recognised(*first))


def _recognised(place: str, row: Row) -> DataSet:
    """Return the data set in whose schema the row is written."""
    for dataset in DATASETS.values():
        if dataset.recognises(row):
            return dataset
    schemas = "; ".join(
        f"{data_set.name} ({', '.join(data_set.fields)})" for data_set in DATASETS.values()
    )
    if "question" in row:
        raise ValueError(
            f"{place}: there is a `question`, but no `id`, and results are joined by id. Give each "
            "row its own: a number will do. (A file of a known data set has other fields: "
            f"{', '.join(map(repr, row))} are those of none.)"
        )
    raise ValueError(
        f"{place}: the fields {', '.join(map(repr, row))} are those of no known schema. Known are: "
        f"{schemas}. Of cot_attn's, `id` and `question` are needed. Give `format` to force one."
    )


def _problems(rows: Iterable[tuple[str, Row]], dataset: DataSet) -> list[Problem]:
    """Turn rows into problems, whose errors say where they are."""
    problems: dict[str, Problem] = {}
    places: dict[str, str] = {}
    for place, row in rows:
        try:
            problem = dataset.problem(row)
        except ValueError as error:
            raise ValueError(f"{place}: {error} (read as {dataset.name!r})") from error
        if problem.id in problems:
            raise ValueError(
                f"{place}: the id {problem.id!r} is that of {places[problem.id]} already. "
                "Results are joined by id: give each problem its own, and each question once."
            )
        problems[problem.id] = problem
        places[problem.id] = place
    return list(problems.values())


def _of_difficulties(problems: list[Problem], difficulties: Collection[int]) -> list[Problem]:
    chosen = [problem for problem in problems if problem.difficulty in difficulties]
    if not chosen:
        there = sorted({p.difficulty for p in problems if p.difficulty is not None})
        raise ValueError(
            f"difficulties={sorted(difficulties)}: no problem has one of these; they have "
            f"{', '.join(map(str, there)) or 'no known difficulty'}."
        )
    return chosen


def _no_format(name: str, format: str | None) -> None:  # noqa: A002
    if format is not None:
        raise ValueError(
            f"format={format!r}: {name!r} has its own format. Leave `format` out; it is for files."
        )


def _known(what: str, given: str, accepted: Collection[str], of: str) -> str:
    """Return what was given if it is accepted."""
    if given not in accepted:
        raise ValueError(
            f"{what}={given!r} is not known for {of}.{did_you_mean(given, accepted)} "
            f"Accepted are {', '.join(map(repr, accepted))}."
        )
    return given


def _not_there(given: str | PathLike[str]) -> ValueError | FileNotFoundError:
    """Return the error for what is neither a name nor a file."""
    names = [TOY, *_downloadable()]
    message = (
        f"There is no data set and no file {str(given)!r}.{did_you_mean(str(given), names)} "
        f"Data sets are {', '.join(map(repr, names))}; files are JSON, JSONL or CSV."
    )
    looks_like_a_path = not isinstance(given, str) or Path(given).suffix or Path(given).parts[1:]
    return FileNotFoundError(message) if looks_like_a_path else ValueError(message)
