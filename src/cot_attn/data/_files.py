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

from cot_attn.data._rows import Row

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
GZIP = b"\x1f\x8b"
BETWEEN_ROWS = re.compile(r"[\s,]*")
LINE_END = re.compile(r"\r\n|\r|\n")
WIDE = {  # the marks of UTF-32 begin with those of UTF-16
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
FOREIGN = {
    b"PK\x03\x04": "a zip file or an Excel sheet",
    b"PAR1": "a parquet file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstandard file",
    b"version https://git-lfs": "a pointer of git LFS, which `git lfs pull` replaces",
}


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
    for start, what in FOREIGN.items():
        if data.startswith(start):
            raise ValueError(f"{path}: this is {what}, and not a text file.")
    wide = _wide_encoding(data)
    if wide:
        raise ValueError(
            f"{path}: the file is {wide}, as Excel's \"Unicode text\" and PowerShell's > write it, "
            f'and not UTF-8. Save it as UTF-8 (in Excel: "CSV UTF-8"), or run: iconv -f {wide} '
            f"-t UTF-8 {path.name} > {path.stem}-utf8{path.suffix}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line(data[: error.start].decode("latin-1"))
        raise ValueError(
            f"{path}:{line}: the file is not UTF-8 ({error.reason}). If it "
            "comes from Windows it may be Windows-1252: save it as UTF-8, or run: iconv -f "
            f"WINDOWS-1252 -t UTF-8 {path.name}"
        ) from error
    if "\0" in text:
        line = _line(text[: text.index("\0")])
        raise ValueError(f"{path}:{line}: the file holds a NUL byte: it is damaged, or no text.")
    return text


def _wide_encoding(data: bytes) -> str | None:
    """Name the encoding of two or four bytes a character that the file seems to have."""
    for bom, name in WIDE.items():
        if data.startswith(bom):
            return name
    # Without a mark: the first character of JSON or of a header is ASCII, a NUL byte beside it.
    zeros = tuple(byte == 0 for byte in data[:4])
    return ZEROS.get(zeros)


def _line(before: str) -> int:
    """Return the number of the line that comes after this text."""
    return len(LINE_END.findall(before)) + 1


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value for a field")


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; Python's own reader keeps the last of two fields of one name."""
    named = dict(fields)
    if len(named) < len(fields):
        names = [name for name, _ in fields]
        twice = next(name for name in named if names.count(name) > 1)
        raise ValueError(f"an object has two fields {twice!r}")
    return named


def _parse(text: str, place: Path | str, first_line: int) -> Any:
    """Parse JSON, or say on which line it stops being that."""
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ValueError(f"{place}:{line}: this is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}:{first_line}: this cannot be read as JSON: {error}.") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(LINE_END.split(text), start=1):
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
        line += len(LINE_END.findall(text, position, start))
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
