"""Random choices that depend on labels alone, never on batch or order."""

import hashlib

import torch


def number(*labels: object) -> int:
    """Return a number below 2**63 that depends on the labels alone.

    Examples
    --------
    >>> number(0, "problem 1") == number(0, "problem 1") != number(1, "problem 1")
    True
    """
    digest = hashlib.sha256("\x1f".join(map(str, labels)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*labels: object) -> torch.Generator:
    """Return a CPU random generator whose stream depends on the labels alone."""
    return torch.Generator().manual_seed(number(*labels))
