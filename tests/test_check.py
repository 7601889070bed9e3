"""`cot-attn check` finds what is broken, says what is doubtful, and passes what is sound."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from conftest import BOT, EOS, EOT, tiny_gpt2, wrap
from cot_attn import check as checking
from cot_attn.check import check_model
from cot_attn.checkpoints import CheckpointInfo
from cot_attn.cli import app
from cot_attn.models import Constant, ContinuousThoughtModel, Feedback, Identity, Template
from cot_attn.models.validation import CHECKS


def random_model(feedback: Feedback | None = None, **template) -> ContinuousThoughtModel:
    torch.manual_seed(7)
    tokens = Template(bot=(BOT,), eot=(EOT,), eos=EOS)
    return wrap(tiny_gpt2(), feedback or Identity(), 3, replace(tokens, **template))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_bundled_models_pass(name):
    report = check_model(name, n=12)
    assert report.passed
    assert report.of("passed") == [*CHECKS, checking._ALONE]
    assert report.of("looks wrong") == []
    assert "SHA-256" in str(report)
    assert "The answer is" in str(report)


@pytest.mark.slow
def test_a_model_that_is_not_deterministic_fails():
    class Dice(Feedback):
        def transform(self, hidden):
            return hidden + torch.randn_like(hidden)

    report = check_model(random_model(Dice()))
    assert not report.passed
    assert report.of("failed")[0].startswith("two runs agree")
    assert report.of("passed")[0] == "attention rows sum to 1"
    assert report.of("not run") == list(CHECKS[2:])


@pytest.mark.slow
def test_a_loop_that_looks_at_the_batch_fails():
    class Centred(Feedback):
        def transform(self, hidden):
            return hidden - hidden.mean(dim=0)

    report = check_model(random_model(Centred()))
    assert any(what.startswith(checking._ALONE) for what in report.of("failed"))


@pytest.mark.slow
def test_a_random_model_is_not_praised():
    report = check_model(random_model(), max_new_tokens=5)
    assert "0 of 6 answers are right" in " ".join(report.of("looks wrong"))
    assert "what accuracy it should have" in " ".join(report.of("not known"))


@pytest.mark.slow
def test_pause_tokens_are_noticed():
    report = check_model(random_model(Constant(torch.ones(32))), max_new_tokens=5)
    assert any(
        "all thoughts of a problem are the same" in each for each in report.of("looks wrong")
    )


@pytest.mark.slow
def test_answers_that_do_not_end_and_another_eos_are_noticed():
    report = check_model(random_model(eos=3, suppressed=(3, EOS)), max_new_tokens=5)
    said = " ".join(report.of("looks wrong"))
    assert "6 of 6 answers did not end within 5 tokens" in said
    assert f"answers end with token 3, the tokenizer's EOS is {EOS}" in said


@pytest.mark.slow
def test_an_accuracy_far_from_the_published_one_is_noticed(monkeypatch):
    info = CheckpointInfo("codi", "base", n_thoughts=6, published=0.95, reproduced=0.34)
    monkeypatch.setattr(checking, "known_checkpoints", lambda: {"tiny": info})
    model = random_model()
    model.name = "tiny"
    said = " ".join(check_model(model, max_new_tokens=3).of("looks wrong"))
    assert "95.0 of 100 are published for GSM8K, outside" in said
    assert "somebody else got 34.0" in said


@pytest.mark.slow
def test_the_command_says_by_its_status_what_it_found(tmp_path, monkeypatch):
    sound = CliRunner().invoke(app, ["check", "toy-gpt2"])
    assert sound.exit_code == 0, sound.output
    assert "passed:  two runs agree" in sound.output
    rows = [{"id": name, "question": f"{name} sets", "answer": "3"} for name in ("Ben", "Cleo")]
    (tmp_path / "two.json").write_text(json.dumps(rows))
    two = CliRunner().invoke(app, ["check", "toy-gpt2", "--problems", str(tmp_path / "two.json")])
    assert "'Ben sets' ->" in two.output, two.output
    monkeypatch.setattr(checking, "_alone", lambda *_: checking.Finding("failed", "something"))
    failing = CliRunner().invoke(
        app, ["check", "toy-gpt2", "--problems", str(tmp_path / "two.json")]
    )
    assert failing.exit_code == 1
    missing = CliRunner().invoke(app, ["check", str(tmp_path / "nothing")])
    assert missing.exit_code == 2
    assert "There is no folder or file" in missing.output
