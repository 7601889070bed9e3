"""The library's annotations are checked while tests run; here is what makes that affordable.

`--jaxtyping-packages` (pyproject.toml) decorates every function of the library, and one within a
function each time anew. What it puts round a function binds the arguments to their names in every
call and checks them twice, before and after. Here the type checker does it once, and the dimensions
have a context where some are annotated, so that those of one name agree.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

Decorator = Callable[[Any], Any]

_jaxtyped = jaxtyping.jaxtyped
_types_checked = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))


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


def jaxtyped(*, typechecker: Decorator) -> Decorator:
    """Check types, and dimensions where there are some."""

    def decorated(given: Any) -> Any:
        if isinstance(given, type) and hasattr(given.__init__, "__wrapped__"):
            return given  # its constructor is decorated otherwise, and was checked within that
        if not isinstance(given, FunctionType):
            return _jaxtyped(given, typechecker=typechecker)
        annotations = given.__annotations__.values()
        if not any(map(has_dimensions, annotations)):
            return _types_checked(given)
        if inspect.isgeneratorfunction(given) or any(isinstance(a, str) for a in annotations):
            return _jaxtyped(given, typechecker=typechecker)
        return in_a_context(_types_checked(given))

    return decorated


def make_affordable() -> None:
    """Put the above in the place of jaxtyping's own, for what is imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
