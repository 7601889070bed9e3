"""What was read from where when a model was loaded."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cot_attn import _html
from cot_attn.checkpoints._weights import combined_digest

Setting = int | float | bool | str | None


@dataclass(frozen=True)
class LoadReport:
    """What was read from where when a model was loaded.

    Attributes
    ----------
    source
        The bundled name, the hub id, or the absolute path of the folder or file that was read.
    options
        What else was asked for: every argument of `load` that is not its default.
    family
        `codi`, `coconut`, or `cot_attn` for the library's own format.
    files
        The SHA-256 of every weight file that was read.
    revision
        The commit on the hub, where it came from there.
    base
        Where architecture and tokenizer were read.
    settings
        What the files do not say and was given or known, and what was read from the tensors'
        shapes.
    n_tensors
        How many tensors the model was made from.
    repeated
        Keys whose tensor repeats another's (tied embeddings), compared and left out.
    unused
        Keys that are known and that running the model does not need.
    notes
        What was done to the checkpoint that is not always done, such as prefixes taken off.
    verified
        What the format of this checkpoint was compared with.
    checks
        The names of the checks that the model passed after it was built.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel
    >>> report = ContinuousThoughtModel.from_pretrained("toy-gpt2", n_thoughts=4).load_report
    >>> report.family, report.n_tensors, report.checks[:2]
    ('cot_attn', 58, ('attention rows sum to 1', 'two runs agree'))
    >>> report.settings, report.options
    ({'n_thoughts': 6}, {'n_thoughts': 4})
    """

    source: str
    family: str
    files: dict[Path, str]
    revision: str | None = None
    base: str | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    n_tensors: int = 0
    repeated: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verified: str = ""
    checks: tuple[str, ...] = ()
    options: dict[str, Setting] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The weight file's SHA-256; of several files, the SHA-256 over theirs."""
        return combined_digest(self.files.values())

    def __str__(self) -> str:
        lines = [f"{name:<9} {value}" for name, value in self._rows().items()]
        files = [f"{'file':<9} {file} (SHA-256 {digest})" for file, digest in self.files.items()]
        return "\n".join([*lines[:1], *files, *lines[1:]])

    def _repr_html_(self) -> str:
        """Show in a notebook what was read from where, and which checks passed."""
        source, *others = self._rows().items()
        files = "; ".join(f"{file.name} (SHA-256 {sha[:12]}…)" for file, sha in self.files.items())
        rows = dict([source, ("files", files or "none"), *others])
        return str(_html.summary("Loaded") + _html.listing(rows))

    def _rows(self) -> dict[str, object]:
        """Return what is known, by name, without the files."""
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        rows = {
            "source": self.source + (f" at {self.revision}" if self.revision else ""),
            "family": self.family,
            "base": self.base,
            "settings": settings,
            "tensors": self.n_tensors,
            "repeated": _listed(self.repeated),
            "unused": _listed(self.unused),
            "notes": "; ".join(self.notes),
            "verified": self.verified,
            "checks": ", ".join(self.checks),
        }
        return {name: value for name, value in rows.items() if value}


def options_of(
    function: Callable[..., object], arguments: Mapping[str, object]
) -> dict[str, Setting]:
    """Return the keyword-only arguments that differ from a function's defaults, as plain values.

    A local base becomes an absolute path, so that it holds in another folder too.
    """
    parameters = inspect.signature(function).parameters.values()
    chosen = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    return {
        name: _absolute(arguments[name]) if name == "base" else _plain(arguments[name])
        for name, default in chosen.items()
        if arguments[name] != default
    }


def _absolute(base: object) -> str:
    path = Path(str(base)).expanduser()
    return str(path.absolute()) if path.exists() else str(base)


def _plain(value: object) -> Setting:
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value if isinstance(value, int | float) else str(value)


def _listed(keys: tuple[str, ...]) -> str:
    """Name the keys by their first parts: a decoder has hundreds."""
    if len(keys) <= 3:
        return ", ".join(keys)
    groups = sorted({key.partition(".")[0] + ".*" for key in keys})
    return f"{len(keys)} keys ({', '.join(groups)})"
