"""A name that was changed still works, and says what it is called now."""

import importlib
import warnings
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest

import cot_attn
from cot_attn import _former
from cot_attn._former import former_arguments, former_names
from cot_attn.models import Rollout

SOURCES = Path(cot_attn.__file__).parents[1]
PACKAGES = [
    ".".join(stub.relative_to(SOURCES).parent.parts)
    for stub in sorted(SOURCES.rglob("__init__.pyi"))
]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a package in which `old` became `new`; others went into a class and a module."""
    folder = tmp_path / "a_package"
    folder.mkdir()
    (folder / "things.py").write_text(
        "def new():\n    return 7\n\n"
        "class Thing:\n    @classmethod\n    def new(cls):\n        return 8\n"
    )
    (folder / "inner.py").write_text("def there():\n    return 9\n")
    (folder / "__init__.pyi").write_text(
        "import a_package.inner\n\n"
        "from . import inner as inner\nfrom .things import Thing as Thing\n"
        "from .things import new as new\n\n"
        "old = new\nolder = Thing.new\nmoved = a_package.inner.there\n\n"
        '__all__ = ["Thing", "inner", "new"]\n'
    )
    (folder / "__init__.py").write_text(
        "from cot_attn._former import attach_stub\n"
        "__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("a_package")


def test_a_former_name_is_the_present_one_and_says_so(package):
    with pytest.warns(DeprecationWarning, match=r"a_package\.old is now called a_package\.new"):
        assert package.old() == 7
    with pytest.warns(DeprecationWarning, match=r"older is now called a_package\.Thing\.new"):
        assert package.older() == 8
    with pytest.warns(DeprecationWarning, match=r"\.moved is now called a_package\.inner\.there"):
        assert package.moved() == 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert package.new() == 7
    assert package.__all__ == ["Thing", "inner", "new"]
    with pytest.raises(AttributeError):
        package.neither  # noqa: B018


def test_a_former_argument_is_the_present_one_and_says_so():
    @former_arguments(old="new")
    def double(new: int) -> int:
        return 2 * new

    with pytest.warns(DeprecationWarning, match=r"double\(old=\) is now called new="):
        assert double(old=3) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert double(new=3) == double(3) == 6
    with pytest.raises(TypeError, match="give new= alone"):
        double(old=3, new=3)


def test_the_warning_points_at_the_line_that_uses_the_former_name():
    # Loaded under another name, so that no shape check puts frames of its own between the two.
    unchecked = ModuleType("unchecked")
    exec(Path(_former.__file__).read_text(), unchecked.__dict__)

    @unchecked.former_arguments(old="new")
    def double(new):
        return 2 * new

    with pytest.warns(DeprecationWarning, match="new=") as told:
        double(old=3)
    assert {each.filename for each in told} == {__file__}


def test_an_argument_must_be_there_to_have_a_former_name():
    with pytest.raises(TypeError, match="takes no argument"):
        former_arguments(old="new")(lambda other: other)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_former_name_of_the_library_leads_somewhere(name):
    package = importlib.import_module(name)
    stub = Path(str(package.__file__)).with_suffix(".pyi").read_text()
    for former, present in former_names(stub).items():
        assert former not in package.__all__
        moved = present.startswith("cot_attn.")
        root, present = (cot_attn, present.partition(".")[2]) if moved else (package, present)
        with pytest.warns(DeprecationWarning, match=present):
            assert getattr(package, former) == attrgetter(present)(root)


def test_every_package_keeps_its_former_names():
    assert len(PACKAGES) > 8
    for name in PACKAGES:
        assert (
            "_former.attach_stub" in Path(str(importlib.import_module(name).__file__)).read_text()
        )


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("admit", "append_rows"),
        ("part", "view"),
        ("rejoin", "merge"),
        ("keep", "select"),
        ("recite", "force_answer"),
        ("answered", "truncated"),
    ],
)
def test_a_rollouts_former_methods_call_the_present_ones(
    former: str, present: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rollout, present, lambda self, *args, **kwargs: (args, kwargs))
    rollout = object.__new__(Rollout)
    with pytest.warns(DeprecationWarning, match=rf"Rollout\.{former} is now called .*\.{present};"):
        assert getattr(rollout, former)(1, width=2) == ((1,), {"width": 2})
