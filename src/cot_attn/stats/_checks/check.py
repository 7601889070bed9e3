"""What a check finds: pass, warn or fail, and a sentence."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name
        What was looked at, in a few words.
    status
        "fail" where the numbers cannot mean what they seem to; "warn" where they may not.
    message
        What was found, and where it is wrong, what to do.

    Examples
    --------
    >>> print(Check("Rows sum to 1", "fail", "They sum to 0.9."))
    fail: Rows sum to 1. They sum to 0.9.
    """

    name: str
    status: Status
    message: str

    def __str__(self) -> str:
        return f"{self.status}: {self.name}. {self.message}"
