"""What is not finite is an error that names the problem and the stage, and never a result."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from conftest import BOT, BUILDERS, EOS, EOT, wrap
from cot_attn.data import Problem
from cot_attn.interventions import (
    Intervention,
    TokenAblator,
    Zero,
    apply_interventions,
    collect,
    run_variants,
)
from cot_attn.models import (
    Answer,
    Close,
    ContinuousThoughtModel,
    Identity,
    Projection,
    Prompt,
    Stage,
    Template,
    Thought,
)
from cot_attn.models.finite import NotFiniteError, check_finite
from cot_attn.recording import AttentionRecorder, PositionRecorder

LENGTHS = (5, 1, 9, 3)


def asked(lengths: tuple[int, ...] = LENGTHS) -> list[Problem]:
    return [
        Problem(f"p{i}", " ".join(f"w{(3 * i + j) % 30}" for j in range(n)), "w0", "text")
        for i, n in enumerate(lengths)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", BUILDERS)
def test_a_padded_batch_is_finite_and_what_each_question_gives_alone(
    architecture: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(7)
    model = wrap(BUILDERS[architecture]().to(dtype), Identity())
    together = model.run(asked(), max_new_tokens=5)
    scale = float(together.thoughts.abs().max())
    for row, problem in enumerate(asked()):
        alone = model.run([problem], max_new_tokens=5)
        off = float((together.thoughts[row] - alone.thoughts[0]).abs().max())
        # Attention is float32 within, whatever the model's type.
        assert off <= max(100 * torch.finfo(dtype).eps, 1e-6) * scale
        if dtype in (torch.float64, torch.float32):
            assert together.answer_tokens[row] == alone.answer_tokens[0]
    assert not any(point.fwd_hooks for point in model.bridge.hook_points())


def test_a_padded_float64_batch_is_what_hugging_face_gives_without_padding() -> None:
    torch.manual_seed(7)
    network = BUILDERS["llama"]().to(torch.float64)
    torch.manual_seed(7)
    model = wrap(BUILDERS["llama"]().to(torch.float64), Identity(), n_thoughts=1)
    run = model.think(asked())
    for row, tokens in enumerate(run.question_tokens):
        ids = torch.tensor([[*tokens, *model.template.bot]])
        with torch.no_grad():
            hidden = network(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(run.thoughts[row, 0], hidden[0, -1], atol=1e-6, rtol=1e-6)


def spoilt(model: ContinuousThoughtModel, value: float, row: int) -> Callable[..., Tensor]:
    def spoil(activation: Tensor, hook: object) -> Tensor:
        result = activation.clone()
        result[row] = value
        return result

    return spoil


@pytest.mark.slow
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("blocks.1.hook_out", Prompt()),
        ("feedback.hook_out", Thought(0)),
        ("feedback.hook_in", Thought(3)),
        ("blocks.0.attn.hook_v", Thought(2)),
        ("blocks.2.hook_out", Close()),
        ("blocks.0.hook_in", Answer(1)),
    ],
    ids=str,
)
def test_a_run_names_problem_and_stage(
    name: str, stage: Stage, value: float, tiny: ContinuousThoughtModel
) -> None:
    said = f"problem 'p2'.* at {stage}".replace("(", r"\(").replace(")", r"\)")
    with (
        AttentionRecorder(tiny) as rows,
        PositionRecorder(tiny) as positions,
        tiny.hooks([(name, spoilt(tiny, value, 2))], stages=[stage]),
        pytest.raises(ValueError, match=said),
    ):
        tiny.run(asked(), max_new_tokens=4)
    assert not positions.problems
    with pytest.raises(ValueError, match="Nothing was recorded"):
        rows.dataset()
    assert tiny.running is None


@pytest.mark.parametrize("column", [0, 7, 59])
def test_a_damaged_unembedding_is_found_in_the_logits(column: int) -> None:
    model = wrap(BUILDERS["gpt2"](), Identity())
    head = torch.nn.Linear(32, 60, bias=False)
    head.weight.data[column, 3] = torch.nan
    model.bridge.original_model.set_output_embeddings(head)
    with pytest.raises(ValueError, match=r"Logits of problem 'p0' \(and 3 more\) at Close\(\)"):
        model.think(asked())


def test_logits_that_are_not_finite_later_are_found_too() -> None:
    torch.manual_seed(1)
    model = wrap(BUILDERS["gpt2"](), Identity())
    head = torch.nn.Linear(32, 60, bias=False)
    model.bridge.original_model.set_output_embeddings(head)

    def damage(activation: Tensor, hook: object) -> None:
        head.weight.data[5, 3] = torch.nan

    with (
        pytest.raises(ValueError, match=r"Logits of problem .* at Answer\(index=1\)"),
        model.hooks([("blocks.0.hook_out", damage)], stages=[Answer(1)]),
    ):
        model.run(asked(), max_new_tokens=4)


def test_float16_that_overflows_is_an_error_and_float32_is_not() -> None:
    def run(dtype: torch.dtype) -> ContinuousThoughtModel:
        torch.manual_seed(1)
        network = BUILDERS["gpt2"]()
        network.transformer.h[1].mlp.c_proj.weight.data *= 3e5
        return wrap(network.to(dtype), Identity()).run(asked(), max_new_tokens=2)

    run(torch.float32)
    with pytest.raises(ValueError, match=r"float16.*dtype=torch.float32"):
        run(torch.float16)


class Huge:
    """A corruption that is finite itself, and overflows in the model."""

    label = "huge"

    def __call__(self, activation: Tensor, context: object) -> Tensor:
        return torch.full_like(activation, 3e38)


@pytest.mark.slow
def test_variants_name_problem_thought_and_intervention() -> None:
    torch.manual_seed(7)
    model = wrap(BUILDERS["llama"](), Projection(32, 40))
    changes = [Intervention(0, Zero()), Intervention(2, Huge(), "blocks.0.attn.hook_z")]
    said = r"problem 'p[0-3]'.* at Thought\(index=2\).*'huge @ blocks.0.attn.hook_z of thought 2'"
    with pytest.raises(ValueError, match=said):
        run_variants(model, asked(), changes, max_new_tokens=3, only_correct=False)
    with (
        pytest.raises(ValueError, match=said),
        TokenAblator(model).applied(changes[1], asked()),
    ):
        model.run(asked(), max_new_tokens=3)
    with (
        pytest.raises(ValueError, match=said.replace("p[0-3]", "p1")),
        apply_interventions(model, [changes[0], changes[1], *changes], collect(model, asked())),
    ):
        model.run(asked(), max_new_tokens=3)


def test_great_numbers_whose_sum_overflows_are_not_taken_for_infinite() -> None:
    great = torch.full((2, 64), 6e4, dtype=torch.float16)
    check_finite("Numbers", great, asked()[:2], Prompt())
    check_finite("Numbers", torch.full((2, 9), 3e38), asked()[:2], Prompt())
    check_finite("Numbers", torch.full((2, 9), 1e300, dtype=torch.float64), asked()[:2], Prompt())
    check_finite("Numbers", torch.zeros(0, 4), [], Prompt())
    with pytest.raises(NotFiniteError) as caught:
        check_finite("Numbers", great * torch.tensor([[1.0], [torch.inf]]), asked()[:2], Close())
    assert caught.value.row == 1


def test_a_state_before_the_last_one_of_a_stage_is_looked_at_too() -> None:
    torch.manual_seed(7)
    model = wrap(BUILDERS["gpt2"](), Identity(), 2, Template((BOT,), (EOT, EOT), EOS))

    def spoil(activation: Tensor, hook: object) -> Tensor:
        result = activation.clone()
        result[1, 0] = torch.inf  # of two; no later layer sees it
        return result

    last = f"blocks.{model.n_layers - 1}.hook_out"
    with (
        model.hooks([(last, spoil)], stages=[Close()]),
        pytest.raises(ValueError, match=r"problem 'p1'.* at Close"),
    ):
        model.run(asked(), max_new_tokens=1)
