"""A pytest plugin: which lines of the library each test runs, and how long it takes.

It writes both into the folder that the environment calls TRACE.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

FOLDER = Path(os.environ["TRACE"])
LIBRARY = Path(__file__).parents[1] / "src" / "cot_attn"

watching = Coverage(data_file=str(FOLDER / "lines"), include=[f"{LIBRARY}/*"], messages=False)
seconds: dict[str, float] = {}
watching.start()  # before the library is imported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    watching.switch_context(item.nodeid)
    began = time.perf_counter()
    outcome = yield
    seconds[item.nodeid] = time.perf_counter() - began
    watching.switch_context("")
    return outcome


def pytest_sessionfinish() -> None:
    watching.stop()
    watching.save()
    (FOLDER / "seconds.json").write_text(json.dumps(seconds))
