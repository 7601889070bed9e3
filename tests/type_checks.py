"""The library's annotations are checked while tests run; here is what makes that affordable.

`--jaxtyping-packages` (pyproject.toml) decorates every function of the library, and one within a
function each time anew. jaxtyping would bind the arguments of each call, and check them before it
and, with what it gave, after it. Here the type checker alone does it all, once; where dimensions
are annotated, in a scope of their own, so that those of one name agree.

Two kinds are left to jaxtyping: annotations that are text, where it takes what it cannot read for
anything, and generators, which would be checked when they are first asked for something, in the
scope of whoever asks.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import isgeneratorfunction
from types import FunctionType
from typing import Any, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping._storage import pop_shape_memo, push_shape_memo

Decorator = Callable[[Any], Any]

_jaxtyped = jaxtyping.jaxtyped
_checked = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))


def has_dimensions(annotation: Any) -> bool:
    """Say whether dimensions are in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if get_origin(annotation) is Literal:
        return False
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    return any(map(has_dimensions, parts))


def jaxtyped(*, typechecker: Decorator) -> Decorator:
    """Check types, and dimensions where there are some, of a function or a data class."""

    def decorated(given: Any) -> Any:
        if isinstance(given, FunctionType):
            return function(given)
        constructor = given.__init__
        written = isinstance(constructor, FunctionType)  # by `dataclass`, or by hand
        if is_dataclass(given) and written and not hasattr(constructor, "__wrapped__"):
            given.__init__ = function(constructor)
        return given

    def function(given: FunctionType) -> Any:
        annotations = given.__annotations__.values()
        as_text = any(isinstance(each, str) for each in annotations)
        with_dimensions = any(map(has_dimensions, annotations))
        if as_text or (with_dimensions and isgeneratorfunction(given)):
            return _jaxtyped(given, typechecker=typechecker)
        checked = _checked(given)
        return _with_own_dimensions(checked) if with_dimensions else checked

    return decorated


def _with_own_dimensions(checked: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(checked)
    def call(*args: Any, **kwargs: Any) -> Any:
        push_shape_memo({})
        try:
            return checked(*args, **kwargs)
        finally:
            pop_shape_memo()

    return call


def make_affordable() -> None:
    """Put the above in the place of jaxtyping's own, for what is imported from now on."""
    jaxtyping.jaxtyped = jaxtyped
