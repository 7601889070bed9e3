"""Put small faults into the library, one at a time, and see whether a test notices each.

`python benchmarks/mutants.py [ROOM ...] [--sample 40] [--seed 0] [--workers 2] [--budget 90]`

Of all faults that Cosmic Ray knows (another operator, comparison or number, a decorator or a loop
left out, ..) a sample is drawn in each room. Each is put into a copy of the sources, and the room's
tests, which `mutants.toml` names, run until one fails: those that run the fault's line, the fastest
first, for as long as `--budget` says. A fault that none notices has survived: the tests do not say
what should happen there, or the fault changes nothing.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import ndiff
from itertools import accumulate
from pathlib import Path
from queue import Queue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from coverage import CoverageData

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
PACKAGE = Path("cot_attn")
UNLIKELY = ("_LShift", "_RShift", "_BitAnd", "_BitOr", "_BitXor", "_Is", "_IsNot", "/NoOp")
"""Operators that nobody writes by mistake; with them, half of the faults would be such."""


@dataclass(frozen=True)
class Mutant:
    """One fault: which operator at which of its places in a file."""

    file: Path  # under the sources
    operator: str
    occurrence: int
    line: int

    def code(self) -> str:
        """Return the file's text with the fault in it."""
        text = (SOURCES / self.file).read_text()
        return mutate_code(text, get_operator(self.operator)(), self.occurrence) or text

    def __str__(self) -> str:
        before = (SOURCES / self.file).read_text().splitlines()
        changed = ndiff(before, self.code().splitlines())
        lines = [f"    {each}" for each in changed if each[:2] in ("- ", "+ ")]
        name = self.operator.split("/")[-1]
        return "\n".join([f"  {self.file}:{self.line} ({name})", *lines])


def main() -> None:
    settings = tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(settings)}")
    parser.add_argument("--sample", type=int, default=40, help="how many faults in each room")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--workers", type=int, default=2, help="how many at once")
    parser.add_argument("--budget", type=float, default=90, help="seconds of tests for each fault")
    options = parser.parse_args()
    if unknown := set(options.rooms) - set(settings):
        parser.error(f"no room is called {min(unknown)!r}; there are {', '.join(settings)}")
    score = {}
    for room in options.rooms or settings:
        tests = [str(p) for name in settings[room]["tests"] for p in sorted(ROOT.glob(name))]
        everything = [each for file in files_of(room) for each in mutants_of(file)]
        chosen = random.Random(options.seed).sample(
            everything, min(options.sample, len(everything))
        )
        print(f"{room}: {len(chosen)} of {len(everything)} faults", flush=True)
        survivors = survivors_of(chosen, tests, options.workers, options.budget)
        score[room] = (len(chosen) - len(survivors), len(chosen))
        print(*survivors, sep="\n", flush=True)
    for room, (killed, n) in score.items():
        print(f"{room:14} {killed} of {n} noticed ({killed / max(n, 1):.0%})")


def files_of(room: str) -> list[Path]:
    """Return a room's files, by their paths under the sources."""
    return sorted(p.relative_to(SOURCES) for p in (SOURCES / PACKAGE / room).rglob("*.py"))


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Yield every fault that can be put into a file, annotations left out."""
    text = (SOURCES / file).read_text()
    tree, annotated = get_ast(text), annotations(text)
    for name in operator_names():
        operator = get_operator(name)
        if name.endswith(UNLIKELY) or operator.arguments():
            continue
        places = (
            place for node in ast_nodes(tree) for place in operator().mutation_positions(node)
        )
        for occurrence, (start, _) in enumerate(places):
            if not any(first <= start <= last for first, last in annotated):
                yield Mutant(file, name, occurrence, start[0])


def annotations(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where annotations stand: a fault there breaks the import, which tells nothing."""
    nodes: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign | ast.arg):
            nodes.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            nodes.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in nodes
        if node is not None
    ]


def survivors_of(
    mutants: Sequence[Mutant], tests: Sequence[str], workers: int, budget: float
) -> list[Mutant]:
    """Return the faults that no test notices; each worker has sources of its own."""
    with tempfile.TemporaryDirectory() as folder:
        trace = traced(tests, Path(folder, "trace"))
        free: Queue[Path] = Queue()
        for worker in range(workers):
            copy = Path(folder, str(worker))
            shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
            free.put(copy)

        def survives(mutant: Mutant) -> bool:
            chosen = trace.tests_of(mutant, budget)
            sources = free.get()
            file = sources / mutant.file
            try:
                file.write_text(mutant.code())
                return not noticed(sources, chosen, 60 + 3 * budget)
            finally:
                shutil.copyfile(SOURCES / mutant.file, file)
                free.put(sources)

        with ThreadPoolExecutor(workers) as pool:
            outcomes = list(pool.map(survives, mutants))
    return [mutant for mutant, survived in zip(mutants, outcomes, strict=True) if survived]


@dataclass(frozen=True)
class Trace:
    """Which tests run which lines, and how long each takes."""

    lines: Mapping[Path, Mapping[int, Sequence[str]]]
    seconds: Mapping[str, float]

    def tests_of(self, mutant: Mutant, budget: float) -> list[str]:
        """Return the tests that run a fault's line, the fastest first, for so many seconds.

        What runs while a module is imported belongs to no test: any that runs the file may notice.
        """
        lines = self.lines.get(mutant.file, {})
        covering = set(lines.get(mutant.line, ())) - {""}
        covering = covering or {test for tests in lines.values() for test in tests} - {""}
        fastest = sorted(covering, key=lambda test: self.seconds.get(test, 0.0))
        spent = accumulate(self.seconds.get(test, 0.0) for test in fastest)
        return [test for test, so_far in zip(fastest, spent, strict=True) if so_far < budget]


def traced(tests: Sequence[str], folder: Path) -> Trace:
    """Run the tests without a fault, once, and see which lines each of them runs."""
    folder.mkdir()
    watcher = Path(__file__).with_name("mutants_trace.py").stem
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", watcher, *tests]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(SOURCES) | {"TRACE": str(folder)},
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        sys.exit(f"The tests fail without any fault. Mend that first.\n{run.stdout[-2000:]}")
    data = CoverageData(str(folder / "lines"))
    data.read()
    lines = {
        Path(file).relative_to(SOURCES): data.contexts_by_lineno(file)
        for file in data.measured_files()
    }
    return Trace(lines, json.loads((folder / "seconds.json").read_text()))


def noticed(sources: Path, tests: Sequence[str], timeout: float) -> bool:
    """Whether a test fails, or does not end in time, with these sources."""
    if not tests:
        return False
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *tests],
        cwd=ROOT,
        env=environment(sources),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return run.wait(timeout) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()


def environment(sources: Path) -> dict[str, str]:
    """Return what a run of the tests is told: these sources, one thread, nothing written."""
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "CI": "1", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join((str(sources), str(ROOT / "benchmarks")))
    return {**os.environ, **quiet, "PYTHONPATH": path}


if __name__ == "__main__":
    main()
