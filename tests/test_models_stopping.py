"""Problems that stop at different thoughts: against a plain loop, one problem at a time."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from conftest import BUILDERS, EOS, wrap
from cot_attn.models import (
    BinaryHead,
    ContinuousThoughtModel,
    EntropyBelow,
    Identity,
    Moment,
    Separator,
    StopRule,
    Thought,
)
from cot_attn.recording import AttentionRecorder, PositionRecorder, StateRecorder
from families import FAMILIES
from stopping import N_MOST, N_NEW, After, Stopping


@pytest.fixture(scope="module", params=["gpt2", "llama", "opt"])
def stopping(request, questions) -> Stopping:
    made = Stopping(request.param, questions)
    assert len(set(made.n_thoughts)) > 1
    return made


@pytest.mark.slow
def test_a_padded_batch_is_what_the_plain_loop_does_one_problem_at_a_time(stopping):
    model = stopping.model
    run = model.run(stopping.problems, max_new_tokens=N_NEW)
    assert list(run.n_thoughts) == stopping.n_thoughts
    assert run.thoughts.shape[1] == N_MOST
    for row, plain in enumerate(stopping.plain):
        n = stopping.n_thoughts[row]
        torch.testing.assert_close(run.thoughts[row, :n], plain.thoughts, rtol=1e-3, atol=1e-4)
        assert run.thoughts[row, n:].isnan().all()
        torch.testing.assert_close(run.first_logits[row], plain.logits[0], rtol=1e-3, atol=1e-4)
        decided = plain.decided(model.template)
        assert run.answer_tokens[row][:decided] == plain.answer[:decided]


@pytest.mark.slow
def test_batches_agree(stopping):
    together = stopping.model.run(stopping.problems, max_new_tokens=N_NEW)
    few = stopping.model.run(stopping.problems, max_new_tokens=N_NEW, batch_size=3)
    assert few.n_thoughts == together.n_thoughts
    assert few.layout == together.layout
    close = {"rtol": 1e-3, "atol": 1e-4, "equal_nan": True}
    torch.testing.assert_close(few.thoughts, together.thoughts, **close)
    torch.testing.assert_close(few.first_logits, together.first_logits, **close)


def test_attention_is_that_of_the_plain_loop_and_rows_sum_to_1(stopping):
    with AttentionRecorder(stopping.model) as recorder:
        stopping.model.run(stopping.problems, max_new_tokens=N_NEW)
    record = recorder.dataset()
    attention = record["attention"]
    assert record["n_thoughts"].values.tolist() == stopping.n_thoughts
    for row, plain in enumerate(stopping.plain):
        n, start = stopping.n_thoughts[row], len(stopping.tokens[row]) + 1
        here = attention.sel(problem=f"p{row}").transpose("layer", "head", ...)
        last = plain.patterns[:, :, start + n]  # from EOT
        np.testing.assert_allclose(
            here.sel(query="eot", key="question"), last[..., : start - 1].sum(-1), atol=1e-5
        )
        np.testing.assert_allclose(
            here.sel(query="eot", key="eot"), last[..., start + n], atol=1e-5
        )
        for thought in range(N_MOST):
            key = here.sel(query="eot", key=f"thought {thought}")
            if thought < n:
                np.testing.assert_allclose(key, last[..., start + thought], atol=1e-5)
            else:
                assert key.isnull().all()
                assert here.sel(query=f"thought {thought}").isnull().all()
        there = ["bot", *(f"thought {i}" for i in range(n)), "eot"]
        sums = here.sel(query=there).sum("key")
        np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_whole_rows_leave_the_gap_out(stopping):
    with PositionRecorder(stopping.model) as recorder:
        run = stopping.model.run(stopping.problems, max_new_tokens=N_NEW)
    for row, plain in enumerate(stopping.plain):
        found = recorder.dataset(f"p{row}")
        n_fed = found.sizes["query"]
        np.testing.assert_allclose(
            found["attention"], plain.patterns[:, :, :n_fed, :n_fed], atol=1e-5
        )
        roles = found["key_role"].values.tolist()
        assert roles.count("thought") == run.n_thoughts[row]


@pytest.mark.slow
def test_states_are_those_of_the_same_number_of_thoughts(stopping):
    with StateRecorder(stopping.model) as recorder:
        stopping.model.run(stopping.problems, max_new_tokens=N_NEW, batch_size=5)
    record = recorder.dataset()
    row = int(np.argmin(stopping.n_thoughts))
    n = stopping.n_thoughts[row]
    rule, stopping.model.stop = stopping.model.stop, None
    with StateRecorder(stopping.model) as alone:
        stopping.model.run([stopping.problems[row]], max_new_tokens=N_NEW, n_thoughts=n)
    stopping.model.stop = rule
    expected = alone.dataset()["state"].isel(problem=0)
    found = record["state"].sel(problem=f"p{row}", place=expected["place"])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert record["state"].sel(problem=f"p{row}", place=f"thought {n}").isnull().all()
    assert record["fed"].sel(problem=f"p{row}", thought=slice(n, None)).isnull().all()


def test_a_cache_of_activations_is_nan_where_a_problem_had_stopped(stopping):
    names = ["blocks.0.hook_out", "feedback.hook_out"]
    run, cache = stopping.model.run_with_cache(stopping.problems, names, max_new_tokens=2)
    for row, n in enumerate(run.n_thoughts):
        for thought in range(N_MOST):
            for name in names:
                stage = cache[name].isel(problem=row).sel(stage=f"thought {thought}")
                assert bool(stage.isnull().all()) == (thought >= n)
                assert bool(stage.notnull().all()) == (thought < n)


@pytest.mark.slow
def test_a_rule_that_never_stops_is_no_rule(stopping):
    model = stopping.model
    rule, model.stop = model.stop, None
    expected = model.run(stopping.problems, max_new_tokens=N_NEW)
    model.stop = After()
    with pytest.warns(UserWarning, match="No problem stopped by After"):
        found = model.run(stopping.problems, max_new_tokens=N_NEW)
    model.stop = rule
    assert torch.equal(found.thoughts, expected.thoughts)
    assert torch.equal(found.first_logits, expected.first_logits)
    assert found.answer_tokens == expected.answer_tokens
    assert found.layout == expected.layout


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_rule_that_stops_all_at_k_is_k_thoughts(stopping, k):
    model = stopping.model
    rule, model.stop = model.stop, None
    expected = model.run(stopping.problems, max_new_tokens=N_NEW, n_thoughts=k)
    model.stop = After(otherwise=k)
    found = model.run(stopping.problems, max_new_tokens=N_NEW)
    model.stop = rule
    assert set(found.n_thoughts) == {k}
    assert torch.equal(found.thoughts[:, :k], expected.thoughts)
    assert torch.equal(found.first_logits, expected.first_logits)
    assert found.answer_tokens == expected.answer_tokens


def test_a_model_that_counts_columns_takes_no_stop_rule():
    torch.manual_seed(11)
    model = wrap(FAMILIES["mpt"](), Identity(), 3)  # ALiBi; Bloom's follows the mask
    with pytest.raises(ValueError, match="goes on in a batch otherwise than alone"):
        model.stop = EntropyBelow(1.0)
    assert model.stop is None


def test_a_window_that_a_run_could_leave_is_refused():
    import transformers

    config = transformers.MistralConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96,
        sliding_window=20, bos_token_id=None, eos_token_id=EOS,
    )  # fmt: skip
    model = wrap(transformers.MistralForCausalLM(config).eval(), Identity(), 3)
    model.stop = After(otherwise=1)
    short, long = " ".join(["w1"] * 9), " ".join(["w1"] * 12)
    assert model.run([short], max_new_tokens=4).n_thoughts == (1,)
    with pytest.raises(ValueError, match="a run is at most 20 columns long"):
        model.run([long], max_new_tokens=4)


def test_rules_read_what_they_say():
    torch.manual_seed(7)
    model = wrap(BUILDERS["llama"](), Identity(), 3)
    language_model = model.bridge.original_model
    moment = Moment(language_model, tuple(map(str, range(40))), 0)
    with torch.no_grad():
        hidden = torch.randn(40, 32)
        logits = hidden @ language_model.get_output_embeddings().weight.T
    token = int(logits[0].argmax())
    assert Separator(token)(hidden, moment).tolist() == [int(r.argmax()) == token for r in logits]
    head = BinaryHead(go_on=3, stop=5)(hidden, moment).tolist()
    assert head == [float(row[5]) > float(row[3]) for row in logits]
    assert True in head
    assert False in head


class Strange(StopRule):
    def __init__(self, said: object) -> None:
        self.said = said

    def stops(self, hidden, moment):
        return self.said


@pytest.mark.parametrize(
    "said", [True, torch.tensor(True), torch.tensor([1.0, 0.0]), torch.tensor([True])]
)
def test_a_rule_that_returns_no_truth_values_is_refused(tiny_gpt2_model, said):
    model = tiny_gpt2_model
    model.stop = Strange(said)
    try:
        with pytest.raises(ValueError, match="one True or False for each"):
            model.run(["w1 w2", "w3"], max_new_tokens=2)
    finally:
        model.stop = None


def test_settings_of_rules_are_checked():
    with pytest.raises(ValueError, match="above 0 nats"):
        EntropyBelow(0.0)
    with pytest.raises(ValueError, match="1 state or more"):
        EntropyBelow(1.0, in_a_row=0)


def test_results_say_which_rule_stopped(tiny_gpt2_model):
    assert "stop" not in tiny_gpt2_model.provenance()
    tiny_gpt2_model.stop = Separator(5)
    said = tiny_gpt2_model.provenance()["stop"]
    tiny_gpt2_model.stop = None
    assert said == "Separator(token=5)"


def test_hooks_may_change_thoughts_of_a_batch_that_has_stopped_in_part(stopping):
    """What a hook makes of a row that has stopped is not fed: NaN there is forgotten."""
    model, problems = stopping.model, stopping.problems
    plain = model.run(problems, max_new_tokens=N_NEW)

    def spoil(fed, hook):
        gone = [n <= model.running.stage.index for n in model.running.layout.n_thoughts_each]
        return fed.masked_fill(torch.tensor(gone)[:, None], torch.nan)

    with model.hooks([("feedback.hook_out", spoil)], stages=[Thought(i) for i in range(N_MOST)]):
        found = model.run(problems, max_new_tokens=N_NEW)
    assert torch.equal(found.first_logits, plain.first_logits)


@dataclass(frozen=True)
class Own(StopRule):
    """Somebody's own rule."""

    n_thoughts: int

    def stops(self, hidden, moment):
        return torch.full((len(hidden),), moment.thought >= self.n_thoughts)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [EntropyBelow(0.3, 2), Separator(5), BinaryHead(3, 4), Own(2)])
def test_a_rule_is_saved_with_its_model(rule, tmp_path):
    torch.manual_seed(7)
    model = wrap(BUILDERS["gpt2"](), Identity(), 3)
    model.stop = rule
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.stop == rule
    assert again.source is not None
    again.stop = None
    assert again.source is None  # from files it would be one with a rule


def test_a_rule_whose_code_is_missing_is_named(tmp_path):
    torch.manual_seed(7)
    model = wrap(BUILDERS["gpt2"](), Identity(), 3)
    model.stop = Own(2)
    model.save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / "cot_attn.json"
    file.write_text(file.read_text().replace(f"{__name__}.Own", "elsewhere.Own"))
    with pytest.raises(ValueError, match=r"stop rule elsewhere.Own\(.*module 'elsewhere'"):
        ContinuousThoughtModel.from_pretrained(tmp_path / "saved")


def test_a_rule_that_does_not_say_its_settings_is_not_saved(tmp_path):
    torch.manual_seed(7)
    model = wrap(BUILDERS["gpt2"](), Identity(), 3)
    model.stop = Strange(torch.tensor([True, False]))
    with pytest.raises(TypeError, match="Make it a dataclass"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
