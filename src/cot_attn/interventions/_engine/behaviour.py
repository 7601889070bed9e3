"""What a class does, as plain values: two classes of one name need not be the same.

A corruption that is written in a notebook is changed there and run again under its old name. What
tells it from the old one is the code of its methods, with the values and functions of the same
module that they take from around them. Other modules and classes are known by name.
"""

import contextlib
import dis
import sys
from collections.abc import Callable
from functools import cached_property
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

_BY_NAME = {"cot_attn", "torch", "numpy", "jaxtyping", *sys.stdlib_module_names} - {"__main__"}
"""Packages with a version, whose code need not be looked at."""
_SAID_BY_STATE = frozenset(
    {"__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"}
)


def qualified(kind: type | Callable[..., object]) -> str:
    """Return the name of a class or function with that of its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def behaviour(kind: type) -> list[tuple[str, dict[str, object]]]:
    """Return a class and its bases, each with its name, its methods' code and its attributes."""
    return [
        (qualified(base), {} if _named(base) else _members(base))
        for base in kind.__mro__
        if base is not object
    ]


def _named(kind: type | Callable[..., object]) -> bool:
    """Whether the name says enough."""
    return str(kind.__module__).partition(".")[0] in _BY_NAME


def _members(kind: type) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, member in vars(kind).items():
        inside = _inside(member)
        special = name.startswith("__") and name.endswith("__")
        if inside:
            if name not in _SAID_BY_STATE:
                members[name] = [_function(function, ()) for function in inside]
        elif not (special or name == "_abc_impl" or isinstance(member, _SLOTS)):
            members[name] = _around(member, kind.__module__, ())
    return members


_SLOTS = (GetSetDescriptorType, MemberDescriptorType)


def _inside(member: object) -> list[FunctionType]:
    """Return the functions that a member of a class is made of."""
    match member:
        case FunctionType():
            found: list[object] = [member]
        case staticmethod() | classmethod():
            found = [member.__func__]
        case property():
            found = [member.fget]
        case cached_property():
            found = [member.func]
        case _:
            found = []
    return [each for each in found if isinstance(each, FunctionType)]


def _function(function: FunctionType, within: tuple[FunctionType, ...]) -> object:
    """Return a function's code and the values that it takes from around it."""
    if function in within or _named(function):
        return qualified(function)
    within = (*within, function)
    module, scope = function.__module__, function.__globals__
    around = {name: scope[name] for name in _globals(function.__code__) if name in scope}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # nothing is in it yet
            around[name] = cell.cell_contents
    return [
        _code(function.__code__),
        _around(function.__defaults__, module, within),
        _around(function.__kwdefaults__, module, within),
        {name: _around(value, module, within) for name, value in around.items()},
    ]


def _around(value: object, module: str | None, within: tuple[FunctionType, ...]) -> object:
    """Return what stands for a value that a function takes from around it."""
    if isinstance(value, ModuleType):
        return ("module", value.__name__)
    if isinstance(value, type):
        return ("class", qualified(value))
    if isinstance(value, FunctionType):
        if value.__module__ != module:
            return ("function", qualified(value))
        return ("function", _function(value, within))
    if isinstance(value, MethodType) and _named(value.__func__):
        return ("method", qualified(value.__func__))
    return value


def _code(code: CodeType) -> list[object]:
    constants = [_code(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return [code.co_code, code.co_exceptiontable, constants, names, counts]


def _globals(code: CodeType) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    nested = [_globals(each) for each in code.co_consts if isinstance(each, CodeType)]
    return names.union(*nested)
