"""How the class of what a saved model holds is named in JSON, and found again.

A class of one's own is named, never imported: the folder of somebody else runs no code here.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

Base = TypeVar("Base")


class Kinds(Generic[Base]):
    """The classes of one sort: those of cot-attn by a name of their own, others by module and name.

    Parameters
    ----------
    what
        What they are, as an error says it.
    base
        The class that all of them have as a parent.
    named
        Those of cot-attn.
    """

    def __init__(self, what: str, base: type[Base], named: Mapping[str, type[Base]]) -> None:
        self.what, self.base, self.named = what, base, named

    def name_of(self, kind: type[Base]) -> str:
        """Return what a class is called in JSON."""
        names = {each: name for name, each in self.named.items()}
        return names.get(kind) or _path(kind)

    def find(self, name: str, settings: Mapping[str, object]) -> type[Base]:
        """Return the class of a name.

        Raises
        ------
        ValueError
            Where it is one of a module that is not imported; `settings` are told with it.
        """
        kind = self.named.get(name) or self._imported().get(name)
        if kind is None:
            module = name.rpartition(".")[0]
            raise ValueError(
                f"The model was saved with the {self.what} {name}({dict(settings)}), which is not "
                f"part of cot-attn. Import what defines it (module {module!r}) and load again."
            )
        return kind

    def _imported(self) -> dict[str, type[Base]]:
        found: dict[str, type[Base]] = {}
        left = self.base.__subclasses__()
        while left:
            kind = left.pop()
            found[_path(kind)] = kind
            left += kind.__subclasses__()
        return found


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
