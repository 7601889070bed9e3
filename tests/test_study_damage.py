"""A study loads as it was written or not at all, and the error says which file is damaged."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cot_attn.interventions import Resample, Zero
from cot_attn.report import page
from cot_attn.study import Study, run_study
from cot_attn.study._checksums import sealed
from cot_attn.study._naming import file_name
from cot_attn.study._storage import write_folder
from cot_attn.toy.handmade import handmade_model, handmade_problems

WEIGHTS = (1, 2, 8, 1, 3, 1)
STORES = ("attention.zarr", "effects.zarr")


@pytest.fixture(scope="module")
def study() -> Study:
    problems = handmade_problems(6, WEIGHTS)
    changes = [Zero(), Resample()]
    return run_study(handmade_model(WEIGHTS), problems, corruptions=changes, max_new_tokens=4)


@pytest.fixture(scope="module")
def saved(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study.save(tmp_path_factory.mktemp("whole") / "study")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the same problems with a model that reads another thought."""
    other = run_study(
        handmade_model((1, 1, 2, 8, 3, 1)),
        handmade_problems(6, WEIGHTS),
        corruptions=[Zero(), Resample()],
        max_new_tokens=5,
    )
    return other.save(tmp_path_factory.mktemp("another") / "study")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Iterator[Path]:
    copied = shutil.copytree(saved, tmp_path / "study")
    yield copied
    for path in copied.rglob("*"):  # so that it can be removed
        if not path.is_symlink():
            path.chmod(0o755)


def chunk(folder: Path, variable: str) -> Path:
    """Return the first chunk of a variable; the name may say of which store."""
    store, _, name = variable.rpartition("/")
    found = sorted(folder.glob(f"{store or '*'}/{name}/c/**/*"))
    return next(path for path in found if path.is_file())


def flipped(file: Path, place: float = 0.5, bit: int = 1) -> Path:
    data = bytearray(file.read_bytes())
    data[int(place * (len(data) - 1))] ^= bit
    file.write_bytes(data)
    return file


def cut(file: Path, to: float = 0.5) -> Path:
    data = file.read_bytes()
    file.write_bytes(data[: int(to * len(data))])
    return file


def gone(path: Path) -> Path:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


def written(file: Path, data: str | bytes) -> Path:
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def replaced(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    return written(file, text.replace(old, new, 1))


def as_folder(file: Path) -> Path:
    file.unlink()
    file.mkdir()
    return file


def looped(file: Path) -> Path:
    file.unlink()
    file.symlink_to(file)
    return file


def piped(file: Path) -> Path:
    file.unlink()
    os.mkfifo(file)
    return file


def moved(path: Path, name: str) -> Path:
    path.rename(path.with_name(name))
    return path


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Edit study.json as a person would, and leave its checksums."""
    file = folder / "study.json"
    document = json.loads(file.read_text())
    change(document)
    return written(file, json.dumps(document, indent=2) + "\n")


def setting(name: str, value: object) -> Callable[[Path, Path], Path]:
    return lambda folder, _: edited(folder, lambda d: d["settings"].update({name: value}))


def exchanged(name: str) -> Callable[[Path, Path], Path]:
    """Take a file or a store from another study."""

    def exchange(folder: Path, another: Path) -> Path:
        gone(folder / name)
        copy = shutil.copytree if (another / name).is_dir() else shutil.copy
        copy(another / name, folder / name)
        return folder / name

    return exchange


def rewritten(folder: Path, variable: str, value: float) -> Path:
    """Change a number with zarr itself, so that the store is a good one."""
    import zarr

    zarr.open(folder / "effects.zarr")[variable][...] = value  # type: ignore[index]
    return folder / "effects.zarr" / variable


def renamed(folder: Path, store: str, old: str, new: str) -> Path:
    return moved(folder / store / old, new)


VARIABLES = (
    "attention.zarr/attention",
    "attention.zarr/problem",
    "attention.zarr/layer",
    "attention.zarr/head",
    "attention.zarr/query",
    "attention.zarr/key",
    "attention.zarr/question_length",
    "attention.zarr/correct",
    "effects.zarr/failed",
    "effects.zarr/kl_value",
    "effects.zarr/logprob_baseline",
    "effects.zarr/baseline_correct",
    "effects.zarr/baseline_answer",
    "effects.zarr/problem",
    "effects.zarr/thought",
    "effects.zarr/corruption",
)
Damage = Callable[[Path, Path], Path]
DAMAGES: dict[str, Damage] = {
    **{f"no chunk of {name}": lambda f, _, n=name: gone(chunk(f, n)) for name in VARIABLES},
    **{f"a flipped bit of {name}": lambda f, _, n=name: flipped(chunk(f, n)) for name in VARIABLES},
    **{f"half a chunk of {name}": lambda f, _, n=name: cut(chunk(f, n)) for name in VARIABLES},
    **{f"no {name}": lambda f, _, n=name: gone(f / n) for name in VARIABLES},
    **{
        f"no metadata of {name}": lambda f, _, n=name: gone(f / n / "zarr.json")
        for name in VARIABLES
    },
    **{f"no {name}": lambda f, _, n=name: gone(f / n) for name in (*STORES, "problems.jsonl")},
    **{f"no group in {name}": lambda f, _, n=name: gone(f / n / "zarr.json") for name in STORES},
    **{
        f"a flipped bit of {name}": lambda f, _, n=name: flipped(f / n)
        for name in (
            "problems.jsonl",
            "study.json",
            "attention.zarr/zarr.json",
            "effects.zarr/failed/zarr.json",
        )
    },
    **{
        f"an empty {name}": lambda f, _, n=name: written(f / n, b"")
        for name in (
            "problems.jsonl",
            "study.json",
            "attention.zarr/zarr.json",
            "effects.zarr/failed/zarr.json",
        )
    },
    **{
        f"half of {name}": lambda f, _, n=name: cut(f / n)
        for name in (
            "problems.jsonl",
            "study.json",
            "attention.zarr/zarr.json",
            "effects.zarr/failed/zarr.json",
        )
    },
    **{
        f"a folder for {name}": lambda f, _, n=name: as_folder(f / n)
        for name in (
            "problems.jsonl",
            "study.json",
            "effects.zarr/zarr.json",
            "effects.zarr/failed/zarr.json",
        )
    },
    **{
        f"a link to itself for {name}": lambda f, _, n=name: looped(f / n)
        for name in ("problems.jsonl", "study.json", "effects.zarr/zarr.json")
    },
    **{
        f"a pipe for {name}": lambda f, _, n=name: piped(f / n)
        for name in ("problems.jsonl", "study.json", "effects.zarr/zarr.json")
    },
    **{f"another study's {name}": exchanged(name) for name in (*STORES, "effects.zarr/failed")},
    "a folder for a chunk": lambda f, _: as_folder(chunk(f, "failed")),
    "a file for a store": lambda f, _: written(gone(f / "effects.zarr"), b"effects"),
    "a file for a variable": lambda f, _: written(gone(f / "effects.zarr/failed"), b""),
    "an empty chunk": lambda f, _: written(chunk(f, "failed"), b""),
    "a chunk of zeros": lambda f, _: written(chunk(f, "failed"), bytes(64)),
    "a longer chunk": lambda f, _: written(
        chunk(f, "kl_value"), chunk(f, "kl_value").read_bytes() + b"0"
    ),
    "chunks exchanged": lambda f, _: written(chunk(f, "kl_value"), chunk(f, "failed").read_bytes()),
    "a chunk more": lambda f, _: written(chunk(f, "failed").with_name("1"), b"1"),
    "a variable more": lambda f, _: shutil.copytree(
        f / "effects.zarr/failed", f / "effects.zarr/survived"
    ),
    "a renamed variable": lambda f, _: renamed(f, "effects.zarr", "failed", "broken"),
    "a renamed store": lambda f, _: moved(f / "effects.zarr", "results.zarr"),
    "renamed problems": lambda f, _: moved(f / "problems.jsonl", "questions.jsonl"),
    "a number written with zarr": lambda f, _: rewritten(f, "failed", 0),
    "truths written with zarr": lambda f, _: rewritten(f, "baseline_correct", False),
    "another shape": lambda f, _: replaced(f / "effects.zarr/failed/zarr.json", "6", "3"),
    "another type": lambda f, _: replaced(
        f / "effects.zarr/failed/zarr.json", "float64", "float32"
    ),
    "another fill value": lambda f, _: replaced(
        f / "effects.zarr/failed/zarr.json", "NaN", "Infinity"
    ),
    "other attributes": lambda f, _: replaced(f / "effects.zarr/zarr.json", "input", "hidden"),
    "metadata that are no JSON": lambda f, _: written(f / "effects.zarr/zarr.json", "{"),
    "half of the problems": lambda f, _: written(
        f / "problems.jsonl", "".join((f / "problems.jsonl").read_text().splitlines(True)[:3])
    ),
    "problems in another order": lambda f, _: written(
        f / "problems.jsonl", "".join((f / "problems.jsonl").read_text().splitlines(True)[::-1])
    ),
    "a problem twice": lambda f, _: written(
        f / "problems.jsonl", 2 * (f / "problems.jsonl").read_bytes()
    ),
    "another answer": lambda f, _: replaced(f / "problems.jsonl", '"answer": "', '"answer": "1'),
    "Windows' ends of lines": lambda f, _: written(
        f / "problems.jsonl", (f / "problems.jsonl").read_bytes().replace(b"\n", b"\r\n")
    ),
    "problems in UTF-16": lambda f, _: written(
        f / "problems.jsonl", (f / "problems.jsonl").read_text().encode("utf-16")
    ),
    "problems that are no UTF-8": lambda f, _: written(f / "problems.jsonl", b"\xff\xfe\x00"),
    "settings in UTF-16": lambda f, _: written(
        f / "study.json", (f / "study.json").read_text().encode("utf-16")
    ),
    "settings that are no UTF-8": lambda f, _: written(
        f / "study.json", b'{"format_version": "\xff"}'
    ),
    "settings with a byte order mark": lambda f, _: written(
        f / "study.json", b"\xef\xbb\xbf" + (f / "study.json").read_bytes()
    ),
    "settings with a space more": lambda f, _: replaced(f / "study.json", "{", "{ "),
    "settings in another order": lambda f, _: edited(f, lambda d: d.update(files=d.pop("files"))),
    "a setting twice": lambda f, _: replaced(
        f / "study.json", '    "seed"', '    "seed": 1,\n    "seed"'
    ),
    "settings that go on": lambda f, _: written(
        f / "study.json", (f / "study.json").read_text() + "{}"
    ),
    "settings that are a list": lambda f, _: written(f / "study.json", "[]"),
    "settings that are a number": lambda f, _: written(f / "study.json", "2"),
    "settings that are nothing": lambda f, _: written(f / "study.json", "{}"),
    "settings that are null": lambda f, _: written(f / "study.json", "null"),
    "settings too deep": lambda f, _: written(f / "study.json", "[" * 100_000),
    "a number too long": lambda f, _: written(f / "study.json", "1" * 10_000),
    "only a version": lambda f, _: written(f / "study.json", '{"format_version": 2}'),
    "no version": lambda f, _: edited(f, lambda d: d.pop("format_version")),
    "an older version": lambda f, _: edited(f, lambda d: d.update(format_version=1)),
    "a newer version": lambda f, _: edited(f, lambda d: d.update(format_version=3)),
    "a version in words": lambda f, _: edited(f, lambda d: d.update(format_version="two")),
    "no checksum of the settings": lambda f, _: edited(f, lambda d: d.pop("sha256")),
    "no checksums": lambda f, _: edited(f, lambda d: d.pop("files")),
    "a checksum less": lambda f, _: edited(f, lambda d: d["files"].pop("problems.jsonl")),
    "checksums that are a list": lambda f, _: edited(f, lambda d: d.update(files=[])),
    "no settings": lambda f, _: edited(f, lambda d: d.pop("settings")),
    "NaN among the settings": setting("seconds", float("nan")),
    "infinity among the settings": lambda f, _: replaced(
        f / "study.json", '"seed": 0', '"seed": 1e999'
    ),
    "wrong n_layers": setting("n_layers", 12),
    "fewer n_layers": setting("n_layers", 1),
    "wrong n_thoughts": setting("n_thoughts", 5),
    "wrong n_problems": setting("n_problems", 12),
    "another seed": setting("seed", 1),
    "another query": setting("query", "bot"),
    "other corruptions": setting("corruptions", ["zero"]),
    "a layer in words": setting("n_layers", "two"),
    "another checkpoint": setting("checkpoint", "0" * 12),
    **{
        f"no setting {name}": lambda f, _, n=name: edited(f, lambda d: d["settings"].pop(n))
        for name in ("model", "query", "seed", "n_layers", "corruptions")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_study_does_not_load_and_the_error_names_the_file(
    folder: Path, another: Path, damage: Damage
) -> None:
    where = damage(folder, another)  # of a copy; that copies load is tested below
    with pytest.raises(
        (ValueError, FileNotFoundError), match=r"[Cc]opy the folder again"
    ) as caught:
        Study.load(folder)
    assert type(caught.value) in (ValueError, FileNotFoundError)
    # A variable that was removed is missed by one of its files.
    assert str(where) in str(caught.value)


def test_at_least_forty_kinds_of_damage_are_tried() -> None:
    assert len(DAMAGES) >= 40


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(
    "name", ["study.json", "problems.jsonl", "effects.zarr/zarr.json", "effects.zarr"]
)
def test_what_may_not_be_read_is_named(folder: Path, name: str) -> None:
    (folder / name).chmod(0)
    with pytest.raises(ValueError, match=name):
        Study.load(folder)


@pytest.mark.slow
@pytest.mark.parametrize("given", ["nowhere", "problems.jsonl", "effects.zarr", "study.json/more"])
def test_what_is_no_study_is_told_from_a_damaged_one(folder: Path, given: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a study: it has no study\.json"):
        Study.load(folder / given)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_flipped_bit_and_no_cut_anywhere_loads(folder: Path, data: st.DataObject) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.sampled_from([0, *(1 << i for i in range(8))]))
    file.write_bytes(
        whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :] if bit else whole[:place]
    )
    with pytest.raises(ValueError, match=file.name):
        Study.load(folder)
    file.write_bytes(whole)
    Study.load(folder)


def test_what_stands_beside_a_study_does_not_damage_it(study: Study, folder: Path) -> None:
    for name in (".DS_Store", "notes.txt", "effects.zarr/.DS_Store", "effects.zarr/failed/._c"):
        (folder / name).write_bytes(b"\x00")
    (folder / "effects.zarr" / "Thumbs.db").write_bytes(b"")
    (folder / "tables").mkdir()
    xr.testing.assert_identical(Study.load(folder).effects, study.effects)


def test_a_study_loads_from_a_copy_and_through_a_link(
    study: Study, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    shutil.move(folder / "problems.jsonl", tmp_path / "elsewhere.jsonl")
    (folder / "problems.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    assert Study.load(tmp_path / "link").settings == study.settings


@pytest.mark.slow
def test_a_report_and_its_tables_leave_the_study_whole(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.save(tmp_path / file_name(study.name))
    before = (folder / "study.json").read_bytes()
    # What the page says is not looked at here; it takes a while to draw.
    monkeypatch.setattr(page, "figures", lambda *targets: [])
    monkeypatch.setattr(page, "render", lambda studies: "<html>")
    for written_again in (study, Study.load(folder)):
        page.write_report([written_again], tmp_path)
    assert (folder / "tables").is_dir()
    loaded = Study.load(folder)
    xr.testing.assert_identical(loaded.effects, study.effects)
    xr.testing.assert_identical(loaded.attention, study.attention)
    assert loaded.problems == study.problems
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.slow
def test_the_same_study_is_saved_as_the_same_checksums(study: Study, tmp_path: Path) -> None:
    files = [study.save(tmp_path / name) / "study.json" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()


# Parts that were written well, and do not belong together ------------------------------------


def attention_of(study: Study, **changes: Any) -> dict[str, Any]:
    return {"attention": study.attention.assign_coords(**changes)}


Change = Callable[[Study], dict[str, Any]]
APART: dict[str, Change] = {
    "wrong n_layers": lambda s: {"settings": {**s.settings, "n_layers": 1}},
    "wrong n_thoughts": lambda s: {"settings": {**s.settings, "n_thoughts": 5}},
    "wrong n_problems": lambda s: {"settings": {**s.settings, "n_problems": 7}},
    "other corruptions": lambda s: {"settings": {**s.settings, "corruptions": ["zero"]}},
    "corruptions in another order": lambda s: {
        "settings": {**s.settings, "corruptions": s.settings["corruptions"][::-1]}
    },
    "corruptions that are no texts": lambda s: {"settings": {**s.settings, "corruptions": [1, 2]}},
    "another query": lambda s: {"settings": {**s.settings, "query": "eos"}},
    "another checkpoint": lambda s: {"settings": {**s.settings, "checkpoint": "0"}},
    "another site": lambda s: {"settings": {**s.settings, "site": "kv"}},
    "another downstream": lambda s: {"settings": {**s.settings, "downstream": "frozen"}},
    "another seed": lambda s: {"settings": {**s.settings, "seed": 5}},
    "a seed in words": lambda s: {"settings": {**s.settings, "seed": "0"}},
    "a truth for a number": lambda s: {"settings": {**s.settings, "n_layers": True}},
    "fewer problems": lambda s: {"problems": s.problems[:3]},
    "fewer effects": lambda s: {"effects": s.effects.isel(problem=slice(3))},
    "fewer rows of attention": lambda s: {"attention": s.attention.isel(problem=slice(3))},
    "fewer thoughts": lambda s: {"effects": s.effects.isel(thought=slice(3))},
    "fewer keys": lambda s: {"attention": s.attention.drop_sel(key="thought 2")},
    "other layers": lambda s: attention_of(s, layer=[0, 7]),
    "a layer twice": lambda s: attention_of(s, layer=[0, 0]),
    "a corruption twice": lambda s: {"effects": s.effects.assign_coords(corruption=["zero"] * 2)},
    "no failed": lambda s: {"effects": s.effects.drop_vars("failed")},
    "a renamed variable": lambda s: {"attention": s.attention.rename(attention="weights")},
    "a renamed dimension": lambda s: {"attention": s.attention.rename(layer="block")},
    "turned dimensions": lambda s: {"effects": s.effects.transpose("thought", ...)},
    "no baseline_correct": lambda s: {"effects": s.effects.drop_vars("baseline_correct")},
    "no difficulty": lambda s: {"effects": s.effects.drop_vars("difficulty")},
    "a failed that is a truth": lambda s: {
        "effects": s.effects.assign(failed=s.effects.failed == 1)
    },
    "a failed of a half": lambda s: {
        "effects": s.effects.assign(failed=s.effects.failed * 0 + 0.5)
    },
    "a failed of nothing": lambda s: {
        "effects": s.effects.assign(failed=s.effects.failed * np.nan)
    },
    "baselines that were wrong": lambda s: {
        "effects": s.effects.assign_coords(baseline_correct=~s.effects.baseline_correct)
    },
    **{
        f"no setting {name}": lambda s, n=name: {
            "settings": {key: value for key, value in s.settings.items() if key != n}
        }
        for name in ("model", "query", "seed", "n_layers", "n_problems", "corruptions", "versions")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("change", APART.values(), ids=APART.keys())
def test_parts_that_contradict_each_other_are_neither_saved_nor_loaded(
    study: Study, saved: Path, tmp_path: Path, change: Change
) -> None:
    changed = change(study)
    names = ("attention", "effects", "problems", "settings")
    parts = {**{name: getattr(study, name) for name in names}, **changed}
    with pytest.raises(ValueError, match="do not fit together"):
        Study(**parts).save(tmp_path / "study")
    assert not (tmp_path / "study").exists()
    arrays = {"attention": parts["attention"], "effects": parts["effects"]}
    if changed.keys() == {"settings"}:  # all else is as it was saved
        folder = shutil.copytree(saved, tmp_path / "study")
        document = json.loads((folder / "study.json").read_bytes())
        document = {**document, **changed}
        del document["sha256"]
        (folder / "study.json").write_bytes(sealed(document))
    else:
        folder = write_folder(tmp_path / "study", arrays, parts["settings"], parts["problems"])
    with pytest.raises(ValueError, match=r"does not fit together .* [Cc]opy the folder again"):
        Study.load(folder)


@pytest.mark.parametrize("broken", [{"files": []}, {"settings": None}, {"files": {"a": 1}}, {}])
def test_settings_that_were_written_by_something_else_are_refused(
    folder: Path, broken: dict[str, object]
) -> None:
    file = folder / "study.json"
    file.write_bytes(sealed({"format_version": 2, **broken}))
    with pytest.raises(ValueError, match=r"study\.json"):
        Study.load(folder)
