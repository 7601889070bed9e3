"""How many files and functions of the library one intervention crosses.

`python -m benchmarks.crossing` runs one intervention on a bundled model that is loaded already, and
counts what of `cot_attn` is entered: a file counts once, and so does a function, whoever calls it.
Comprehensions and lambdas count as part of what they stand in.
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import cot_attn
from cot_attn import ContinuousThoughtModel, Intervention, load_problems, run_variants
from cot_attn.interventions import Zero

SOURCE = Path(cot_attn.__file__).parent


def crossed(work: Callable[[], Any]) -> dict[str, set[str]]:
    """Return the functions that a piece of work enters, by the file that they stand in."""
    entered: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            entered.add(frame.f_code)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    functions: dict[str, set[str]] = defaultdict(set)
    for code in entered:
        file = Path(code.co_filename)
        if file.is_relative_to(SOURCE) and not code.co_name.startswith("<"):
            functions[str(file.relative_to(SOURCE))].add(code.co_qualname)
    return dict(functions)


def main() -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    problems = load_problems("toy", n=2)
    functions = crossed(lambda: run_variants(model, problems, [Intervention(1, Zero())]))
    rooms: dict[str, list[int]] = defaultdict(list)
    for file, names in sorted(functions.items()):
        print(f"{len(names):4d}  {file}")
        rooms[file.rpartition("/")[0] or "."].append(len(names))
    for room, counts in sorted(rooms.items()):
        print(f"{room}: {len(counts)} files, {sum(counts)} functions")
    print(f"in all: {len(functions)} files, {sum(map(len, functions.values()))} functions")


if __name__ == "__main__":
    main()
