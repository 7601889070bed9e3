"""What people read in the terminal: nothing that is written depends on whether it can be shown."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text


class Screen:
    """A stream to print on, which may be closed, full, or unable to show a letter.

    Colours follow the terminal and `NO_COLOR`.

    Parameters
    ----------
    errors
        Whether it is standard error, in red.
    """

    def __init__(self, *, errors: bool = False) -> None:
        stream = sys.stderr if errors else sys.stdout
        show_what_can_be_shown(stream)
        self._stream, self._style = stream, "red" if errors else ""
        self._console: Console | None = Console(file=stream, stderr=errors)

    def show(self, shown: RenderableType) -> None:
        """Print a table."""
        self._print(shown)

    def say(self, sentence: str) -> None:
        """Print a line as it is: brackets are brackets, and nothing is wrapped."""
        self._print(Text(sentence, style=self._style), soft_wrap=True)

    def quoted(self, path: str) -> str:
        """Return a text as Python writes it, in letters that this stream can show."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            repr(path).encode(encoding)
        except UnicodeEncodeError:
            return ascii(path)
        return repr(path)

    def _print(self, shown: RenderableType, soft_wrap: bool = False) -> None:
        if self._console is None:
            return
        try:
            self._console.print(shown, soft_wrap=soft_wrap, highlight=False)
        # A closed pipe, or a full disk behind a redirection; rich ends the process at the former.
        except (OSError, ValueError, SystemExit):
            self._console = None
            _forget(self._stream)


def show_what_can_be_shown(stream: Any) -> None:
    """Let a stream print a question mark for a letter that it does not know."""
    with suppress(AttributeError, ValueError, OSError):
        stream.reconfigure(errors="replace")


def _forget(stream: Any) -> None:
    """Let what is still to be printed go nowhere, or Python would fail on it at its end."""
    with suppress(AttributeError, ValueError, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """End with a sentence where the input was at fault, and with a traceback where we were."""
    try:
        yield
    except (ValueError, KeyError, OSError, ImportError) as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("cot_attn"):
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        Screen(errors=True).say(f"cot-attn: {message}")
        sys.exit(2)
