"""A sweep gives what one study after the other gives, and is done once, whatever happens to it."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from cot_attn import compare, load_problems, run_study
from cot_attn._lock import locked
from cot_attn.data import Problem, save_problems
from cot_attn.interventions import (
    Attention,
    GaussianNoise,
    Hook,
    KeysValues,
    KnockOut,
    Replace,
    Resample,
    TokenAblator,
    Zero,
)
from cot_attn.models import ContinuousThoughtModel
from cot_attn.sweeps import (
    ModelSource,
    Plan,
    Status,
    model_quantities,
    open_sweep,
    plan_sweep,
    run_sweep,
    sweep_status,
    sweep_studies,
)
from cot_attn.sweeps import manifest as manifests
from cot_attn.sweeps.described import described, site_of
from cot_attn.sweeps.manifest import Manifest
from cot_attn.sweeps.shard_file import path_of, read_shard
from cot_attn.sweeps.work import Workbench
from cot_attn.toy import handmade_model, handmade_problems

WEIGHTS = {"one": (1, 4, 1), "other": (1, 6, 1)}
FEW = handmade_problems(5, (1, 4, 1))
CORRUPTIONS = (Zero(), GaussianNoise(0.5), Resample())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ModelSource]:
    """Two models in folders."""
    folder = tmp_path_factory.mktemp("models")
    for name, weights in WEIGHTS.items():
        handmade_model(weights).save_pretrained(folder / name)
    return [
        ModelSource(str(folder / name), name, facts={"family": name, "training_seed": i})
        for i, name in enumerate(WEIGHTS)
    ]


@pytest.fixture(autouse=True, scope="module")
def each_checkpoint_loaded_once() -> Iterator[None]:
    """The same files with the same options are one model, which sweeps do not change."""
    load, loaded = ContinuousThoughtModel.from_pretrained, {}

    @wraps(load)
    def once(source: str, **options: Any) -> ContinuousThoughtModel:
        place = Path(source)
        files = place.iterdir() if place.is_dir() else []
        key = (source, repr(options), *sorted((f.name, f.stat().st_mtime_ns) for f in files))
        if key not in loaded:
            loaded[key] = load(source, **options)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContinuousThoughtModel, "from_pretrained", once)
        yield


def plan_of(models: list[ModelSource], **options: Any) -> Plan:
    how: dict[str, Any] = {
        "corruptions": CORRUPTIONS,
        "max_new_tokens": 3,
        "batch_size": 64,
        "problems_per_shard": 3,
    }
    return Plan(models, FEW, **{**how, **options})


@pytest.fixture(scope="module")
def blank(models: list[ModelSource], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of which nothing is done yet."""
    return plan_sweep(plan_of(models), tmp_path_factory.mktemp("blank") / "sweep").folder


@pytest.fixture
def planned(blank: Path, tmp_path: Path) -> Manifest:
    return Manifest.read(shutil.copytree(blank, tmp_path / "sweep"))


@pytest.fixture(scope="module")
def done(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was done without an interruption."""
    folder = Path(shutil.copytree(blank, tmp_path_factory.mktemp("done") / "sweep"))
    assert run_sweep(folder).complete
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (folder / "shards").iterdir()}


# What it gives --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_of_whole_studies_is_run_study_and_compare_to_the_last_digit(
    models: list[ModelSource], tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    asked = ["exits", "usage"]
    plan_sweep(plan_of(models, problems_per_shard=5, experiments=asked), folder)
    run_sweep(folder)
    studies = []
    for source in models:
        model = ContinuousThoughtModel.from_pretrained(source.source)
        model.name = str(source.name)
        how: dict[str, Any] = {"max_new_tokens": 3, "batch_size": 64, "experiments": asked}
        studies.append(run_study(model, FEW, corruptions=CORRUPTIONS, **how))
    ours = sweep_studies(folder)
    for study, own in zip(studies, ours, strict=True):
        assert own.attention.identical(study.attention)
        assert own.effects.identical(study.effects)
        assert list(own.experiments) == asked
        for asked_for, found in study.experiments.items():
            assert own.experiments[asked_for].identical(found)
        assert own.problems == study.problems
        timed = {"started", "seconds"}
        assert {k: v for k, v in own.settings.items() if k not in timed} == {
            k: v for k, v in study.settings.items() if k not in timed
        }
    assert compare(ours).identical(compare(studies))
    merged = open_sweep(folder).sel(seed=0, site="input", downstream="recompute")
    assert np.array_equal(merged["failed"], compare(studies)["failed"], equal_nan=True)
    table = model_quantities(folder)["estimate"]
    for study in studies:
        numbers = table.sel(model=study.name)
        right = study.experiments["exits"]["correct"].mean("problem")
        usage = study.experiments["usage"]["correct"].mean("problem")
        for count in range(int(study.settings["n_thoughts"]) + 1):
            after = numbers.sel(quantity=f"exits: right after {count}")
            np.testing.assert_allclose(after, right.sel(n_thoughts=count))
        for condition in set(usage["condition"].values.tolist()) - {"as trained"}:
            lost = usage.sel(condition=condition) - usage.sel(condition="as trained")
            np.testing.assert_allclose(numbers.sel(quantity=f"usage: {condition}"), lost)
        assert 0 <= numbers.sel(quantity="exits: thoughts to the final answer") <= 3
        of_study = merged.sel(model=study.name)
        for name in study.effects.data_vars:
            equal_nan = study.effects[name].dtype.kind == "f"
            assert np.array_equal(of_study[name], study.effects[name], equal_nan=equal_nan)
        assert np.array_equal(of_study["attention"], study.attention["attention"], equal_nan=True)


@pytest.mark.slow
def test_cutting_into_shards_changes_nothing_in_float64_and_no_answer_in_float32(
    tmp_path: Path,
) -> None:
    problems = load_problems("toy", n=5)
    for dtype in ("float32", "float64"):
        parts = {}
        for size in (3, 5):
            folder = tmp_path / f"{dtype}-{size}"
            source = ModelSource("toy-gpt2", options={"dtype": dtype})
            how: dict[str, Any] = {"corruptions": CORRUPTIONS, "max_new_tokens": 8}
            plan_sweep(
                Plan([source], problems, **how, attention=False, problems_per_shard=size), folder
            )
            run_sweep(folder)
            parts[size] = open_sweep(folder).load()
        for name in parts[3].data_vars:
            one, other = (parts[size][name].values for size in (3, 5))
            if one.dtype.kind != "f":  # what was answered
                assert np.array_equal(one, other)
                continue
            exact = dtype == "float64" or name == "failed"
            assert np.array_equal(one, other, equal_nan=True) or not exact
            assert np.allclose(one, other, atol=1e-3, equal_nan=True)


@pytest.mark.slow
def test_an_experiment_has_all_problems_of_a_model_in_one_shard(
    models: list[ModelSource], tmp_path: Path
) -> None:
    way: dict[str, Any] = {"experiments": ["usage"], "seeds": [0, 1], "corruptions": "zero"}
    manifest = plan_sweep(plan_of(models, **way), tmp_path / "sweep")
    shards = [shard for shard in manifest.shards if shard.measure == "experiment"]
    assert [(each.model, each.seed, each.start, each.stop) for each in shards] == [
        (name, seed, 0, len(FEW)) for name in WEIGHTS for seed in (0, 1)
    ]
    with pytest.raises(ValueError, match="usages"):
        plan_sweep(plan_of(models, experiments=["usages"]), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_donors_come_from_all_problems_and_not_from_the_shard(done: Path) -> None:
    manifest = Manifest.read(done)
    model = ContinuousThoughtModel.from_pretrained(manifest.models[0].source.source)
    ablator = TokenAblator(model, CORRUPTIONS, donors=FEW)
    effects = ablator.run(FEW[3:], max_new_tokens=3, batch_size=64)
    shard = next(s for s in manifest.shards if s.start == 3 and s.measure == "effects")
    assert read_shard(done, shard.name)["kl_first"].equals(effects["kl_first"])
    alone = TokenAblator(model, CORRUPTIONS).run(FEW[3:], max_new_tokens=3, batch_size=64)
    assert not read_shard(done, shard.name)["kl_first"].equals(alone["kl_first"])


@pytest.mark.slow
def test_values_are_read_when_they_are_looked_at_and_only_from_their_shards(
    done: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "sweep"))
    whole = open_sweep(done).load()
    opened = open_sweep(folder)
    for shard in Manifest.read(folder).shards:
        if not (shard.start == 3 and shard.model == "other"):
            path_of(folder, shard.name).write_bytes(b"not looked at")
    part = {"model": 1, "problem": [4, 3]}
    for name in ("failed", "attention", "baseline_answer"):
        assert opened[name].isel(part).load().equals(whole[name].isel(part))
    assert (
        opened["kl_first"]
        .isel(model=1, problem=3, thought=2)
        .load()
        .equals(whole["kl_first"].isel(model=1, problem=3, thought=2))
    )
    with pytest.raises(ValueError, match=r"is not as it was written\. Remove it and resume"):
        opened["failed"].isel(problem=4).load()


@pytest.mark.slow
def test_every_way_has_a_dimension_of_its_own(models: list[ModelSource], tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    how: dict[str, Any] = {
        "seeds": [3, 1],
        "corruptions": CORRUPTIONS[1:],
        "downstream": ["recompute", "frozen"],
    }
    how |= {"sites": ["input", KeysValues([1])], "attention": False, "problems_per_shard": 5}
    plan_sweep(plan_of(models[:1], **how), folder)
    run_sweep(folder)
    merged = open_sweep(folder)
    assert dict(merged["failed"].sizes) == {
        "model": 1,
        "seed": 2,
        "site": 2,
        "downstream": 2,
        "problem": 5,
        "thought": 3,
        "corruption": 2,
    }
    model = ContinuousThoughtModel.from_pretrained(models[0].source)
    for seed, site, label in ((3, "input", "input"), (1, KeysValues([1]), "kv (layers 1)")):
        ablator = TokenAblator(model, CORRUPTIONS[1:], site, "frozen", seed)
        effects = ablator.run(FEW, max_new_tokens=3, batch_size=64)
        own = merged.sel(model="one", seed=seed, site=label, downstream="frozen")
        np.testing.assert_allclose(own["kl_first"], effects["kl_first"], atol=1e-5)
    with pytest.raises(ValueError, match="has no attention"):
        sweep_studies(folder)


@pytest.mark.slow
def test_models_of_other_sizes_stand_side_by_side_with_nan_where_they_have_nothing(
    tmp_path: Path, models: list[ModelSource]
) -> None:
    handmade_model((1, 1, 4, 1)).save_pretrained(tmp_path / "longer")
    folder = tmp_path / "sweep"
    longer = ModelSource(str(tmp_path / "longer"), "longer", facts={"family": "third"})
    plan_sweep(plan_of([models[0], longer]), folder)
    run_sweep(folder)
    merged = open_sweep(folder).load()
    assert merged["thought"].values.tolist() == [0, 1, 2, 3]
    short = merged["failed"].sel(model="one", seed=0).squeeze()
    assert short.sel(thought=3).isnull().all()
    assert short.sel(thought=[0, 1, 2]).notnull().any()
    assert merged["family"].values.tolist() == ["one", "third"]
    assert np.isnan(merged["training_seed"].values.astype(float)[1])
    assert merged["n_thoughts"].values.tolist() == [3, 4]


def test_dask_cuts_where_shards_are_cut(done: Path) -> None:
    pytest.importorskip("dask")
    chunked = open_sweep(done).chunk({})
    assert chunked["failed"].chunksizes["problem"] == (3, 2)
    assert chunked.compute().identical(open_sweep(done).load())


# What is refused ------------------------------------------------------------------------------


def toml(folder: Path, text: str) -> Path:
    file = folder / "plan.toml"
    file.write_text(text)
    return file


def test_a_toml_file_is_the_plan_that_python_would_make(tmp_path: Path) -> None:
    handmade_model((1, 4, 1)).save_pretrained(tmp_path / "one")
    save_problems(FEW, tmp_path / "few.jsonl")
    file = toml(
        tmp_path,
        """
        problems = "few.jsonl"
        corruptions = ["zero", {kind = "gaussian_noise", sigma = 0.5}, "Resample"]
        sites = ["kv", {kind = "Hook", name = "blocks.0.attn.hook_z", heads = [0]}]
        seeds = [0, 1]
        layers = [-1]
        max_new_tokens = 3

        [[models]]
        source = "one"
        n_thoughts = 3
        facts = {family = "handmade"}

        [[models]]
        source = "toy-gpt2"
        """,
    )
    assert Plan.read(file) == Plan(
        [
            ModelSource(
                str(tmp_path / "one"), options={"n_thoughts": 3}, facts={"family": "handmade"}
            ),
            "toy-gpt2",
        ],
        FEW,
        corruptions=CORRUPTIONS,
        sites=[KeysValues(), Hook("blocks.0.attn.hook_z", [0])],
        seeds=[0, 1],
        layers=[-1],
        max_new_tokens=3,
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("problem = 'toy'", "has a field 'problem' that is not known. Did you mean 'problems'"),
        ("problems = 'toy'", "has no 'models'"),
        ("models = [{source = 'a', n_thougts = 3}]\nproblems = 'toy'", "'n_thougts'"),
        ("models = [{source = 'a'}]\nproblems = {name = 'toy', m = 3}", "a field 'm'"),
        ("models = ['a']\nproblems = 'toy'\ncorruptions = ['zer']", "Did you mean 'Zero'"),
        (
            "models = ['a']\nproblems = 'toy'\ncorruptions = [{kind = 'Scale'}]",
            "Scale takes factor",
        ),
        ("models = ['a', 'a']\nproblems = 'toy'", "twice, so the same shards would be done twice"),
        ("models = ['a']\nproblems = 'toy'\nseeds = [0, 0]", "seeds has 0 twice"),
        ("models = ['a']\nproblems = 'toy'\nseeds = [-1]", "0 or more"),
        ("models = ['a']\nproblems = 'toy'\nexperiments = 'exits'", "give a list"),
        ("models = ['a']\nproblems = 'toy'\nproblems_per_shard = 0", "1 or more"),
        ("models = ['a']\nproblems = 'toy'\ndownstream = ['later']", "recompute, frozen"),
        ("models = []\nproblems = 'toy'", "models is empty"),
        (
            "models = [{source = 'a', facts = {n_layers = 3}}]\nproblems = 'toy'",
            "a name that results have already",
        ),
        ("models = [", "is not valid TOML"),
    ],
)
def test_a_bad_plan_is_refused_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(ValueError) as error:
        Plan.read(file)
    assert sentence in str(error.value)
    assert str(file) in str(error.value)


def test_what_a_file_cannot_hold_is_no_part_of_a_plan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be written into a plan"):
        described(Replace(torch.zeros(3)))
    for site in (Hook("input"), Hook("blocks.0.hook_out"), KeysValues(heads=[0]), Attention([1])):
        assert site_of(json.loads(json.dumps(described(site)))) == site
    assert described(KnockOut()) == "KnockOut"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": [9]}, "layer"),
        ({"outcomes": ["failing"]}, "outcomes is"),
        ({"outcomes": ["kl_first"]}, "needs 'failed'"),
        ({"sites": ["blocks.0.hook_nowhere"]}, "hook_nowhere"),
        ({"max_new_tokens": 10**6}, "one cannot be measured in this way"),
    ],
)
def test_what_a_model_cannot_do_is_said_when_the_sweep_is_planned(
    models: list[ModelSource], options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as error:
        plan_sweep(plan_of(models, **options), tmp_path / "sweep")
    assert sentence in str(error.value)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_models_of_one_name_and_problems_without_answers_are_refused(
    models: list[ModelSource], tmp_path: Path
) -> None:
    same = [ModelSource(each.source, "same") for each in models]
    with pytest.raises(ValueError, match="2 models are called 'same'"):
        plan_sweep(plan_of(same), tmp_path / "sweep")
    with pytest.raises(ValueError, match="has no gold answer"):
        Plan(models, [Problem.from_text("take the digit 3")])


@pytest.mark.slow
def test_a_folder_holds_one_sweep_and_nothing_is_overwritten(
    done: Path, models: list[ModelSource], tmp_path: Path
) -> None:
    before = results(done)
    assert plan_sweep(plan_of(models), done) == Manifest.read(done)
    for options, what in (
        ({"seeds": [1]}, "seeds"),
        ({"batch_size": 8}, "batch_size"),
        ({"corruptions": "zero"}, "corruptions"),
    ):
        with pytest.raises(FileExistsError, match=f"holds another sweep: it differs in {what}"):
            plan_sweep(plan_of(models, **options), done)
    with pytest.raises(FileExistsError, match="differs in models"):
        plan_sweep(plan_of(models[:1]), done)
    assert results(done) == before
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is not empty and is no sweep"):
        plan_sweep(plan_of(models), tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None], *, sealed: bool) -> None:
    """Change a manifest by hand; `sealed` puts the right checksum under it."""
    file = folder / manifests.FILE
    document = json.loads(file.read_text())
    change(document)
    if sealed:
        document.pop("sha256")
        document["sha256"] = manifests.content_hash(document)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "sealed", "sentence"),
    [
        (lambda d: d["settings"].update(seeds=[7]), False, "is not as it was written"),
        (lambda d: d["shards"].append(d["shards"][0]), True, "twice. Plan the sweep anew"),
        (lambda d: d.update(format_version=9), True, "has format version 9"),
        (lambda d: d.update(cot_attn="99.0"), True, "was planned with cot-attn 99.0"),
    ],
)
def test_a_manifest_that_was_changed_or_is_of_another_version_is_refused(
    done: Path, change: Any, sealed: bool, sentence: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "sweep"))
    before = results(folder)
    rewritten(folder, change, sealed=sealed)
    with pytest.raises(ValueError) as error:
        run_sweep(folder)
    assert sentence in str(error.value)
    assert results(folder) == before


def test_problems_that_changed_are_refused(planned: Manifest) -> None:
    save_problems(FEW[:3], planned.folder / manifests.PROBLEMS)
    with pytest.raises(ValueError, match="is not the file that this sweep was planned with"):
        run_sweep(planned.folder)


def test_no_sweep_and_no_results_are_said(planned: Manifest, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a sweep"):
        run_sweep(tmp_path)
    with pytest.raises(FileNotFoundError, match="None of the 8 shards"):
        open_sweep(planned.folder)


@pytest.mark.slow
def test_a_checkpoint_that_changed_since_planning_gives_up_its_model_alone(
    models: list[ModelSource], tmp_path: Path
) -> None:
    moving = tmp_path / "moving"
    shutil.copytree(models[0].source, moving)
    folder = tmp_path / "sweep"
    plan_sweep(plan_of([ModelSource(str(moving), "moving"), models[1]]), folder)
    shutil.rmtree(moving)
    handmade_model((1, 5, 1)).save_pretrained(moving)
    status = run_sweep(folder)
    assert set(status.given_up) == {
        shard.name for shard in Manifest.read(folder).shards if shard.model == "moving"
    }
    assert "has changed since the sweep was planned: its checkpoint was" in str(status.given_up)
    assert len(status.done) == 4


# What happens to it ---------------------------------------------------------------------------


class Killed(BaseException):
    """What no code gets to see that is killed."""


def stopping(
    monkeypatch: pytest.MonkeyPatch, after: int, error: Callable[[], BaseException] = Killed
) -> list[str]:
    """Let a process end before it measures one shard more than so many; return what it did."""
    did: list[str] = []
    measured = Workbench.measured

    def counted(self: Workbench, manifest: Manifest, shard: Any) -> xr.Dataset:
        if len(did) == after:
            raise error()
        did.append(shard.name)
        return measured(self, manifest, shard)

    monkeypatch.setattr(Workbench, "measured", counted)
    return did


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on_and_does_nothing_twice(
    planned: Manifest, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    for after in (0, 1, 4, 99):
        with monkeypatch.context() as patch:
            own = stopping(patch, after)
            if after < 99:
                with pytest.raises(Killed):
                    run_sweep(planned.folder)
                assert str(sweep_status(planned.folder)).count("are done") == 1
            else:
                assert run_sweep(planned.folder).complete
        did += own
    assert sorted(did) == sorted(shard.name for shard in planned.shards)
    assert results(planned.folder) == results(done)


@pytest.mark.slow
def test_a_shard_that_fails_is_tried_three_times_and_the_rest_goes_on(
    planned: Manifest, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, tries = planned.shards[3].name, []
    measured = Workbench.measured

    def failing(self: Workbench, manifest: Manifest, shard: Any) -> xr.Dataset:
        if shard.name == bad:
            tries.append(bad)
            raise ZeroDivisionError("a bad shard")
        return measured(self, manifest, shard)

    with monkeypatch.context() as patch:
        patch.setattr(Workbench, "measured", failing)
        status = run_sweep(planned.folder)
    assert len(tries) == 3
    assert status.given_up == {bad: "ZeroDivisionError('a bad shard')"}
    assert [each.shard for each in status.failures] == [bad] * 3
    assert "in failing" in status.failures[0].details
    assert "7 of 8 shards are done, 1 were given up" in str(status)
    assert sweep_status(planned.folder) == status
    with pytest.raises(ValueError, match=r"1 of 8 shards in .* have no result"):
        open_sweep(planned.folder)
    partly = open_sweep(planned.folder, missing="nan").load()
    hole = {"model": 0, "problem": slice(3, 5)}
    attention = planned.shards[3].measure == "attention"
    assert partly["attention" if attention else "failed"].isel(hole).isnull().all()
    assert run_sweep(planned.folder).complete
    assert results(planned.folder) == results(done)


@pytest.mark.slow
def test_a_failure_that_passes_is_told_and_leaves_no_trace_in_the_results(
    planned: Manifest, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, failed = Workbench.measured, []

    def once(self: Workbench, manifest: Manifest, shard: Any) -> xr.Dataset:
        if shard.name not in failed:
            failed.append(shard.name)
            raise RuntimeError("the network was away")
        return measured(self, manifest, shard)

    monkeypatch.setattr(Workbench, "measured", once)
    status = run_sweep(planned.folder)
    assert status.complete
    assert "(8 after a failure)" in str(status)
    assert results(planned.folder) == results(done)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_with_a_sentence_and_loses_nothing(
    planned: Manifest, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, 0

    def full(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="could not be written: No space left on device"):
            run_sweep(planned.folder)
    assert calls == 3
    assert len(results(planned.folder)) == 2
    assert run_sweep(planned.folder).complete
    assert results(planned.folder) == results(done)


def test_two_drivers_of_one_sweep_are_told_of_each_other(planned: Manifest) -> None:
    with (
        locked(planned.folder / ".driver", ""),
        pytest.raises(BlockingIOError, match="Another process runs the sweep in"),
    ):
        run_sweep(planned.folder)


@pytest.mark.slow
def test_a_manifest_that_changes_under_way_stops_the_sweep(
    planned: Manifest, models: list[ModelSource], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = plan_sweep(plan_of(models, seeds=[5]), tmp_path / "other")
    measured = Workbench.measured

    def changing(self: Workbench, manifest: Manifest, shard: Any) -> xr.Dataset:
        if shard.start == 3:
            shutil.copy(other.folder / manifests.FILE, planned.folder / manifests.FILE)
        return measured(self, manifest, shard)

    monkeypatch.setattr(Workbench, "measured", changing)
    with pytest.raises(ValueError, match="was replaced while the sweep ran"):
        run_sweep(planned.folder)
    assert not results(planned.folder).keys() & {f"{s.name}.zarr.zip" for s in other.shards[:1]}


@pytest.mark.slow
def test_a_result_that_was_cut_short_is_made_again(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "sweep"))
    cut = path_of(folder, Manifest.read(folder).shards[2].name)
    cut.write_bytes(cut.read_bytes()[:100])
    assert run_sweep(folder).complete
    assert results(folder) == results(done)


@pytest.mark.slow
def test_every_changed_byte_of_a_result_is_noticed_or_changes_nothing(
    done: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "sweep"))
    name = Manifest.read(folder).shards[0].name
    whole, file = read_shard(folder, name), path_of(folder, name)
    data = file.read_bytes()
    noticed = 0
    for at in range(0, len(data), 97):
        file.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            assert read_shard(folder, name).identical(whole)
        except ValueError:
            noticed += 1
    assert noticed > 0.7 * len(range(0, len(data), 97))


def test_a_status_says_what_is_left(planned: Manifest) -> None:
    status = sweep_status(planned.folder)
    assert status == Status(planned.folder, 8, frozenset(), (), {})
    assert str(status).endswith("0 of 8 shards are done, 8 are to be done.")


@pytest.mark.slow
def test_the_quantities_of_each_model_are_those_of_its_study(done: Path) -> None:
    table = model_quantities(done)
    assert table["model"].values.tolist() == list(WEIGHTS)
    assert table["family"].values.tolist() == list(WEIGHTS)
    assert table["n_parameters"].values.tolist() == open_sweep(done)["n_parameters"].values.tolist()
    for study in sweep_studies(done):
        own = table.sel(model=study.name)["estimate"]
        assert own.sel(quantity="accuracy") == study.accuracy
        for thought in study.effects["thought"].values:
            rate = study.importance["estimate"].sel(thought=thought)
            np.testing.assert_allclose(own.sel(quantity=f"importance {thought}"), rate)
        failed = study.effects["failed"].values
        np.testing.assert_allclose(own.sel(quantity="failure"), np.nanmean(failed))
        for label in study.effects["corruption"].values:
            rate = np.nanmean(study.effects["failed"].sel(corruption=label))
            np.testing.assert_allclose(own.sel(quantity=f"failure: {label}"), rate)
        spread = study.concentration["estimate"].sel(measure="effective_number")
        np.testing.assert_allclose(own.sel(quantity="attention: effective thoughts"), spread.mean())
        change = spread.isel(layer=-1) - spread.isel(layer=0)
        np.testing.assert_allclose(own.sel(quantity="attention: last less first layer"), change)
