"""A model checks itself when it is loaded, and one that is not sound is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from checkpoint_files import CODI, SAID
from cot_attn import load_problems
from cot_attn.models import (
    ContinuousThoughtModel,
    Identity,
    Template,
    Thought,
    validate,
)
from cot_attn.models.rollout import Rollout
from cot_attn.models.validation import CHECKS
from cot_attn.recording import AttentionRecorder

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def bridged(
    architecture: type[PreTrainedModel], config: PretrainedConfig
) -> ContinuousThoughtModel:
    """Wrap a small random model of an architecture."""
    torch.manual_seed(0)
    tokenizer = ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI]).tokenizer
    bridge = TransformerBridge.boot_transformers(
        "mine",
        hf_model=architecture._from_config(config, attn_implementation="eager").eval(),
        tokenizer=tokenizer,
    )
    template = Template(bot=(48,), eot=(49,), eos=47)
    return ContinuousThoughtModel(bridge, Identity(), template, 3, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def model():
    return ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI])


@contextmanager
def fault(
    model: ContinuousThoughtModel, name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Build a fault into the model at a place: a hook that somebody has put on it is not one."""
    point = model.bridge.hook_dict[name]
    point.forward = change
    try:
        yield
    finally:
        del point.forward


@pytest.mark.slow
def test_a_sound_model_passes_every_check(model):
    assert validate(model) == model.load_report.checks
    assert len(set(validate(model))) == 5


def test_attention_that_does_not_sum_to_one(model):
    def thinner(pattern):
        return 0.9 * pattern

    with (
        fault(model, "blocks.2.attn.hook_pattern", thinner),
        pytest.raises(ValueError, match=r"'attention rows sum to 1': a row is off by 0\.1"),
    ):
        validate(model)


def test_logits_that_are_not_finite(model):
    def overflow(residual):
        return residual * torch.inf

    with (
        fault(model, "blocks.3.hook_out", overflow),
        pytest.raises(ValueError, match="the logits are not finite"),
    ):
        validate(model)


def test_runs_that_disagree(model):
    def noisy(residual):
        return residual + torch.randn_like(residual)

    with (
        fault(model, "blocks.1.hook_out", noisy),
        pytest.raises(ValueError, match="'two runs agree': the logits moved"),
    ):
        validate(model)


def test_thoughts_whose_input_changes_nothing(model):
    def same(residual):
        here = model.running.stage == Thought(0)
        return torch.ones_like(residual) if here else residual

    with (
        fault(model, "blocks.0.hook_in", same),
        pytest.raises(ValueError, match="a change of a thought's input changes the hidden state"),
    ):
        validate(model)


def test_a_run_that_changes_when_an_activation_is_put_back(model):
    """The fourth run is the one that puts back; here something else moves in it too."""
    n_runs = 0

    def drift(residual):
        nonlocal n_runs
        n_runs += model.running.stage == Thought(0)
        return residual.flip(-1) if n_runs == 4 else residual

    with (
        fault(model, "blocks.1.hook_out", drift),
        pytest.raises(ValueError, match="'putting an activation back changes nothing'"),
    ):
        validate(model)


def test_a_model_that_is_not_told_its_positions(model, monkeypatch):
    """A padded row's tokens are then taken to stand where its columns are."""
    extend = Rollout._extend

    def by_column(rollout, real):
        inputs = extend(rollout, real)
        stop = inputs["attention_mask"].shape[1]
        inputs["position_ids"] = torch.arange(stop - real.shape[1], stop).expand(real.shape)
        return inputs

    monkeypatch.setattr(Rollout, "_extend", by_column)
    with pytest.raises(ValueError, match="departs from a forced answer goes on as it does alone"):
        validate(model)


@pytest.mark.slow
def test_columns_that_nobody_said_between_a_windowed_models_answer_tokens(monkeypatch):
    def with_a_gap(rollout, n_rows, n_tokens):
        other = rollout.view(slice(n_rows))
        columns = torch.arange(other._mask.shape[1])
        other._mask = other._mask & (columns < rollout.layout.eot.stop + n_tokens)
        other._positions = other._mask.sum(dim=1)
        return other

    windowed = bridged(MistralForCausalLM, MistralConfig(**SMALL, sliding_window=4))
    assert validate(windowed) == CHECKS
    monkeypatch.setattr(Rollout, "truncated", with_a_gap)
    with pytest.raises(ValueError, match="departs from a forced answer goes on as it does alone"):
        validate(windowed)


@pytest.mark.slow
def test_hooks_that_somebody_put_on_the_model_play_no_part(model):
    names = ["blocks.1.hook_out", "blocks.2.attn.hook_pattern", "feedback.hook_out"]
    seen = []

    def spoil(activation, hook):
        seen.append(hook.name)
        return torch.randn_like(activation)

    with (
        model.hooks([(name, spoil) for name in names]),
        model.bridge.hooks(fwd_hooks=[(name, spoil) for name in names[:2]]),
        AttentionRecorder(model) as recorder,
        model.watch(seen.append),
    ):
        assert validate(model) == CHECKS
        assert not seen
        with pytest.raises(ValueError, match="Nothing was recorded"):
            recorder.dataset()
        model.think([torch.arange(3)])  # they were only set aside
        assert set(names) <= set(seen[:-1])


@pytest.mark.slow
def test_loading_runs_the_checks_unless_it_is_told_not_to(monkeypatch):
    monkeypatch.setattr(
        "cot_attn.models.validation._size", lambda vectors: torch.zeros(())
    )  # a nudge of nothing
    with pytest.raises(ValueError, match="validate=False"):
        ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI])
    model = ContinuousThoughtModel.from_pretrained(CODI, validate=False, **SAID[CODI])
    assert model.load_report.checks == ()


@pytest.mark.slow
def test_a_bridge_of_ones_own_passes_the_checks():
    """Another family than the checkpoints': Qwen2, with biases and grouped queries."""
    model = bridged(Qwen2ForCausalLM, Qwen2Config(**SMALL))
    assert validate(model) == CHECKS
    assert model.load_report is None
    assert model.run([torch.arange(4)], max_new_tokens=2).thoughts.shape == (1, 3, 32)


@pytest.mark.slow
@pytest.mark.reads
def test_a_bridges_tokenizer_that_adds_a_start_token_is_refused():
    loaded = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    parts = (loaded.bridge, loaded.feedback, loaded.template, loaded.n_thoughts)
    with pytest.raises(ValueError, match="tokens that it adds itself"):
        ContinuousThoughtModel(*parts)
    problems = load_problems("toy", n=3)
    given = ContinuousThoughtModel(*parts, tokenizer=loaded.tokenizer)
    assert given.generate(problems) == loaded.generate(problems)
