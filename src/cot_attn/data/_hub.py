"""Rows of data sets that `datasets` downloads."""

from collections.abc import Iterator

from cot_attn.data._rows import Row
from cot_attn.data.dataset import Hub


def download_rows(name: str, hub: Hub, split: str) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one split, each with its place.

    Raises
    ------
    ImportError
        If `datasets` is not installed.
    ConnectionError
        If the data cannot be reached and are not in the cache.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"{name!r} is downloaded with `datasets`, which is not installed. Get it with: pip "
            "install 'cot-attn[hub]', or give load_problems a file of these data."
        ) from error
    where = hub.files.get(split, hub.path)
    data_files = {split: where} if hub.files else None
    try:
        data = datasets.load_dataset(hub.path, hub.config, data_files=data_files, split=split)
    except OSError as error:  # ConnectionError and what datasets calls "not found" are such
        raise ConnectionError(
            f"{name!r} (split {split!r}) cannot be had from {where}: {error}. Without a network, "
            "give load_problems a file of these data."
        ) from error
    for number, row in enumerate(data):
        yield f"{where}, {split}, row {number}", row
