"""The record of states is what the residual stream holds, and recording changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import PreTrainedModel

from checkpoint_files import CODI, SAID, Golden
from conftest import BUILDERS, wrap
from cot_attn import recording
from cot_attn.data import Problem, grade, load_problems
from cot_attn.models import ContinuousThoughtModel, Projection
from cot_attn.recording import AttentionRecorder, StateRecorder

N_NEW = 5


def record(model: ContinuousThoughtModel, problems: list, **options: object) -> xr.Dataset:
    run = {name: options.pop(name) for name in ("batch_size", "n_thoughts") if name in options}
    with StateRecorder(model, **options) as recorder:
        model.run(problems, max_new_tokens=N_NEW, **run)
    return recorder.dataset()


@torch.no_grad()
def block_outputs(model: PreTrainedModel, embeddings: torch.Tensor) -> np.ndarray:
    """What each block of a plain model gives, (layer, position, d_model)."""
    outputs: list[torch.Tensor] = []

    def keep(block: torch.nn.Module, given: object, output: object) -> None:
        outputs.append((output[0] if isinstance(output, tuple) else output)[0])

    inner = model.base_model
    blocks = inner.h if hasattr(inner, "h") else inner.layers
    handles = [block.register_forward_hook(keep) for block in blocks]
    model(inputs_embeds=embeddings[None])
    for handle in handles:
        handle.remove()
    return torch.stack(outputs).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", BUILDERS)
def test_states_are_those_of_hugging_face_one_whole_pass(
    architecture: str, questions: list[str]
) -> None:
    torch.manual_seed(2)
    reference = BUILDERS[architecture]()
    torch.manual_seed(2)
    model = wrap(BUILDERS[architecture](), Projection(32, 40), n_thoughts=3)
    asked = [Problem(f"p{i}", question, "5") for i, question in enumerate(questions)]
    run = model.run(asked, max_new_tokens=N_NEW)
    recorded = record(model, asked)
    embed = reference.get_input_embeddings()
    n_values = 0
    for row, question in enumerate(questions):
        ids = model.tokenizer(question)["input_ids"]
        before, after = [*ids, *model.template.bot], [*model.template.eot, *run.answer_tokens[row]]
        whole = torch.cat(
            [embed(torch.tensor(before)), run.thoughts[row], embed(torch.tensor(after))]
        )
        true = block_outputs(reference, whole)
        n = len(ids)
        columns = {"bot": n, "thought 0": n + 1, "thought 2": n + 3, "eot": n + 4}
        text = model.decode(run.answer_tokens[row])
        if (span := grade(text, asked[row]).span) is not None:  # one token a word
            columns["answer_value"] = n + 3 + len(text[: span[0] + 1].split())
            n_values += 1
        for place, column in columns.items():
            state = recorded.state.isel(problem=row).sel(place=place)
            np.testing.assert_allclose(state, true[:, column], atol=2e-5)
    assert n_values


def test_what_was_fed_is_what_the_run_says(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    run = tiny.run(questions, max_new_tokens=1)
    np.testing.assert_array_equal(record(tiny, questions).fed, run.thoughts)


@pytest.mark.slow
def test_the_last_state_behind_the_official_norm_is_the_official_hidden_state() -> None:
    model, golden = ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI]), Golden(CODI)
    state = record(model, golden.questions).state.isel(layer=-1)
    with torch.no_grad():
        hidden = model.bridge.ln_final(torch.from_numpy(state.values))
    for question in range(8):
        np.testing.assert_allclose(
            hidden[question, :8], golden(question, "hidden_final"), atol=5e-4, rtol=0
        )


def test_coordinates_are_those_of_the_attention_record(
    tiny: ContinuousThoughtModel, problems: list[Problem]
) -> None:
    with AttentionRecorder(tiny) as attention, StateRecorder(tiny) as states:
        tiny.run(problems, max_new_tokens=N_NEW)
    theirs, ours = attention.dataset(), states.dataset()
    for name in ("problem", "layer", "difficulty", "question_length", "correct"):
        xr.testing.assert_identical(
            theirs[name].reset_coords(drop=True), ours[name].reset_coords(drop=True)
        )
    assert ours["place"].values.tolist() == theirs["query"].values.tolist()
    assert ours.attrs == theirs.attrs
    found = theirs.attention.sel(query="answer_value").isel(layer=0, head=0, key=0).notnull()
    has = ours.state.sel(place="answer_value").isel(layer=0, d_model=0).notnull()
    np.testing.assert_array_equal(found, has)


def test_recording_changes_nothing_and_leaves_no_hook(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    plain = tiny.run(questions, max_new_tokens=N_NEW)
    with StateRecorder(tiny, dtype="float16"):
        watched = tiny.run(questions, max_new_tokens=N_NEW)
    assert watched.answer_tokens == plain.answer_tokens
    torch.testing.assert_close(watched.first_logits, plain.first_logits, atol=0, rtol=0)
    assert not any(point.fwd_hooks for point in tiny.bridge.hook_dict.values())


@pytest.mark.slow
def test_batches_give_what_one_batch_gives(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    together, apart = record(tiny, questions), record(tiny, questions, batch_size=3)
    xr.testing.assert_allclose(together, apart, atol=1e-4)
    assert together["problem"].values.tolist() == apart["problem"].values.tolist()


def test_layers_and_places_choose_what_is_recorded(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    whole = record(tiny, questions)
    some = record(tiny, questions, layers=[-1, 0], places=["eot", "thought 1"])
    chosen = whole.sel(layer=[0, tiny.n_layers - 1], place=["eot", "thought 1"])
    xr.testing.assert_identical(some, chosen)


def test_half_precision_is_half_as_large_and_right_to_three_digits(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    whole, half = record(tiny, questions), record(tiny, questions, dtype="float16")
    assert 2 * half.state.nbytes == whole.state.nbytes
    np.testing.assert_allclose(half.state.astype("float32"), whole.state, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_number_that_half_precision_cannot_hold_is_refused(questions: list[str]) -> None:
    torch.manual_seed(2)
    hf_model = BUILDERS["gpt2"]()
    with torch.no_grad():
        hf_model.transformer.h[0].mlp.c_proj.bias[3] = 1e5
    model = wrap(hf_model, Projection(32, 40))
    assert np.isfinite(record(model, questions, places=["bot"]).state).all()
    with pytest.raises(OverflowError, match="dtype='float32'"):
        record(model, questions, dtype="float16", places=["bot"])


@pytest.mark.slow
def test_a_store_holds_what_memory_holds(
    tiny: ContinuousThoughtModel, problems: list[Problem], tmp_path: Path
) -> None:
    whole = record(tiny, problems)
    stored = record(tiny, problems, store=tmp_path / "states.zarr", batch_size=3)
    assert not stored.state.variable._in_memory
    xr.testing.assert_allclose(stored.load(), whole, atol=1e-4)
    assert stored["question"].values.tolist() == [problem.question for problem in problems]
    assert stored.attrs == whole.attrs
    assert stored["problem"].dtype == stored["place"].dtype == object
    with pytest.raises(FileExistsError, match="there already"):
        StateRecorder(tiny, store=tmp_path / "states.zarr")


@pytest.mark.slow
def test_the_memory_that_is_stated_is_the_memory_that_is_taken() -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2", validate=False)
    problems = load_problems("toy", n=5)
    for options in ({}, {"layers": [1, 2], "dtype": "float16"}, {"places": ["bot"]}):
        with StateRecorder(model, **options) as recorder:
            stated = recorder.n_bytes(len(problems))
            model.run(problems, max_new_tokens=8)
        recorded = recorder.dataset()
        assert recorded.state.nbytes + recorded.fed.nbytes == stated


def test_a_record_that_does_not_fit_is_refused_before_it_is_made(
    tiny: ContinuousThoughtModel, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = StateRecorder(tiny)
    monkeypatch.setattr(recording.memory, "free_bytes", lambda: recorder.n_bytes(7))
    with recorder:
        tiny.run(questions[:7], max_new_tokens=1)
        with pytest.raises(MemoryError, match=r"8 problems.*float16.*store="):
            tiny.run([f"{question} w3" for question in questions], max_new_tokens=1)
    assert recorder.dataset().sizes["problem"] == 7


@pytest.mark.slow
def test_bad_choices_are_refused_with_a_sentence(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"layers 0 to 2"):
        StateRecorder(tiny, layers=[3])
    with pytest.raises(ValueError, match="different names"):
        StateRecorder(tiny, places=[])
    with pytest.raises(ValueError, match="no 'thought 9'"):
        record(tiny, questions, places=["bot", "thought 9"])
    with pytest.raises(ValueError, match="Nothing was recorded"):
        StateRecorder(tiny).dataset()
    with pytest.raises(ValueError, match="recorded twice"):
        record(tiny, [questions[0], questions[0]])
    with StateRecorder(tiny):
        tiny.run(questions[:2], n_thoughts=2)
        with pytest.raises(ValueError, match="3 thoughts and an earlier one"):
            tiny.run(questions[2:], n_thoughts=3)


def test_a_run_without_thoughts_has_places_too(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    recorded = record(tiny, questions, n_thoughts=0)
    assert recorded["place"].values.tolist() == ["bot", "eot", "answer_value"]
    assert recorded.fed.shape == (len(questions), 0, tiny.d_model)


def test_branches_of_a_run_are_not_part_of_the_record(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with StateRecorder(tiny) as recorder:
        run = tiny.run(questions[:2], max_new_tokens=2)
        problems, tokens = tiny.encode(questions[2:4])
        rollout = tiny.rollout(problems, tokens, tiny.n_thoughts)
        rollout.read()
        rollout.think(0)
    assert recorder.dataset()["problem"].values.tolist() == [p.id for p in run.problems]
