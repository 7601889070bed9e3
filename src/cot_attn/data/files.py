"""Rows of JSON, JSONL and CSV files, each with the line on which it begins."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from cot_attn.data.rows import Row

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
GZIP = b"\x1f\x8b"
BETWEEN_ROWS = re.compile(r"[\s,]*")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the file's rows, each with its place as "file:line".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file's kind is unknown, or it cannot be read as what its name says.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: problems are read from {', '.join(SUFFIXES)}, each also as .gz, and not from "
            f"{suffix or 'a name without a suffix'!r}."
        )
    text = _text(path)
    if suffix == ".csv":
        numbered = _csv(path, text)
    elif text.lstrip().startswith("["):
        numbered = _json_array(path, text)
    else:  # whatever it is called: many a .json file has an object a line
        numbered = _json_lines(path, text)
    for line, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{line}: a row is {row!r}; an object with fields is needed.")
        yield f"{path}:{line}", row


def _text(path: Path) -> str:
    """Return the file's text, unpacked if it is packed."""
    data = path.read_bytes()
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: this gzip file is damaged ({error}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: the file is not UTF-8 ({error.reason}).") from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value for a field")


def _parse(text: str, place: Path | str, first_line: int) -> Any:
    """Parse JSON, or say on which line it stops being that."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ValueError(f"{place}:{line}: this is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}:{first_line}: this cannot be read as JSON: {error}.") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _parse(line, path, number)


def _json_array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    n_rows = len(_parse(text, path, 1))
    # It is JSON. Parsed once more, row by row, it shows where each row begins.
    decoder = json.JSONDecoder()
    line, position = 1, 0
    end = text.index("[") + 1
    for _ in range(n_rows):
        between = BETWEEN_ROWS.match(text, end)
        start = between.end() if between else end
        line += text.count("\n", position, start)
        position = start
        row, end = decoder.raw_decode(text, start)
        yield line, row


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ValueError(f"{path}:1: two columns have the same name: {', '.join(header)}.")
        line = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise ValueError(
                    f"{path}:{line}: the row has {len(cells)} cells and the header {len(header)}."
                )
            if cells:
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: this is not CSV: {error}.") from error
