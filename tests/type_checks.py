"""The library's annotations are checked while tests run; here is what makes that affordable.

`--jaxtyping-packages` (pyproject.toml) decorates every function of the library, and one within a
function each time anew. What it puts round a function binds the arguments to their names in every
call and checks them twice, before and after. Here the type checker does it once, and the dimensions
have a context where some are annotated, so that those of one name agree. What checks a function
within a function is written once, and put round each of those that are made of the same code.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import CellType, CodeType, FunctionType
from typing import Any, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

Decorator = Callable[[Any], Any]

_jaxtyped = jaxtyping.jaxtyped
_beartyped = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_written: dict[CodeType, FunctionType] = {}


def has_dimensions(annotation: Any) -> bool:
    """Say whether dimensions are in an annotation, or may be: a text is not looked into."""
    if isinstance(annotation, str):
        return True
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if get_origin(annotation) is Literal:
        return False
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    return any(map(has_dimensions, parts))


def in_a_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let dimensions of one name agree within a call, and mean nothing beyond it."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with _jaxtyped("context"):
            return function(*args, **kwargs)

    return called


def types_checked(function: FunctionType) -> Callable[..., Any]:
    """Check what is given and returned, without dimensions of one name."""
    code = function.__code__
    if "<locals>" not in function.__qualname__:
        return _beartyped(function)
    if code not in _written or _written[code].__annotations__ != function.__annotations__:
        cells = tuple(CellType() for _ in code.co_freevars)  # holds nothing that is found there
        alike = FunctionType(code, function.__globals__, closure=cells or None)
        for name in ("__module__", "__qualname__", "__annotations__", "__kwdefaults__"):
            setattr(alike, name, getattr(function, name))
        _written[code] = _beartyped(alike)
    checks = _written[code]
    known = checks.__kwdefaults__ or {}
    if "__beartype_func" not in known:  # nothing is annotated
        return function
    checked = FunctionType(checks.__code__, checks.__globals__)
    checked.__kwdefaults__ = {**known, "__beartype_func": function}
    return wraps(function)(checked)


def jaxtyped(*, typechecker: Decorator) -> Decorator:
    """Check types, and dimensions where there are some."""

    def decorated(given: Any) -> Any:
        if isinstance(given, type) and hasattr(given.__init__, "__wrapped__"):
            return given  # its constructor is decorated otherwise, and was checked within that
        if not isinstance(given, FunctionType):
            return _jaxtyped(given, typechecker=typechecker)
        its_class = given.__qualname__.rpartition(".")[0]  # by name, as of what a method returns
        annotations = [each for each in given.__annotations__.values() if each != its_class]
        if not any(map(has_dimensions, annotations)):
            return types_checked(given)
        if inspect.isgeneratorfunction(given) or any(isinstance(a, str) for a in annotations):
            return _jaxtyped(given, typechecker=typechecker)
        return in_a_context(types_checked(given))

    return decorated


def make_affordable() -> None:
    """Put the above in the place of jaxtyping's own, for what is imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
