"""The library's annotations are checked while tests run; here is what makes that affordable.

`--jaxtyping-packages` (pyproject.toml) decorates every function of the library, and one within a
function each time anew, so that dimensions of one name agree. Where no dimension is annotated, the
type checker alone refuses the same in a fraction of the time. Where one is, a test checks the first
calls of each function, and not the thousands that a loop makes after them.
"""

import functools
from collections import Counter
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

Decorator = Callable[[Any], Any]
FIRST_CALLS = 30

_jaxtyped = jaxtyping.jaxtyped
_without_dimensions = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_calls: Counter[str] = Counter()


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


def jaxtyped(*, typechecker: Decorator) -> Decorator:
    """Check types, and dimensions where there are some."""

    def decorated(given: Any) -> Any:
        if isinstance(given, type) and hasattr(given.__init__, "__wrapped__"):
            return given  # its constructor is decorated otherwise, and was checked within that
        if not isinstance(given, FunctionType):
            return _jaxtyped(given, typechecker=typechecker)
        if any(map(has_dimensions, given.__annotations__.values())):
            return _at_first(given, _jaxtyped(given, typechecker=typechecker))
        return _without_dimensions(given)

    return decorated


def _at_first(given: FunctionType, checked: Callable[..., Any]) -> Callable[..., Any]:
    name = f"{given.__module__}.{given.__qualname__}"

    @functools.wraps(checked)
    def called(*args: Any, **kwargs: Any) -> Any:
        _calls[name] += 1
        return (checked if _calls[name] <= FIRST_CALLS else given)(*args, **kwargs)

    return called


def begin_test() -> None:
    """Check first calls again."""
    _calls.clear()


def make_affordable() -> None:
    """Put the above in the place of jaxtyping's own, for what is imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
