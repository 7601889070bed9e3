"""Where a sweep stands."""

import json
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

from cot_attn.sweeps.manifest import Manifest
from cot_attn.sweeps.shard_file import finished
from cot_attn.sweeps.work import Outcome

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Attributes
    ----------
    folder
        The sweep's folder.
    n_shards
        How many shards it has.
    done
        The names of those that have a result.
    failures
        What went wrong in the last run, one line an attempt, the oldest first.
    given_up
        The shards without a result that were given up in the last run, with their last error.
    """

    folder: Path
    n_shards: int
    done: frozenset[str]
    failures: tuple[Outcome, ...]
    given_up: dict[str, str]

    @property
    def complete(self) -> bool:
        """Whether every shard has a result."""
        return len(self.done) == self.n_shards

    def __str__(self) -> str:
        left = self.n_shards - len(self.done) - len(self.given_up)
        text = f"{self.folder}: {len(self.done)} of {self.n_shards} shards are done"
        if left:
            text += f", {left} are to be done"
        if self.given_up:
            text += f", {len(self.given_up)} were given up"
        retried = len({each.shard for each in self.failures} & self.done)
        return text + (f" ({retried} after a failure)." if retried else ".")


def sweep_status(folder: str | PathLike[str]) -> Status:
    """Say where a sweep stands, while it runs or afterwards.

    Raises
    ------
    FileNotFoundError, ValueError
        Where the folder holds no sweep that can be read.
    """
    return status_of(Manifest.read(Path(folder)))


def status_of(manifest: Manifest) -> Status:
    """Return where a manifest's sweep stands."""
    done = frozenset(finished(manifest.folder) & manifest.by_name.keys())
    failures, given_up = [], {}
    file = manifest.folder / FAILURES
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for line in lines:
        entry = json.loads(line)
        last = entry.pop("given_up")
        failures.append(outcome := Outcome(**entry))
        if last and outcome.shard not in done:
            given_up[outcome.shard] = outcome.error or ""
    return Status(manifest.folder, len(manifest.shards), done, tuple(failures), given_up)


def note(folder: Path, outcome: Outcome, *, given_up: bool) -> None:
    """Write down a failure."""
    with (folder / FAILURES).open("a", encoding="utf-8") as file:
        file.write(json.dumps({**asdict(outcome), "given_up": given_up}) + "\n")
