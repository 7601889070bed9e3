"""Equal contents have equal digests, any other contents another, in every process."""

import functools
import itertools
import math
import os
import subprocess
import sys
from collections import OrderedDict, namedtuple
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cached_property, partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_attn.interventions import CCTA, GaussianNoise, Hook, Intervention, Replace, Scale, Zero
from cot_attn.interventions._engine.contents import digest

Pair = namedtuple("Pair", "a b")
Other = namedtuple("Other", "a b")


class Colour(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Holder:
    values: object
    name: str = "holder"


@dataclass
class Twin:
    values: object
    name: str = "holder"


@dataclass(slots=True)
class Slotted:
    values: object


def middle(array: np.ndarray, value: float = 9) -> np.ndarray:
    other = array.copy()
    other.reshape(-1)[other.size // 2] = value
    return other


LONG = np.zeros(5000)
SQUARE = torch.arange(16.0).reshape(4, 4)
DIFFERENT: list[object] = [
    None,
    ...,
    True,
    False,
    0,
    1,
    -1,
    2**70,
    10**5000,
    10**5000 + 1,
    0.0,
    -0.0,
    1.0,
    1.0 + 2**-52,
    float("nan"),
    float("inf"),
    0j,
    1j,
    "",
    "1",
    "None",
    "a",
    "\udcff",
    "e\u0301",
    "\xe9",
    b"",
    b"1",
    b"a",
    (),
    [],
    {},
    set(),
    frozenset(),
    (1,),
    [1],
    {1},
    {1: 1},
    {1: None},
    {"1": 1},
    ("ab", "c"),
    ("a", "bc"),
    ("abc",),
    (("a", "b"), "c"),
    ("a", ("b", "c")),
    [[], [1]],
    [[1], []],
    {"a": 1, "b": 2},
    {"a": 2, "b": 1},
    {("a", "b"): 1},
    {frozenset({1, 2}), frozenset({3})},
    {frozenset({1}), frozenset({2, 3})},
    range(3),
    range(0, 6, 2),
    Pair(1, 2),
    Other(1, 2),
    (1, 2),
    Colour.RED,
    Colour.BLUE,
    Level.LOW,
    Level.HIGH,
    PurePosixPath("a/b"),
    PurePosixPath("a/c"),
    PureWindowsPath("a/b"),
    "a/b",
    torch.float32,
    torch.float64,
    "torch.float32",
    torch.device("cpu"),
    torch.device("cuda:1"),
    np.float64(1),
    np.float32(1),
    np.int64(1),
    np.bool_(True),
    np.str_("a"),
    np.datetime64("2026-01-01"),
    np.array(1.0),
    np.array([]),
    np.zeros((0, 3)),
    np.zeros((3, 0)),
    np.zeros(4),
    -np.zeros(4),
    np.zeros(4, dtype=np.float32),
    np.zeros(4, dtype=">f8"),
    np.zeros(8, dtype=np.float32),
    np.zeros((2, 2)),
    np.zeros(4, dtype=np.int64),
    np.arange(4.0),
    np.arange(4.0)[::-1],
    np.arange(4.0).reshape(2, 2),
    np.arange(4.0).reshape(2, 2).T,
    np.full(4, np.nan),
    LONG,
    middle(LONG),
    middle(LONG, math.nan),
    middle(LONG, 5e-324),
    LONG.reshape(50, 100),
    np.array(["ab", "c"]),
    np.array(["a", "bc"]),
    np.array(["ab", "c"], dtype=object),
    np.array(["a", "bc"], dtype=object),
    np.array(["ab", "c"], dtype=np.dtypes.StringDType()),
    np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
    np.array([1, "1"], dtype=object),
    np.zeros(2, dtype=[("a", "f4"), ("b", "f4")]),
    np.zeros(2, dtype=[("a", "f4"), ("c", "f4")]),
    SQUARE,
    SQUARE.T,
    SQUARE.reshape(-1),
    SQUARE.double(),
    SQUARE.bfloat16(),
    SQUARE.half(),
    SQUARE.int(),
    SQUARE.to(torch.complex64),
    SQUARE.to(torch.complex64) * 1j,
    torch.zeros(()),
    torch.zeros(1),
    torch.zeros(0),
    torch.zeros(0, 2),
    torch.zeros(5000),
    torch.from_numpy(middle(LONG).astype(np.float32)),
    torch.nn.Parameter(torch.zeros(1)),
    Holder(1),
    Holder(2),
    Holder(1, "other"),
    Twin(1),
    Slotted(1),
    Slotted(2),
    Holder(LONG),
    Holder(middle(LONG)),
    Holder({"a": [LONG, {"b": (middle(LONG),)}]}),
    Holder({"a": [middle(LONG), {"b": (LONG,)}]}),
    Holder(Holder(1)),
    {"values": 1, "name": "holder"},
    *CCTA,
    GaussianNoise(1.0, relative=True),
    Scale(1.0),
    Replace(torch.zeros(3)),
    Replace(torch.zeros(3), "zeros"),
    Intervention(0, Zero()),
    Intervention(1, Zero()),
    Intervention(0, Zero(), downstream="frozen"),
    Intervention(0, Zero(), Hook("blocks.0.attn.hook_z")),
    Intervention(0, Zero(), Hook("blocks.0.attn.hook_z", heads=[0])),
]


def test_different_contents_have_different_digests() -> None:
    seen: dict[str, object] = {}
    for value in DIFFERENT:
        name = digest(value)
        assert name not in seen, (value, seen.get(name))
        seen[name] = value


def test_a_copy_has_the_same_digest() -> None:
    for value in DIFFERENT:
        assert digest(deepcopy(value)) == digest(value), value


def test_layout_in_memory_is_no_content() -> None:
    assert digest(np.asfortranarray(np.arange(6).reshape(2, 3))) == digest(
        np.arange(6).reshape(2, 3)
    )
    assert digest(np.arange(10)[::2]) == digest(np.array([0, 2, 4, 6, 8]))
    assert digest(SQUARE.T) == digest(SQUARE.T.contiguous())
    assert digest(torch.zeros(1).expand(5)) == digest(torch.zeros(5))
    assert digest(SQUARE.clone().requires_grad_()) == digest(SQUARE)
    assert digest(torch.tensor([1j]).conj()) == digest(torch.tensor([complex(0, -1)]))


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.binary(max_size=4)
)
KEYS = st.integers(0, 9) | st.text(max_size=2)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.frozensets(ATOMS, max_size=3)
        | st.lists(st.floats(width=32), max_size=4).map(np.array)
        | inner.map(Holder)
    ),
    max_leaves=8,
)


def spelt(value: object) -> object:
    """Say in another way what a value is: types and exact numbers, dicts and sets unordered."""
    match value:
        case float():
            return "float", value.hex()
        case list() | tuple():
            return type(value).__name__, tuple(map(spelt, value))
        case dict():
            return "dict", frozenset((spelt(key), spelt(each)) for key, each in value.items())
        case frozenset():
            return "frozenset", frozenset(map(spelt, value))
        case np.ndarray():
            return "array", value.shape, tuple(struct_of(value))
        case Holder():
            return "Holder", spelt(value.values)
    return type(value).__name__, value


def struct_of(array: np.ndarray) -> list[int]:
    return np.ascontiguousarray(array, dtype=np.float64).view(np.int64).reshape(-1).tolist()


@pytest.mark.slow
@settings(max_examples=300)
@given(VALUES, VALUES)
def test_digests_are_equal_where_contents_are(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (spelt(one) == spelt(other))
    assert digest(deepcopy(one)) == digest(one)
    assert digest([one, other]) != digest([[one, other]])


@pytest.mark.slow
@given(st.dictionaries(KEYS, ATOMS, min_size=2))
def test_the_order_of_a_dict_and_of_a_set_is_no_content(values: dict[object, object]) -> None:
    assert digest(dict(reversed(values.items()))) == digest(values)
    backwards = list(values)[::-1]
    assert digest(set(backwards)) == digest(set(values))


@pytest.mark.slow
@given(st.lists(st.floats(width=32), min_size=1, max_size=3000), st.data())
def test_any_single_number_counts(numbers: list[float], data: st.DataObject) -> None:
    one = np.array(numbers)
    other = one.copy()
    place = data.draw(st.integers(0, len(numbers) - 1))
    other.view(np.uint8)[8 * place + data.draw(st.integers(0, 7))] ^= 1
    for wrapped in (Holder, torch.from_numpy, lambda array: {"a": [array]}):
        assert digest(wrapped(one)) != digest(wrapped(other))


@pytest.mark.slow
def test_a_digest_is_the_same_in_every_process() -> None:
    program = (
        "import torch; from dataclasses import dataclass; from enum import Enum\n"
        "from cot_attn.interventions._engine.contents import digest\n"
        "texts = {f'{i}': {*'abcdefgh'} for i in range(50)}\n"
        "class Namer:\n"
        "    def __call__(self, a, context, of=frozenset('abcdefgh')):\n"
        "        return a in {'ab', 'cd', 'ef', 'gh'} or of\n"
        "Namer, Colour = dataclass(Namer), Enum('Colour', 'RED BLUE')\n"
        "found = digest([texts, {*Colour}, {Colour.RED, 'a'}, torch.arange(3), Namer()])\n"
    )
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(program, space)
    elsewhere = subprocess.run(
        [sys.executable, "-c", f"{program}print(found)"],
        env={**os.environ, "PYTHONHASHSEED": "5"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert elsewhere.stdout.strip() == space["found"]


def refused() -> dict[str, object]:
    def named(value: object) -> object:
        return value

    class Plain:
        pass

    class Longer(list):  # type: ignore[type-arg]
        pass

    @dataclass
    class Listed(list):  # type: ignore[type-arg]
        name: str

    itself: list[object] = []
    itself.append(itself)
    return {
        "function": named,
        "lambda": lambda value: value,
        "partial": partial(named, 1),
        "bound method": SQUARE.sum,
        "own bound method": Holder(1).__repr__,
        "builtin": len,
        "wrapped": functools.lru_cache(named),
        "class": Holder,
        "object": object(),
        "plain object": Plain(),
        "module": math,
        "iterator": iter([1]),
        "generator": itertools.count(),
        "random numbers": np.random.default_rng(0),
        "torch random numbers": torch.Generator(),
        "nn.Module": torch.nn.Linear(2, 2),
        "masked array": np.ma.masked_array([1, 2], [True, False]),
        "sparse": torch.zeros(2, 2).to_sparse(),
        "no values": torch.zeros(2, device="meta"),
        "objects in fields": np.zeros(1, dtype=[("a", object)]),
        "subclass of list": Longer([1]),
        "dataclass that is a list": Listed("a"),
        "ordered dict": OrderedDict(a=1),
        "decimal": Decimal(1),
        "holds itself": itself,
        "file": sys.stdout,
    }


@pytest.mark.parametrize("kind", refused())
def test_what_has_no_contents_is_refused_with_a_sentence(kind: str) -> None:
    value = refused()[kind]
    for wrapped in (value, [value], {"a": value}, Holder(value), Holder({"a": (value,)})):
        with pytest.raises(ValueError, match=r"no dataclass|by its contents"):
            digest(wrapped)


def test_a_refusal_says_where() -> None:
    with pytest.raises(ValueError, match=r"At values\['a'\]\[1\], <lambda> is no dataclass"):
        digest(Holder({"a": [1, lambda: 2]}))


# Classes of one name -----------------------------------------------------------------------------


def times(factor: float) -> object:
    @dataclass(frozen=True)
    class Times:
        label: str = "times"

        def __call__(self, activation: torch.Tensor, context: object) -> torch.Tensor:
            return activation * factor

    return Times()


def from_source(source: str, **known: object) -> object:
    """Write a class as in a notebook, where names stay and code changes."""
    space: dict[str, Any] = {"dataclass": dataclass, "__name__": "notebook", **known}
    exec(source, space)
    return space["Mine"]()


MINE = """
def helped(a):
    return a + 1

@dataclass(frozen=True)
class Base:
    def more(self, a):
        return a

@dataclass(frozen=True)
class Mine(Base):
    label: str = "mine"
    shift = 0

    @property
    def half(self):
        return 0.5

    @staticmethod
    def fixed(a):
        return a

    def __call__(self, activation, context, power=2):
        return helped(self.more(activation)) ** power * FACTOR * self.half
"""
EDITS = {
    "the method": ("** power", "* power"),
    "a default": ("power=2", "power=3"),
    "a helper": ("a + 1", "a + 2"),
    "a property": ("0.5", "0.25"),
    "a static method": ("fixed(a):\n        return a", "fixed(a):\n        return -a"),
    "a base": ("more(self, a):\n        return a", "more(self, a):\n        return -a"),
    "a class attribute": ("shift = 0", "shift = 1"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_class_that_was_edited_is_another(edit: tuple[str, str]) -> None:
    assert edit[0] in MINE
    edited = from_source(MINE.replace(*edit), FACTOR=2.0)
    assert digest(edited) != digest(from_source(MINE, FACTOR=2.0))


def test_what_a_class_takes_from_around_it_counts() -> None:
    assert digest(times(2)) == digest(times(2))
    assert digest(times(2)) != digest(times(3))
    same = digest(from_source(MINE, FACTOR=2.0))
    assert digest(from_source("\n# moved down\n" + MINE, FACTOR=2.0)) == same
    assert digest(from_source(MINE, FACTOR=2.0, unused=1)) == same
    assert digest(from_source(MINE, FACTOR=3.0)) != same


def test_a_method_that_takes_what_has_no_contents_is_refused() -> None:
    with pytest.raises(ValueError, match="what Times does"):
        digest(times(torch.nn.Linear(1, 1)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Prepared:
    """A dataclass with more in it than fields."""

    needs_baseline: ClassVar[bool] = False
    seed: int
    drawn: tuple[float, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", PREPARED[0] + self.seed)

    @cached_property
    def doubled(self) -> int:
        return 2 * self.seed

    @torch.no_grad()
    def __call__(self, activation: torch.Tensor, context: object) -> torch.Tensor:
        return activation * self.doubled

    def recursive(self, n: int) -> int:
        return counted(n)


def counted(n: int) -> int:
    return 0 if n == 0 else 1 + counted(n - 1)


PREPARED = [1]


def test_what_an_instance_holds_beside_its_fields_counts_and_what_it_computes_does_not() -> None:
    one, other = Prepared(1), Prepared(1)
    same = digest(one)
    assert one.doubled == 2
    assert digest(one) == digest(other) == same
    object.__setattr__(other, "hidden", 5)
    assert digest(other) != same
