"""All weights of a checkpoint: one file, several shards, or the same in two formats."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cot_attn.checkpoints._weight_file import read_weight_file, sha256

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.(?P<kind>\w+)")
_INDEX = re.compile(r"(?P<stem>.+)\.(?P<kind>safetensors|bin)\.index\.json")
_SINGLE = re.compile(r"[^.].*\.(safetensors|bin|pt|pth)|checkpoint_\d+")
_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state).*")


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and the files that they were read from.

    Attributes
    ----------
    tensors
        Every tensor of the checkpoint, as it is stored.
    digests
        The SHA-256 of every file that was read.
    """

    tensors: dict[str, Tensor]
    digests: dict[Path, str]

    @property
    def sha256(self) -> str:
        """The file's SHA-256; of several files, the SHA-256 over theirs in the order of names."""
        return combined_digest(self.digests.values())

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return next(iter(self.digests)).parent

    @property
    def where(self) -> str:
        """The files in words."""
        first, *others = map(str, self.digests)
        return f"{first} and {len(others)} more" if others else first


@dataclass(frozen=True)
class FileSet:
    """The names of the files that make up one whole set of weights."""

    files: tuple[str, ...]
    index: str | None = None

    @property
    def name(self) -> str:
        """What a user calls the set: its index or its first file."""
        return self.index or self.files[0]


def combined_digest(digests: Iterable[str]) -> str:
    """Return the one digest, or the SHA-256 over several."""
    digests = list(digests)
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sets(names: Iterable[str]) -> list[FileSet]:
    """Return the sets of weight files among the names in a folder, safetensors first."""
    names = sorted(name for name in names if "/" not in name)
    shards: dict[str, list[str]] = {}
    indices, singles = {}, []
    for name in names:
        if match := _INDEX.fullmatch(name):
            indices[f"{match['stem']}.{match['kind']}"] = name
        elif match := _SHARD.fullmatch(name):
            shards.setdefault(f"{match['stem']}.{match['kind']}", []).append(name)
        elif _SINGLE.fullmatch(name) and not _NO_WEIGHTS.match(name):
            singles.append(FileSet((name,)))
    sharded = [
        FileSet(tuple(shards.get(whole, ())), indices.get(whole))
        for whole in sorted(shards.keys() | indices.keys())
    ]
    # The usual names come first; a folder may hold other people's files beside them.
    usual = [
        each for each in singles if re.match(r"model\.|pytorch_model\.|checkpoint_", each.name)
    ]
    found = [*sharded, *(usual or ([] if sharded else singles))]
    return sorted(found, key=lambda each: "safetensors" not in each.name)


def chosen_sets(names: Iterable[str], wanted: str | None, where: str) -> list[FileSet]:
    """Return the sets of weight files to read; raise where there is none or no telling which."""
    names = list(names)
    if wanted is not None:
        if wanted not in names:
            raise FileNotFoundError(f"{where} has no file {wanted!r}; it has {sorted(names)[:20]}.")
        named = [each for each in file_sets(names) if wanted in (each.index, *each.files)]
        return named or [FileSet((wanted,))]
    found = file_sets(names)
    if not found:
        raise FileNotFoundError(
            f"{where} has no weight file (model.safetensors, pytorch_model.bin, checkpoint_<n>, or "
            f"shards of one); it has {sorted(names)[:20]}."
        )
    epochs = [each.name for each in found if each.name.startswith("checkpoint_")]
    if len(epochs) > 1:
        raise ValueError(
            f"{where} has several checkpoints: {', '.join(epochs)}. Name one, as in "
            f"weights={epochs[-1]!r}."
        )
    return found


def read_weights(source: Path, wanted: str | None = None) -> Weights:
    """Read a checkpoint's tensors from a file or folder.

    Parameters
    ----------
    source
        A weight file, the index of a sharded one, or a folder.
    wanted
        The name of the weight file in the folder, where there is more than one.

    Raises
    ------
    FileNotFoundError
        Where a file or shard is missing.
    ValueError
        Where a file cannot be read, an index and its shards do not fit, or two files hold
        different weights.
    """
    if source.is_file():
        source, wanted = source.parent, source.name
    names = [each.name for each in source.iterdir() if each.is_file()]
    first, *others = (_read_set(source, each) for each in chosen_sets(names, wanted, str(source)))
    for other in others:
        if difference := _difference(first.tensors, other.tensors):
            raise ValueError(
                f"{first.where} and {other.where} hold different weights: {difference}. Give the "
                "file that you mean instead of the folder."
            )
    digests = dict(first.digests)
    for other in others:
        digests |= other.digests
    return Weights(first.tensors, digests)


def _read_set(folder: Path, files: FileSet) -> Weights:
    if files.index is None:
        _check_numbers(folder, files.files)
        expected = None
    else:
        expected = _read_index(folder / files.index)
        listed = set(expected.values())
        if missing := sorted(name for name in listed if not (folder / name).is_file()):
            raise FileNotFoundError(
                f"{folder / files.index} names shards that are not there: {missing[:20]}. "
                "Download them too."
            )
        if extra := sorted(set(files.files) - listed):
            raise ValueError(
                f"{folder / files.index} does not name these shards beside it: {extra[:20]}. The "
                "folder seems to mix two checkpoints; download it again."
            )
    tensors: dict[str, Tensor] = {}
    digests = {}
    for name in files.files:
        shard = read_weight_file(folder / name)
        if expected is not None:
            _check_shard(folder, files.index, name, shard.keys(), expected)
        if twice := sorted(tensors.keys() & shard.keys()):
            raise ValueError(f"{folder / name} repeats tensors of another shard: {twice[:20]}.")
        tensors |= shard
        digests[folder / name] = sha256(folder / name)
    return Weights(tensors, digests)


def _check_numbers(folder: Path, files: tuple[str, ...]) -> None:
    """Without an index, the shards' own numbers say how many there must be."""
    for name in files:
        if match := _SHARD.fullmatch(name):
            count = int(match["count"])
            wanted = {
                f"{match['stem']}-{number:05d}-of-{count:05d}.{match['kind']}"
                for number in range(1, count + 1)
            }
            if missing := sorted(wanted - set(files)):
                raise FileNotFoundError(
                    f"{folder} lacks shards: {missing[:20]}. Download them too."
                )


def _read_index(file: Path) -> dict[str, str]:
    try:
        shards = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
        return {str(key): str(name) for key, name in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is not the index of a sharded checkpoint ({error!r}). Download it again."
        ) from error


def _check_shard(
    folder: Path, index: str | None, name: str, keys: Iterable[str], expected: dict[str, str]
) -> None:
    wanted = {key for key, file in expected.items() if file == name}
    if wanted != set(keys):
        absent, extra = sorted(wanted - set(keys)), sorted(set(keys) - wanted)
        raise ValueError(
            f"{folder / name} is not the shard that {index} describes: without {absent[:20]}, "
            f"and with {extra[:20]} besides. Download the folder again."
        )


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    """Say how two sets of weights differ, or nothing where they hold the same numbers.

    Files may store the same numbers in different types, and safetensors drops a tensor that
    repeats another (tied embeddings).
    """
    both = one.keys() & other.keys()
    if differing := sorted(key for key in both if not same_numbers(one[key], other[key])):
        return f"{differing[:20]} differ"
    for tensors in (one, other):
        for key in sorted(tensors.keys() - both):
            if not any(same_numbers(tensors[key], tensors[shared]) for shared in both):
                return f"only one has {key!r}"
    return ""


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, in whatever types."""
    wide = torch.promote_types(one.dtype, other.dtype)
    return one.shape == other.shape and torch.equal(one.to(wide), other.to(wide))
