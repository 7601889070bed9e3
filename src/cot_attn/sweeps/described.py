"""Corruptions and sites as plain values that a file can hold, and back.

A name stands for what needs no numbers (`"Zero"`, `"input"`), a table for what has some:
`{kind = "GaussianNoise", sigma = 0.5}`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from cot_attn import interventions
from cot_attn.interventions import (
    Attention,
    Corruption,
    GaussianNoise,
    Hook,
    KeysValues,
    KnockOut,
    Mean,
    Resample,
    Scale,
    Shuffle,
    Site,
    Unchanged,
    Zero,
)

Described = str | dict[str, Any]
CORRUPTIONS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Zero, GaussianNoise, Mean, Resample, Shuffle, Scale, KnockOut, Unchanged)
}
SITES: dict[str, type[Any]] = {kind.__name__: kind for kind in (Hook, KeysValues, Attention)}
SETS = ("ccta", "zero")


def described(thing: Corruption | Site) -> Described:
    """Return a corruption or a site as plain values.

    Raises
    ------
    ValueError
        Where it is none of the library's that plain values describe.

    Examples
    --------
    >>> described(Zero()), described(GaussianNoise(0.5))
    ('Zero', {'kind': 'GaussianNoise', 'sigma': 0.5})
    >>> described(Hook("input")), described(KeysValues(layers=[0]))
    ('input', {'kind': 'KeysValues', 'layers': [0]})
    """
    if isinstance(thing, Site) and site_of(thing.label) == thing:
        return thing.label
    kind = type(thing).__name__
    if {**CORRUPTIONS, **SITES}.get(kind) is not type(thing):
        raise ValueError(
            f"{thing!r} cannot be written into a plan, as another process could not make it again. "
            f"Accepted are {', '.join({**CORRUPTIONS, **SITES})}."
        )
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(thing):  # type: ignore[arg-type]
        value = getattr(thing, field.name)
        if field.init and value is not None and value != field.default:
            fields[field.name] = list(value) if isinstance(value, tuple) else value
    return {"kind": kind, **fields} if fields else kind


def corruptions_of(described: str | Sequence[Described | Corruption]) -> tuple[Corruption, ...]:
    """Return corruptions from a set's name (`ccta`, `zero`) or from a list of descriptions.

    Examples
    --------
    >>> [each.label for each in corruptions_of(["zero", {"kind": "Scale", "factor": 2.0}])]
    ['zero', 'scale(2)']
    """
    if isinstance(described, str):
        if described not in SETS:
            raise ValueError(
                f"corruptions is {described!r}; accepted: {', '.join(SETS)}, "
                "or a list of corruptions."
            )
        return tuple(interventions.CCTA) if described == "ccta" else (Zero(),)
    return tuple(
        _made(each, CORRUPTIONS, "corruption") if isinstance(each, str | Mapping) else each
        for each in described
    )


def site_of(described: Described | Site) -> Site:
    """Return a site from a name that `Intervention` takes, or from a description."""
    if isinstance(described, Mapping):
        made: Site = _made(described, SITES, "site")
        return made
    if isinstance(described, str):
        match described:
            case "kv" | "KeysValues":
                return KeysValues()
            case "attention" | "Attention":
                return Attention()
            case name:
                return Hook(name)
    return described


def _made(described: str | Mapping[str, Any], kinds: Mapping[str, type[Any]], what: str) -> Any:
    fields = {} if isinstance(described, str) else dict(described)
    name = described if isinstance(described, str) else fields.pop("kind", None)
    plain = {kind.casefold(): kind for kind in kinds}
    found = plain.get(str(name).replace("_", "").casefold())
    if found is None:
        near = get_close_matches(str(name).casefold(), plain, n=1)
        hint = f" Did you mean {plain[near[0]]!r}?" if near else ""
        raise ValueError(
            f"There is no {what} {described!r}.{hint} Give a name out of {', '.join(kinds)}, or a "
            "table with `kind` and its numbers, as in {kind = 'GaussianNoise', sigma = 0.5}."
        )
    try:
        return kinds[found](**fields)
    except TypeError as error:
        accepted = [field.name for field in dataclasses.fields(kinds[found]) if field.init]
        raise ValueError(
            f"{what} {described!r} cannot be made: {error}. {found} takes "
            f"{', '.join(accepted) or 'nothing'}."
        ) from error
