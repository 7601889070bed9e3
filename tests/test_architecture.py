"""The house is as it is drawn: rooms in order, no import that goes up, no circle, nothing lost."""

import ast
import os
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_ERROR, EXIT_STATUS_SUCCESS, lint_imports
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import cot_attn
from cot_attn import Intervention, run_variants
from cot_attn.interventions import Zero
from cot_attn.toy import handmade_model, handmade_problems

ROOT = Path(__file__).parent.parent
PACKAGE = Path(cot_attn.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWING = ROOT / "docs" / "images" / "architecture.svg"
LAZY = {"cli.py", "study/results.py"}
"""Where it stays: the command line starts fast, and a study is handed up to its report."""

CLOSED = {
    *("data", "checkpoints", "models", "recording"),
    *("interventions", "readouts", "experiments", "toy"),
}
"""Rooms whose private modules no other room imports."""


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what import-linter puts on the path go with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("cot_attn", exclude_type_checking_imports=True, cache_dir=None)


def floors() -> list[set[str]]:
    """The rooms of each floor in the contract, top to bottom, without the private modules."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = configured["tool"]["importlinter"]["contracts"][0]
    rooms = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    assert all(room.startswith("_") for room in rooms[-1])
    return rooms[:-1]


@pytest.mark.slow
def test_the_contract_is_kept() -> None:
    contract = str(ROOT / "pyproject.toml")
    assert lint_imports(contract, no_cache=True, no_logo=True) == EXIT_STATUS_SUCCESS


def test_an_import_that_goes_up_would_be_noticed(tmp_path: Path) -> None:
    upside_down = tmp_path / "pyproject.toml"
    upside_down.write_text(
        '[tool.importlinter]\nroot_package = "cot_attn"\n'
        '[[tool.importlinter.contracts]]\nname = "upside down"\ntype = "layers"\n'
        'containers = ["cot_attn"]\nlayers = ["models", "recording"]\n'
    )
    broken = lint_imports(str(upside_down), no_cache=True, no_logo=True)
    assert broken == EXIT_STATUS_ERROR


def test_no_room_reaches_into_what_another_keeps_to_itself(graph: grimp.ImportGraph) -> None:
    def room(module: str) -> str:
        return module.split(".")[1]

    reached = {
        f"{importer} <- {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.count(".") > 1
        and room(importer) != room(imported) in CLOSED
        and any(part.startswith("_") for part in imported.split(".")[2:])
    }
    assert not reached


def test_the_drawing_has_the_floors_of_the_contract() -> None:
    name = "{http://www.w3.org/2000/svg}"
    drawn = [
        {text.text for text in floor.iter(f"{name}text") if text.get("class") == "room"}
        for floor in ElementTree.parse(DRAWING).getroot().iter(f"{name}g")
        if floor.get("class") == "floor"
    ]
    assert drawn == floors()


def test_every_room_is_drawn() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set().union(*floors())


def test_the_page_finds_things_where_they_are() -> None:
    places = re.findall(r"^\| .+ \| `(.+\.py)` \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert len(places) >= 10
    for file, name in places:
        tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
        defined = {getattr(node, "name", None) for node in ast.walk(tree)}
        defined |= {t.id for t in ast.walk(tree) if isinstance(t, ast.Name)}
        assert name in defined, f"{file} has no {name}"


@pytest.mark.slow
def test_an_intervention_takes_the_steps_that_the_page_says() -> None:
    """What is called while one runs has the rows of the page in it, in their order."""
    section = PAGE.split("## One intervention")[1].split("\n## ")[0]
    steps = re.findall(r"^\| .+ \| `(.+\.py)` \| `(\w+)` \|$", section, re.MULTILINE)
    assert len(steps) > 5
    model, changes = handmade_model(), [Intervention(2, Zero())]
    called: list[tuple[str, str]] = []
    package = f"{PACKAGE}{os.sep}"

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(package):  # a Path would take most of the time
            place = file.removeprefix(package).replace(os.sep, "/")
            called.append((place, frame.f_code.co_name))

    sys.setprofile(note)
    try:
        run_variants(model, handmade_problems(4), changes, ["answer"])  # once: no noise floor
    finally:
        sys.setprofile(None)
    calls = iter(called)
    for step in steps:
        assert step in calls, f"{step} is not called, or earlier"


def circles(graph: grimp.ImportGraph) -> set[str]:
    """The modules from which a chain of imports leads back to them."""
    modules = sorted(graph.modules)
    imports = [
        [other in graph.find_modules_directly_imported_by(module) for other in modules]
        for module in modules
    ]
    _, group = connected_components(csr_array(imports), connection="strong")
    members = Counter(group)
    return {module for module, of in zip(modules, group, strict=True) if members[of] > 1}


def test_file_by_file_there_is_no_circle(graph: grimp.ImportGraph) -> None:
    assert circles(graph) == set()


def test_a_circle_would_be_noticed(graph: grimp.ImportGraph) -> None:
    one, other = "cot_attn.stats.importance", "cot_attn._writing"
    graph.add_import(importer=one, imported=other)
    graph.add_import(importer=other, imported=one)
    try:
        assert {one, other} <= circles(graph)
    finally:
        graph.remove_import(importer=one, imported=other)
        graph.remove_import(importer=other, imported=one)


def imports_inside(file: Path) -> bool:
    """Whether a function of a file imports anything of our own."""
    functions = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cot_attn")
        for function in functions
        for node in ast.walk(function)
    )


@pytest.mark.slow
def test_what_a_file_needs_stands_at_its_top() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if imports_inside(file)
    }
    assert found == LAZY
