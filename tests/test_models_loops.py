"""Each loop feeds what its paper says: against a plain loop that is written from the papers."""

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import BUILDERS, noise_floor_left_out, wrap
from cot_attn.data import Problem
from cot_attn.interventions import Intervention, Zero, run_variants
from cot_attn.models import (
    Constant,
    ContinuousThoughtModel,
    Feedback,
    Identity,
    Linear,
    MixtureOfInputs,
    Moment,
    Noisy,
    Rescaled,
    Sampled,
    SoftThinking,
    validate,
)
from cot_attn.recording import AttentionRecorder
from plain_loop import PlainLoop, divergence

N_THOUGHTS, N_NEW, SEED = 3, 5, 4


def plain_generator(*labels: object) -> torch.Generator:
    digest = hashlib.sha256("\x1f".join(map(str, labels)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def plain_weights(logits: Tensor, temperature: float, top_k: int | None, top_p: float) -> Tensor:
    """One row, token by token in the order of their probability."""
    p = torch.softmax(logits.double() / temperature, dim=-1).tolist()
    order = sorted(range(len(p)), key=lambda token: -p[token])
    order = order[: top_k or len(p)]
    total, reached, kept = sum(p[token] for token in order), 0.0, []
    for token in order:
        if reached >= top_p * total - 1e-12 and kept and top_p < 1:
            break
        kept.append(token)
        reached += p[token]
    weights = torch.zeros(len(p), dtype=torch.float64)
    for token in kept:
        weights[token] = p[token] / sum(p[each] for each in kept)
    return weights


def plain_draw(weights: Tensor, problem: str, thought: int) -> int:
    uniform = torch.rand(
        1, generator=plain_generator(SEED, "sampled", problem, thought), dtype=torch.float64
    )
    return int((weights.cumsum(0) <= uniform).sum())


# Each takes the Hugging Face model, hidden state, problem and thought.
Made = Callable[[torch.nn.Module, Tensor, str, int], Tensor]


def soft(model, hidden, problem, thought, *, temperature, top_k, top_p):
    weights = plain_weights(model.lm_head(hidden), temperature, top_k, top_p)
    return sum(
        weight * row
        for weight, row in zip(weights, model.get_input_embeddings().weight, strict=True)
    )


def sampled(model, hidden, problem, thought, *, temperature, top_k, top_p):
    weights = plain_weights(model.lm_head(hidden), temperature, top_k, top_p)
    return model.get_input_embeddings().weight[plain_draw(weights, problem, thought)]


def mixed(model, hidden, problem, thought, *, beta):
    p = plain_weights(model.lm_head(hidden), 1.0, None, 1.0)
    entropy = -sum(float(each) * np.log(float(each)) for each in p if each > 0) / np.log(len(p))
    token = plain_draw(p, problem, thought)
    table = model.get_input_embeddings().weight
    total = 0
    for i, row in enumerate(table):
        total = total + (entropy * p[i] + (beta + 1 - entropy) * (i == token)) / (beta + 1) * row
    return total


def noisy(model, hidden, problem, thought, *, std):
    epsilon = torch.randn(len(hidden), generator=plain_generator(SEED, "noisy", problem, thought))
    return hidden + std * epsilon


def constant(model, hidden, problem, thought, *, token):
    return model.get_input_embeddings().weight[token]


def rescaled(model, hidden, problem, thought):
    norm = torch.stack([row.norm() for row in model.get_input_embeddings().weight]).mean()
    return hidden / hidden.norm() * norm


def linear(model, hidden, problem, thought, *, loop):
    mapped = loop.map.weight @ hidden + loop.map.bias
    centred = mapped - mapped.mean()
    return centred / (centred.pow(2).mean() + 1e-5).sqrt() * loop.norm.weight + loop.norm.bias


def pair(name: str, embedding: Tensor) -> tuple[Feedback, Made]:
    filters = {"temperature": 0.7, "top_k": 6, "top_p": 0.8}
    torch.manual_seed(5)
    mapped = Linear(32, layer_norm=True)
    return {
        "soft": (SoftThinking(**filters), partial(soft, **filters)),
        "soft, all tokens": (
            SoftThinking(),
            partial(soft, temperature=1.0, top_k=None, top_p=1.0),
        ),
        "sampled": (Sampled(**filters, seed=SEED), partial(sampled, **filters)),
        "mixture of inputs": (MixtureOfInputs(0.5, seed=SEED), partial(mixed, beta=0.5)),
        "noisy": (Noisy(Identity(), 0.3, seed=SEED), partial(noisy, std=0.3)),
        "constant": (Constant(embedding[7]), partial(constant, token=7)),
        "rescaled": (Rescaled(), rescaled),
        "linear": (mapped, partial(linear, loop=mapped)),
    }[name]


LOOPS = [
    "soft",
    "soft, all tokens",
    "sampled",
    "mixture of inputs",
    "noisy",
    "constant",
    "rescaled",
    "linear",
]


class Loop:
    """A model with a loop, a plain one of the same weights, and what that one does."""

    def __init__(self, name: str, architecture: str, questions: list[str]) -> None:
        models = []
        for _ in range(2):
            torch.manual_seed(11)
            models.append(BUILDERS[architecture](2))
        feedback, self.made = pair(name, models[0].get_input_embeddings().weight)
        self.model = wrap(models[0], feedback, N_THOUGHTS)
        self.plain_model = models[1]
        self.problems = [
            Problem(f"p{i}", text, "w0", answer_type="text") for i, text in enumerate(questions)
        ]
        self.plain = [self.run(problem) for problem in self.problems]
        self.problems = [  # what it says is right
            Problem(
                problem.id,
                problem.question,
                self.model.decode(plain.answer) or "w0",
                answer_type="text",
            )
            for problem, plain in zip(self.problems, self.plain, strict=True)
        ]

    @torch.no_grad()
    def run(self, problem: Problem, edits=None, inputs=None, words=None):
        calls = iter(range(N_THOUGHTS))
        fixed = set(inputs or {})

        def transform(hidden: Tensor) -> Tensor:
            index = next(each for each in calls if each not in fixed)
            return self.made(self.plain_model, hidden, problem.id, index).float()

        tokens = self.model.tokenizer(problem.question)["input_ids"]
        loop = PlainLoop(self.plain_model, transform, self.model.template, N_THOUGHTS, N_NEW)
        return loop.run(tokens, edits, inputs=inputs, words=words)


@pytest.fixture(scope="module", params=LOOPS)
def loop(request, questions) -> Loop:
    architecture = "llama" if request.param in ("soft", "sampled", "rescaled") else "gpt2"
    return Loop(request.param, architecture, questions[:3])


@pytest.mark.slow
def test_a_run_is_that_of_the_plain_loop(loop):
    run = loop.model.run(loop.problems, max_new_tokens=N_NEW)
    for row, plain in enumerate(loop.plain):
        torch.testing.assert_close(run.thoughts[row], plain.thoughts, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(run.first_logits[row], plain.logits[0], rtol=1e-3, atol=1e-4)
        n = plain.decided(loop.model.template)
        assert run.answer_tokens[row][:n] == plain.answer[:n]


def test_batch_and_order_do_not_matter(loop):
    together = loop.model.think(loop.problems).thoughts
    backwards = loop.model.think(loop.problems[::-1], batch_size=2).thoughts.flip(0)
    torch.testing.assert_close(together, backwards, rtol=1e-4, atol=1e-5)


def test_a_recorder_sees_what_the_plain_loop_attends_to(loop):
    with AttentionRecorder(loop.model) as recorder:
        loop.model.run(loop.problems, max_new_tokens=N_NEW)
    attention = recorder.dataset()["attention"]
    for problem, plain in zip(loop.problems, loop.plain, strict=True):
        start = len(loop.model.tokenizer(problem.question)["input_ids"]) + 1
        found = attention.sel(problem=problem.id, query="eot", key="thought 1")
        expected = plain.patterns[:, :, start + N_THOUGHTS, start + 1]
        np.testing.assert_allclose(found.transpose("layer", "head"), expected, atol=1e-5)
    sums = attention.sum("key").where(attention.notnull().all("key"))
    np.testing.assert_allclose(sums.values[np.isfinite(sums.values)], 1, atol=1e-5)


DOWNSTREAM = {each: Intervention(1, Zero(), downstream=each) for each in ("recompute", "frozen")}


@pytest.fixture(scope="module")
def without_thought_1(loop):
    changes = list(DOWNSTREAM.values())
    with noise_floor_left_out():
        return run_variants(
            loop.model, loop.problems, changes, ["kl_first"], max_new_tokens=N_NEW, batch_size=4
        )


@pytest.mark.slow
@pytest.mark.parametrize("downstream", DOWNSTREAM)
def test_variants_are_those_of_the_plain_loop(loop, without_thought_1, downstream):
    change, results = DOWNSTREAM[downstream], without_thought_1
    moved = []
    for row, problem in enumerate(loop.problems):
        clean = loop.plain[row]
        if problem.answer not in loop.model.decode(clean.answer):
            continue  # says nothing, which is never right
        fed = enumerate(clean.thoughts)
        inputs = {index: thought for index, thought in fed if index < 2 or downstream == "frozen"}
        changed = loop.run(problem, {("input", 1): torch.zeros_like}, inputs, words=[0])
        expected = divergence(clean.logits[0], changed.logits[0])
        found = float(results["kl_first"].sel(variant=change.label, problem=problem.id))
        assert found == pytest.approx(expected, rel=0.02, abs=5e-6)
        moved.append(expected)
    assert len(moved) >= 2
    assert max(moved) > 1e-4  # so that a change that is not made is seen


def test_every_self_check_holds(loop):
    assert len(validate(loop.model)) == 5


@pytest.mark.slow
def test_it_is_saved_and_loads_again(loop, tmp_path):
    loop.model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert repr(again.feedback) == repr(loop.model.feedback)
    expected, found = (each.run(loop.problems, max_new_tokens=2) for each in (loop.model, again))
    torch.testing.assert_close(found.thoughts, expected.thoughts)
    assert found.answers == expected.answers


@pytest.mark.slow
def test_results_say_how_a_loop_was_set():
    said = {
        wrap(BUILDERS["gpt2"](), feedback).provenance().get("feedback")
        for feedback in (SoftThinking(1.0), SoftThinking(2.0), Noisy(Identity(), 0.1, seed=1))
    }
    assert len(said) == 3
    assert any(str(each).startswith("SoftThinking") and "2.0" in str(each) for each in said)
    assert "feedback" not in wrap(BUILDERS["gpt2"](), Identity()).provenance()


@pytest.mark.slow
def test_another_seed_draws_otherwise(questions):
    torch.manual_seed(11)
    hf_model = BUILDERS["gpt2"]()
    for make in (lambda seed: Sampled(seed=seed), lambda seed: Noisy(Identity(), 1.0, seed=seed)):
        one, other = (wrap(hf_model, make(seed)).think(questions).thoughts for seed in (0, 1))
        assert not torch.equal(one, other)


def test_the_draws_of_one_problem_have_the_probabilities_of_its_tokens():
    loop, weights = Sampled(seed=3), torch.tensor([[0.5, 0.3, 0.0, 0.2]])
    n = 4000
    moment = Moment(BUILDERS["gpt2"](), tuple(f"p{i}" for i in range(n)), 0)
    drawn = loop.draw(weights.expand(n, -1), moment)
    shares = torch.bincount(drawn, minlength=4) / n
    assert shares[2] == 0
    assert (shares - weights[0]).abs().max() < 4 * (0.25 / n) ** 0.5


class Wrong(Feedback):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def transform(self, hidden: Tensor):
        return {
            "shape": hidden[..., :-1],
            "wider": torch.cat([hidden, hidden[..., :1]], dim=-1),
            "rows": hidden[:1],
            "dtype": hidden.double(),
            "kind": None,
            "finite": hidden / 0,
        }[self.how]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("shape", r"shape \(3, 31\).*shape \(3, 32\)"),
        ("wider", r"shape \(3, 33\).*shape \(3, 32\)"),
        ("rows", r"shape \(1, 32\)"),
        ("dtype", "torch.float64.*torch.float32"),
        ("kind", "None"),
        ("finite", "NaN or infinity.*of problem .* at thought 0"),
    ],
)
def test_what_a_loop_makes_is_checked(how, said, questions):
    torch.manual_seed(11)
    model = wrap(BUILDERS["gpt2"](), Wrong(how))
    with pytest.raises(Exception, match=said):
        model.think(questions[:3])


class Halved(Feedback):
    """Somebody's own loop."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def transform(self, hidden: Tensor) -> Tensor:
        return self.factor * hidden

    def settings(self):
        return {"factor": self.factor}


@pytest.mark.slow
def test_a_loop_of_ones_own_is_saved_by_name(tmp_path, questions):
    torch.manual_seed(11)
    model = wrap(BUILDERS["gpt2"](), Halved(0.5))
    model.save_pretrained(tmp_path / "own")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "own")
    assert again.feedback.factor == 0.5
    settings = tmp_path / "own" / "cot_attn.json"
    settings.write_text(settings.read_text().replace(".Halved", ".Gone"))
    with pytest.raises(ValueError, match=r"Gone\(\{'factor': 0.5\}\).*Import what defines it"):
        ContinuousThoughtModel.from_pretrained(tmp_path / "own")


def test_a_loop_that_does_not_say_its_settings_cannot_be_saved(tmp_path):
    torch.manual_seed(11)
    model = wrap(BUILDERS["gpt2"](), Wrong("shape"))
    with pytest.raises(TypeError, match=r"method settings\(\)"):
        model.save_pretrained(tmp_path / "wrong")


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftThinking(0.0),
        lambda: SoftThinking(top_k=0),
        lambda: SoftThinking(top_p=0.0),
        lambda: MixtureOfInputs(-1.0),
        lambda: Noisy(Identity(), -0.1),
        lambda: Rescaled(0.0),
        lambda: Constant(torch.tensor([float("nan")])),
    ],
)
def test_settings_that_mean_nothing_are_refused(make):
    with pytest.raises(ValueError, match=r"give a number|give at least|is to be"):
        make()
