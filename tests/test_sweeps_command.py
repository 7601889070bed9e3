"""`cot-attn sweep`: a plan is run, looked at and resumed from the terminal."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cot_attn.data import save_problems
from cot_attn.sweeps import open_sweep
from cot_attn.sweeps.command import app
from cot_attn.sweeps.shard_file import finished, path_of
from cot_attn.toy import handmade_model, handmade_problems


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.output or repr(result.exception)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    handmade_model((1, 4, 1)).save_pretrained(tmp_path / "one")
    save_problems(handmade_problems(4, (1, 4, 1)), tmp_path / "few.jsonl")
    file = tmp_path / "plan.toml"
    file.write_text(
        """
        problems = "few.jsonl"
        corruptions = "zero"
        max_new_tokens = 3
        problems_per_shard = 2
        models = ["one"]
        """
    )
    return file


@pytest.mark.slow
def test_a_plan_is_run_looked_at_and_resumed(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, shown = run(plan, "--out", out)
    assert code == 0, shown
    assert "4 of 4 shards are done" in shown
    assert f"open_sweep({str(out)!r})" in shown
    path_of(out, sorted(finished(out))[0]).unlink()
    assert "3 of 4 shards are done, 1 are to be done" in run("status", out)[1]
    assert run("resume", out)[0] == 0
    assert dict(open_sweep(out)["failed"].sizes)["problem"] == 4


@pytest.mark.slow
def test_the_default_folder_is_called_as_the_plan(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("run", plan)[0] == 0
    assert len(finished(tmp_path / "sweeps" / "plan")) == 4


def test_bad_input_is_a_sentence(plan: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        ((tmp_path / "none.toml",), "There is no plan"),
        ((plan, "--engine", "abacus"), "accepted: processes, ray, submitit"),
        (("status", tmp_path), "is not a sweep"),
        (("resume", tmp_path), "is not a sweep"),
        ((plan, "--out", tmp_path), "is not empty and is no sweep"),
    ):
        code, shown = run(*arguments)
        assert code == 2
        assert sentence in " ".join(shown.split())


@pytest.mark.slow
def test_what_was_given_up_is_said_and_is_no_success(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    from cot_attn.sweeps import Plan, plan_sweep

    plan_sweep(Plan.read(plan), out)
    (tmp_path / "one" / "model.safetensors").unlink()
    code, shown = run("resume", out)
    assert code == 1
    assert "4 were given up" in shown
    assert "model.safetensors" in shown
