"""The script and the style of the browser, each as one text, and what a page allows to run.

The script is a handful of modules beside the template. Inlined, they are one: what a module
imports from another stands above it, and `import` and `export` go.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

FOLDER = files("cot_attn.report") / "templates" / "browser"
FIRST = "main.js"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def script() -> str:
    """Return all modules of the browser as one, in the order in which they need one another."""
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        source = (FOLDER / name).read_text("utf-8")
        for needed in IMPORT.findall(source):
            add(needed)
        ordered[name] = EXPORT.sub("", IMPORT.sub("", source)).strip()

    add(FIRST)
    return "\n" + "\n\n".join(ordered.values()) + "\n"


@cache
def style() -> str:
    """Return the style sheet of the browser."""
    return (FOLDER / "browser.css").read_text("utf-8")


def policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the Content-Security-Policy under which nothing runs, or is loaded, but what is given.

    Examples
    --------
    >>> policy(["1"], [""])[:64]
    "default-src 'none'; script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etp"
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(scripts)}",
            f"style-src {_hashes(styles)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashes(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
