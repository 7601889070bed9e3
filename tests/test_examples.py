"""Every example runs, small, and says what it did."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from checkpoint_files import CODI, SAID, Golden
from conftest import tiny_llama, tiny_tokenizer
from cot_attn import ContinuousThoughtModel, Study
from cot_attn.report import page

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parent.parent / "examples"
IMAGES = EXAMPLES.parent / "docs" / "images"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in this process, which has imported what it needs."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def one_figure(monkeypatch):
    """Let one figure stand for all of a report, where nothing is said of them; they take long."""
    of_all = page.figures
    monkeypatch.setattr(page, "figures", lambda *places: of_all(*places)[:1])


def test_quickstart_shows_an_answer_and_a_correlation_for_each_layer(run):
    said = run("quickstart.py", 24)
    assert "-> The answer is" in said
    assert [line.split(":")[0] for line in said.splitlines()[-4:]] == [
        f"layer {layer}" for layer in range(4)
    ]


@pytest.mark.usefixtures("one_figure", "figures_not_laid_out")
def test_two_models_are_compared_and_drawn(run, tmp_path):
    said = run("two_models.py", "--n", 12, "--out", tmp_path / "out")
    assert "toy-gpt2: " in said
    assert "toy-llama: " in said
    assert (tmp_path / "out" / "importance_beside_attention.pdf").stat().st_size > 1000
    assert "toy-llama" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("figures_not_laid_out")
def test_it_is_said_whether_thoughts_are_used_and_when_the_answer_is_there(run, tmp_path):
    said = run("is_the_thought_used.py", "--n", 24, "--out", tmp_path / "out")
    assert "Content used: with another problem's thoughts" in said
    assert "difficulty 3: half are right for good after 3 thoughts" in said
    assert (tmp_path / "out" / "exits.png").stat().st_size > 1000


@pytest.mark.usefixtures("figures_not_laid_out")
def test_a_thought_carries_what_is_predicted(run, tmp_path):
    options = ("--n", 10, "--sources", 1, "--out", tmp_path / "out")
    said = run("what_does_it_carry.py", *options)
    assert "thought 2: 100% as predicted" in said
    assert (tmp_path / "out" / "interchange.pdf").stat().st_size > 1000


def test_the_published_study_is_drawn_and_its_mistakes_are_named(run, tmp_path):
    said = run("published_study.py", tmp_path / "out")
    assert "fail: Attention is not 1/length. GPT-2 CODI (124M), layer 8" in said
    assert "fail: Layers differ" in said
    assert not [line for line in said.splitlines() if line.startswith("fail") and "LLaMA" in line]
    words = [
        re.findall(r"<text[^>]*>(.*?)</text>", file.read_text())
        for file in (tmp_path / "out" / "published_study.svg", IMAGES / "published_study.svg")
    ]
    assert words[0] == words[1], "python examples/published_study.py docs/images"
    assert all(any(f"layer {layer}" in word for word in words[0]) for layer in (8, 11, 14))


@pytest.mark.usefixtures("one_figure", "figures_not_laid_out")
def test_your_checkpoint_studies_a_checkpoint_in_the_official_format(run, tmp_path):
    questions = Golden(CODI).questions[:4]
    model = ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI])
    answers = model.generate(questions, max_new_tokens=4)
    rows = [
        {
            "id": f"p{i}",
            "question": question,
            "answer": answer,
            "answer_type": "text",
        }
        for i, (question, answer) in enumerate(zip(questions, answers, strict=True))
    ]
    problems = tmp_path / "problems.jsonl"
    problems.write_text("\n".join(map(json.dumps, rows)))
    said = run(
        "your_checkpoint.py", CODI, "--base", CODI / "base", "--lora-alpha", 32,
        "--n-thoughts", 6, "--problems", problems, "--n", 4, "--max-new-tokens", 4,
        "--out", tmp_path / "study",
    )  # fmt: skip
    assert "family    codi" in said
    assert "4 of 4 right" in said
    assert len(Study.load(tmp_path / "study").problems) == 4
    assert "codi_gpt2" in (tmp_path / "study" / "report.html").read_text()


def test_any_language_model_thinks(run, tmp_path):
    import torch

    torch.manual_seed(3)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "w1 {{ messages[0]['content'] }} w2"
    tiny_llama().save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    options = ("--n", 2, "--thoughts", 3, "--max-new-tokens", 3, "--eot", "w5 w6")
    said = run("any_language_model.py", tmp_path / "base", *options)
    assert "without thoughts: [" in said
    for loop in ("the hidden state", "Soft Thinking", "Mixture of Inputs", "sampled words"):
        assert f"{loop}: [" in said
    assert said.count("of EOT's attention is on thoughts; shares [") == 5


@pytest.mark.usefixtures("figures_not_laid_out")
def test_capacity_prints_both_rows_and_draws_them(run, tmp_path):
    said = run("capacity.py")
    assert said.count("attention: effective thoughts") == 2
    for row in ("equal-steps", "equal-accuracy"):
        assert (tmp_path / f"capacity-{row}.png").stat().st_size > 10_000
