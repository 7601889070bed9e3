"""Problems as a file that can be shared."""

import gzip
import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from cot_attn._writing import saying_what_failed, taking_the_place_of
from cot_attn.data.problem import Problem, check_problems
from cot_attn.data.sets.own import row_of


def save_problems(problems: Iterable[Problem], path: str | PathLike[str]) -> None:
    """Save problems as JSONL in the library's own schema, which `load_problems` reads.

    The file is complete or not there: an interrupted save leaves an earlier file as it was.

    Parameters
    ----------
    problems
        At least one, with different ids.
    path
        A name that ends in .jsonl or .jsonl.gz.

    Examples
    --------
    >>> import tempfile
    >>> from cot_attn.data import load_problems
    >>> problems = [Problem("eggs", "What is 16 - 3 - 4?", answer="9", difficulty=2)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_problems(problems, f"{folder}/sample.jsonl")
    ...     load_problems(f"{folder}/sample.jsonl") == problems
    True
    """
    path = Path(path)
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise ValueError(f"{path}: problems are saved as .jsonl or .jsonl.gz.")
    rows = (json.dumps(row_of(problem), ensure_ascii=False) for problem in check_problems(problems))
    data = "".join(f"{row}\n" for row in rows).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)  # the same problems are the same bytes
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}. Make it first.")
    with saying_what_failed(path, len(data)), taking_the_place_of(path) as new:
        new.write_bytes(data)
