"""The library's annotations are checked while tests run; here is what makes that affordable.

`--jaxtyping-packages` (pyproject.toml) decorates every function of the library, and one within a
function each time anew, so that dimensions of one name agree. Where no dimension is annotated, the
type checker alone refuses the same in a fraction of the time.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

Decorator = Callable[[Any], Any]

_jaxtyped = jaxtyping.jaxtyped
_without_dimensions = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))


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
        annotations = given.__annotations__.values() if isinstance(given, FunctionType) else [""]
        if any(map(has_dimensions, annotations)):
            return _jaxtyped(given, typechecker=typechecker)
        return _without_dimensions(given)

    return decorated


def make_affordable() -> None:
    """Put the above in the place of jaxtyping's own, for what is imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
