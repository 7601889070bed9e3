"""Which ids the tokens have that a family adds to its base's vocabulary."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from cot_attn.checkpoints._base import Base

_FILES = ("added_tokens.json", "tokenizer_config.json", "tokenizer.json")


@dataclass(frozen=True)
class AddedTokens:
    """The tokens that a family adds behind its base's vocabulary.

    Attributes
    ----------
    names
        Their names, in the order in which training adds them.
    bot, eot
        The names of those that open and close the thoughts: two of these or, where the family adds
        none, tokens that the base has. They may be the same.
    """

    names: tuple[str, ...]
    bot: str
    eot: str


@dataclass(frozen=True)
class Vocabulary:
    """A checkpoint's vocabulary.

    Attributes
    ----------
    base
        The base with the vocabulary that the checkpoint has.
    bot, eot
        The ids that open and close the thoughts.
    notes
        Where an id is from, where it is not the usual one.
    """

    base: Base
    bot: int
    eot: int
    notes: tuple[str, ...] = ()


def grown_vocabulary(
    base: Base,
    added: AddedTokens,
    n_rows: int | None,
    folder: Path,
    user_ids: Mapping[str, int | None],
) -> Vocabulary:
    """Return the vocabulary of a checkpoint.

    The ids are what the user says or what the tokenizer's files in the checkpoint's folder or the
    base say; where nobody says any, the added tokens follow the base's last id.

    Parameters
    ----------
    base
        The base.
    added
        What the family adds.
    n_rows
        How many rows the checkpoint's embedding has, if it has one.
    folder
        The checkpoint's folder.
    user_ids
        The ids of `bot` and `eot` that the user gave, or None.

    Raises
    ------
    ValueError
        Where two sources disagree, or an id is not in the vocabulary.
    """
    usual = {name: base.n_vocabulary + place for place, name in enumerate(added.names)}
    sources = {
        "bot": dict(_sources(base, folder, added.bot, "bot", user_ids["bot"])),
        "eot": dict(_sources(base, folder, added.eot, "eot", user_ids["eot"])),
    }
    bot, eot = (_agreed(role, claims) for role, claims in sources.items())
    for role, name in (("bot", added.bot), ("eot", added.eot)):
        if not usual and not sources[role]:
            raise ValueError(
                f"The tokenizer of {base.source} has no token {name!r}, which this family puts "
                "round the thoughts. Give as base= the model that the checkpoint was trained from."
            )
    n_usual = base.n_vocabulary + len(usual)
    if bot is None and eot is None:
        base.check_tokenizer()
        return Vocabulary(base.grown(n_usual, usual), usual[added.bot], usual[added.eot])
    n_rows = n_usual if n_rows is None else n_rows
    if (bot is None or eot is None) and n_rows != n_usual:
        named, nameless = ("eot", "bot") if bot is None else ("bot", "eot")
        raise ValueError(
            f"Of the tokens that open and close the thoughts, only the id of {named} is known "
            f"({', '.join(sources[named])}). Where the embedding has {n_rows} rows, {nameless} has "
            "not its usual id either; give bot= and eot=."
        )
    bot = usual[added.bot] if bot is None else bot
    eot = usual[added.eot] if eot is None else eot
    _check(bot, eot, n_rows, base, one_token=added.bot == added.eot)
    if usual and (bot, eot) != (usual[added.bot], usual[added.eot]):
        names = {added.bot: bot, added.eot: eot}
    else:
        names = usual
    notes: tuple[str, ...] = ()
    if names is not usual or n_rows != n_usual:
        where = sorted({source for claims in sources.values() for source in claims})
        notes = (f"bot={bot} and eot={eot} of {n_rows} token ids, from {' and '.join(where)}",)
    return Vocabulary(base.grown(n_rows, names), bot, eot, notes)


def _sources(
    base: Base, folder: Path, name: str, role: str, user_id: object
) -> Iterator[tuple[str, int]]:
    """Yield who says which id a token has."""
    if user_id is not None:
        if isinstance(user_id, bool) or not isinstance(user_id, Integral) or int(user_id) < 0:
            raise ValueError(f"{role} is {user_id!r}; give the token's id, a whole number.")
        yield f"{role}=", int(user_id)
    for file in (folder / each for each in _FILES):
        ids = _read_ids(file)
        if name in ids:
            yield str(file), ids[name]
    vocabulary = base.tokenizer.get_vocab()
    if name in vocabulary:
        yield f"the tokenizer of {base.source}", vocabulary[name]


def _agreed(role: str, claims: Mapping[str, int]) -> int | None:
    if len(set(claims.values())) > 1:
        listed = ", ".join(f"{source} {token}" for source, token in claims.items())
        raise ValueError(
            f"The id of {role} is not the same everywhere: {listed}. Remove the file "
            f"that does not belong to the weights, or leave {role}= out."
        )
    return next(iter(claims.values()), None)


def _check(bot: int, eot: int, n_rows: int, base: Base, *, one_token: bool) -> None:
    if len(base.tokenizer) > n_rows:
        raise ValueError(
            f"The tokenizer of {base.source} has {len(base.tokenizer)} tokens, the checkpoint's "
            f"embedding {n_rows} rows. Give as base= the model that it was trained from."
        )
    if (bot == eot) != one_token or max(bot, eot) >= n_rows:
        wanted = "one id for both" if one_token else "two different ids"
        raise ValueError(
            f"bot is {bot} and eot is {eot}; accepted are {wanted} below {n_rows}, the "
            "number of rows that the embedding has."
        )


def _read_ids(file: Path) -> dict[str, int]:
    """Return the ids of added tokens that a file of a tokenizer lists; an empty file lists none."""
    if not file.is_file() or not file.read_bytes().strip():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return dict(_listed(file.name, content))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} cannot be read as a file of a tokenizer ({error!r}). Copy it again, or remove "
            "it."
        ) from error


def _listed(name: str, content: Any) -> Iterator[tuple[str, int]]:
    match name:
        case "added_tokens.json":
            yield from ((token, int(each)) for token, each in content.items())
        case "tokenizer_config.json":
            for each, token in content.get("added_tokens_decoder", {}).items():
                yield token["content"], int(each)
        case _:
            vocabulary = content.get("model", {}).get("vocab")
            yield from vocabulary.items() if isinstance(vocabulary, dict) else ()
            yield from (
                (token["content"], token["id"]) for token in content.get("added_tokens", [])
            )
