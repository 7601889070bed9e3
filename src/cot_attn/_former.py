"""Names that were changed: the former one works, and says the new one."""

import ast
import functools
import importlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import lazy_loader

P = ParamSpec("P")
R = TypeVar("R")


def attach_stub(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return a package's lazy `__getattr__`, `__dir__` and `__all__`, as its stub describes them.

    `former = present` in the stub keeps a name that was changed: asking for it gives what the
    present name gives, with a DeprecationWarning. The present name is one of the package's own,
    dots allowed (`load = Model.from_pretrained`), or, where it moved to another package, the full
    one behind an import of that package (`save = cot_attn.checkpoints.save`).
    """
    get, names, public = lazy_loader.attach_stub(package, file)
    renamed = former_names(Path(file).with_suffix(".pyi").read_text())

    def get_or_tell(name: str) -> Any:
        if name not in renamed:
            return get(name)
        first, *rest = renamed[name].split(".")
        moved = first == package.partition(".")[0]
        warn(f"{package}.{name}", renamed[name] if moved else f"{package}.{renamed[name]}")
        root = importlib.import_module(first) if moved else get(first)
        return functools.reduce(getattr, rest, root)

    return get_or_tell, names, public


def former_names(stub: str) -> dict[str, str]:
    """Return {former: present} of the assignments from one name to another in a stub."""
    return {
        target.id: ast.unparse(node.value)
        for node in ast.parse(stub).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def former_arguments(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments under their former names, `former="present"`, and say so."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if unknown := set(renamed.values()) - set(inspect.signature(function).parameters):
            raise TypeError(f"{function.__qualname__} takes no argument {sorted(unknown)}")

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for former in kwargs.keys() & renamed.keys():
                present = renamed[former]
                if present in kwargs:
                    raise TypeError(
                        f"{function.__name__} was given {former}= and {present}=: the first is "
                        f"the former name of the second; give {present}= alone"
                    )
                warn(f"{function.__name__}({former}=)", f"{present}=")
                kwargs[present] = kwargs.pop(former)
            return function(*args, **kwargs)

        return call

    return decorate


def former_method(owner: str, former: str, present: str) -> Callable[..., Any]:
    """Return a method that does what the one called `present` does, and says so."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        warn(f"{owner}.{former}", f"{owner}.{present}")
        return getattr(self, present)(*args, **kwargs)

    method.__name__ = former
    method.__doc__ = f"Call `{present}`, as this is called now."
    return method


def warn(former: str, present: str) -> None:
    """Warn that a name was changed, at the line that uses it: the caller's caller."""
    warnings.warn(
        f"{former} is now called {present}; the former name will go",
        DeprecationWarning,
        stacklevel=3,
    )
