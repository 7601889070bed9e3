"""What a worker does: load a model once, take shards, write each result."""

import platform
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import xarray as xr
from filelock import FileLock

from cot_attn.data import Problem
from cot_attn.interventions import CleanActivations, Hook, collect
from cot_attn.models import ContinuousThoughtModel
from cot_attn.models.batching import Batches
from cot_attn.recording import AttentionRecorder
from cot_attn.study._experiments import ASKED
from cot_attn.study._packing import rounded
from cot_attn.study.running import PACKAGES
from cot_attn.sweeps.manifest import FILE, Manifest, Shard
from cot_attn.sweeps.models import identity, loaded
from cot_attn.sweeps.planning import ablator_of
from cot_attn.sweeps.shard_file import path_of, write_shard

Scope = Literal["shard", "model", "manifest", "disk"]
WORKING = "working"


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a shard ended.

    Attributes
    ----------
    shard
        The shard's name.
    error
        What went wrong, or None.
    details
        The traceback.
    scope
        What is at fault: the shard alone, its model (and so all of the model's shards), or the
        manifest or the disk (and so the sweep).
    """

    shard: str
    error: str | None = None
    details: str = ""
    scope: Scope = "shard"


class ModelChangedError(ValueError):
    """The weights are not those that the sweep was planned with."""


class ManifestChangedError(ValueError):
    """The manifest is not the one that the sweep was begun with."""


class NothingWrittenError(OSError):
    """A result could not be written."""


@dataclass
class Workbench:
    """A worker's table: one model at a time, with what its shards have in common.

    Parameters
    ----------
    folder
        The sweep's folder.
    expected
        The hash of the manifest that the sweep was begun with.
    device
        Where models run.
    """

    folder: Path
    expected: str
    device: str | None = None

    def __post_init__(self) -> None:
        self._manifest: Manifest | None = None
        self._stamp: tuple[int, int] | None = None
        self._model: ContinuousThoughtModel | None = None
        self._donors: tuple[set[Hook], CleanActivations] | None = None

    def attempt(self, names: Sequence[str]) -> list[Outcome]:
        """Do shards one after the other; an error is an outcome, and ends nothing but its shard."""
        return [self._attempt(name) for name in names]

    def _attempt(self, name: str) -> Outcome:
        try:
            self.do(name)
        except Exception as error:
            scopes: dict[type[Exception], Scope] = {
                ModelChangedError: "model",
                ManifestChangedError: "manifest",
                NothingWrittenError: "disk",
            }
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            said = str(message) if isinstance(error, ValueError | OSError) else repr(error)
            scope = scopes.get(type(error), "shard")
            return Outcome(name, said, traceback.format_exc(), scope)
        return Outcome(name)

    def do(self, name: str) -> None:
        """Do a shard and write its result, unless that is there by now."""
        manifest = self.manifest()
        lock = self.folder / WORKING / f"{name}.lock"
        try:
            lock.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise NothingWrittenError(f"{lock.parent} could not be made: {error}") from error
        with FileLock(lock):  # a worker of a driver that is dead may be at it still
            if not path_of(self.folder, name).exists():
                result = self.measured(manifest, manifest.by_name[name]).assign_attrs(self.where())
                try:
                    write_shard(self.folder, name, result)
                except OSError as error:
                    raise NothingWrittenError(str(error)) from error
            lock.unlink(missing_ok=True)

    def measured(self, manifest: Manifest, shard: Shard) -> xr.Dataset:
        """Return a shard's result."""
        model = self.model(manifest, shard.model)
        problems = manifest.problems[shard.start : shard.stop]
        if shard.measure == "attention":
            return recorded(manifest, model, problems)
        if shard.measure == "experiment":
            return asked(manifest, shard, model)
        ablator = ablator_of(manifest, shard, model)
        hooks = {hook for each in ablator.interventions for hook in each.baselines(model)}
        batch_size = manifest.settings["batch_size"]
        if self._donors is None or self._donors[0] != hooks:
            donors = collect(model, manifest.problems, hooks, batch_size=batch_size)
            self._donors = hooks, donors
        ablator.donors = self._donors[1]
        return ablator.run(
            problems,
            manifest.settings["outcomes"],
            max_new_tokens=manifest.settings["max_new_tokens"],
            batch_size=batch_size,
        )

    def where(self) -> dict[str, Any]:
        """Return what a result says about the machine that it was made on."""
        assert self._model is not None
        versions = {package: version(package) for package in PACKAGES}
        python = platform.python_version()
        return {"device": str(self._model.device), "python": python, "versions": versions}

    def model(self, manifest: Manifest, name: str) -> ContinuousThoughtModel:
        """Return a model, loaded unless it is on the table, if it is as it was planned with."""
        if self._model is None or self._model.name != name:
            self._model = self._donors = None
            planned = manifest.model(name)
            model = loaded(planned.source, self.device)
            model.name, found = name, identity(model)
            changed = [key for key, value in planned.identity.items() if found.get(key) != value]
            if changed:
                before, now = (each[changed[0]] for each in (planned.identity, found))
                raise ModelChangedError(
                    f"{planned.source.source} has changed since the sweep was planned: its "
                    f"{changed[0]} was {before} and is {now}. Put the former one back, or plan "
                    "the sweep anew in another folder."
                )
            self._model = model
        return self._model

    def manifest(self) -> Manifest:
        """Return the manifest, if it is the one that the sweep was begun with."""
        status = (self.folder / FILE).stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if self._manifest is None or stamp != self._stamp:
            try:
                self._manifest, self._stamp = Manifest.read(self.folder), stamp
            except ValueError as error:
                raise ManifestChangedError(str(error)) from error
        if self._manifest.hash != self.expected:
            raise ManifestChangedError(
                f"The manifest in {self.folder} was replaced while the sweep ran, so it was "
                "stopped. What was done stays; resume does what the present manifest says."
            )
        return self._manifest


def asked(manifest: Manifest, shard: Shard, model: ContinuousThoughtModel) -> xr.Dataset:
    """Return what an experiment finds, as a study's does."""
    assert shard.experiment is not None
    how = {name: manifest.settings[name] for name in ("max_new_tokens", "batch_size")}
    return ASKED[shard.experiment](model, manifest.problems, {**how, "seed": shard.seed})


def recorded(
    manifest: Manifest, model: ContinuousThoughtModel, problems: Sequence[Problem]
) -> xr.Dataset:
    """Return the record of attention, rounded as a study rounds it."""
    recorder = AttentionRecorder(model, manifest.settings["layers"])

    def record(batch: Sequence[Problem]) -> None:
        model.run(batch, max_new_tokens=manifest.settings["max_new_tokens"])

    with recorder:
        Batches(manifest.settings["batch_size"]).work(problems, record)
    return recorder.dataset().map(rounded, keep_attrs=True)
