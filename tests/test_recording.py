"""The record of attention says who attends to what, and recording changes nothing."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from conftest import BOT, BUILDERS, EOS, EOT, wrap
from cot_attn.data import Problem, grade
from cot_attn.models import ContinuousThoughtModel, Projection, Template
from cot_attn.recording import AttentionRecorder, PositionRecorder
from cot_attn.toy.handmade import handmade_model, handmade_problems
from token_questions import TOKENS, merging

N_NEW = 5


def record(model: ContinuousThoughtModel, problems: list, **options: object) -> xr.Dataset:
    with AttentionRecorder(model, **options) as recorder:
        model.run(problems, max_new_tokens=N_NEW)
    return recorder.dataset()


def numbered(questions: list[str], answers: list[str]) -> list[Problem]:
    """Problems whose answers are graded as text, so that the whole answer is the value."""
    pairs = enumerate(zip(questions, answers, strict=True))
    return [Problem(f"p{i}", q, a or "none", answer_type="text") for i, (q, a) in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", BUILDERS)
def test_rows_are_those_of_hugging_face_summed_over_roles(
    architecture: str, questions: list[str]
) -> None:
    torch.manual_seed(2)
    reference = BUILDERS[architecture]()
    reference.set_attn_implementation("eager")
    torch.manual_seed(2)
    model = wrap(BUILDERS[architecture](), Projection(32, 40), n_thoughts=3)
    run = model.run(questions, max_new_tokens=N_NEW)
    attention = record(model, questions).attention
    embed = reference.get_input_embeddings()
    for row, question in enumerate(questions):
        ids = model.tokenizer(question)["input_ids"]
        before, after = [*ids, *model.template.bot], [*model.template.eot, *run.answer_tokens[row]]
        whole = torch.cat(
            [embed(torch.tensor(before)), run.thoughts[row], embed(torch.tensor(after))]
        )
        with torch.no_grad():
            layers = reference(inputs_embeds=whole[None], output_attentions=True).attentions
        true = torch.stack([layer[0] for layer in layers]).numpy()  # layer head query key
        n = len(ids)
        edges = {"question": (0, n), "bot": (n, n + 1), "eot": (n + 4, n + 5)}
        edges |= {f"thought {i}": (n + 1 + i, n + 2 + i) for i in range(3)}
        edges["answer"] = (n + 5, whole.shape[0])
        queries = {"bot": n, "thought 0": n + 1, "thought 2": n + 3, "eot": n + 4}
        for query, position in queries.items():
            for key, (start, stop) in edges.items():
                np.testing.assert_allclose(
                    attention.isel(problem=row).sel(query=query, key=key),
                    true[:, :, position, start:stop].sum(-1),
                    atol=1e-5,
                )


def test_every_finite_row_sums_to_one(tiny: ContinuousThoughtModel, questions: list[str]) -> None:
    attention = record(tiny, questions).attention
    sums = attention.sum("key", skipna=False)
    np.testing.assert_allclose(sums.values[np.isfinite(sums.values)], 1, atol=1e-5)
    named = sums.sel(query=[q for q in attention["query"].values if q != "answer_value"])
    assert np.isfinite(named).all()


@pytest.mark.slow
def test_a_batch_records_what_each_problem_records_alone(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    few = questions[:5]
    together = record(tiny, few).attention
    for row, question in enumerate(few):
        alone = record(tiny, [question]).attention
        np.testing.assert_allclose(together[row], alone[0], atol=1e-4)


@pytest.mark.slow
def test_recording_changes_nothing_and_leaves_no_hook(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    plain = tiny.run(questions, max_new_tokens=N_NEW)
    with AttentionRecorder(tiny), PositionRecorder(tiny):
        watched = tiny.run(questions, max_new_tokens=N_NEW)
    assert watched.answer_tokens == plain.answer_tokens
    torch.testing.assert_close(watched.first_logits, plain.first_logits, atol=0, rtol=0)
    points = tiny.bridge.hook_dict.values()
    assert not any(point.fwd_hooks for point in points)


@pytest.mark.slow
def test_the_answer_value_row_is_the_one_that_predicts_the_value(questions: list[str]) -> None:
    torch.manual_seed(3)
    model = wrap(BUILDERS["gpt2"](), Projection(32, 40), n_thoughts=2)
    asked = [Problem(f"p{i}", q, "5") for i, q in enumerate(questions)]
    run = model.run(asked, max_new_tokens=N_NEW)
    attention = record(model, asked).attention
    found = 0
    for row, tokens in enumerate(run.answer_tokens):
        text = model.decode(tokens)
        span = grade(text, asked[row]).span
        value_row = attention[row].sel(query="answer_value")
        if span is None:
            assert value_row.isnull().all()
            continue
        last = len(text[: span[0] + 1].split()) - 1  # one token a word
        found += 1
        if last == 0:
            xr.testing.assert_allclose(
                value_row.drop_vars("query"), attention[row].sel(query="eot", drop=True)
            )
        else:
            with PositionRecorder(model, [asked[row].id]) as recorder:
                model.run(asked, max_new_tokens=N_NEW)
            full = recorder.dataset(asked[row].id)
            query = int((full["query_role"] != "answer").sum()) + last - 1
            thoughts = full.attention.sel(query=query)[..., full["key_role"] == "thought"]
            recorded = value_row.sel(key=["thought 0", "thought 1"])
            np.testing.assert_allclose(recorded, thoughts, atol=1e-5)
    assert found


@pytest.mark.slow
def test_the_handmade_model_attends_as_it_was_made_to() -> None:
    weights = (1, 2, 8, 1, 3, 1)
    model, problems = handmade_model(weights), handmade_problems(12, weights)
    dataset = record(model, problems)
    row = dataset.attention.sel(layer=1, head=0, query="eot")
    lengths = dataset["question_length"].values
    total = sum(weights) + lengths + 2
    for i, weight in enumerate(weights):
        np.testing.assert_allclose(row.sel(key=f"thought {i}"), weight / total, rtol=1e-5)
    np.testing.assert_allclose(row.sel(key="question"), lengths / total, rtol=1e-5)
    uniform = dataset.attention.sel(layer=1, head=1, query="thought 2", key="bot")
    np.testing.assert_allclose(uniform, 1 / (lengths + 4), rtol=1e-5)
    np.testing.assert_array_equal(dataset["correct"], 1)


@pytest.mark.slow
def test_layers_heads_and_queries_choose_what_is_recorded(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    everything = record(tiny, questions).attention
    some = record(tiny, questions, layers=[-1, 0], heads=[2], queries=["eot", "bot"]).attention
    assert some["layer"].values.tolist() == [0, tiny.n_layers - 1]
    xr.testing.assert_equal(
        some, everything.sel(layer=some["layer"], head=[2], query=["eot", "bot"])
    )


@pytest.mark.slow
def test_several_batches_and_runs_join_by_problem(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with AttentionRecorder(tiny) as recorder:
        tiny.run(questions[:3], max_new_tokens=N_NEW)
        tiny.run(questions[3:], max_new_tokens=N_NEW, batch_size=2)
    joined = recorder.dataset()
    xr.testing.assert_allclose(joined, record(tiny, questions), atol=1e-4)


def test_the_record_says_what_it_knows_of_each_problem(
    tiny: ContinuousThoughtModel, problems: list[Problem]
) -> None:
    dataset = record(tiny, [*problems[:2], Problem("unknown", "w1 w2")])
    assert dataset["problem"].values.tolist() == ["p0", "p1", "unknown"]
    np.testing.assert_array_equal(dataset["difficulty"], [1, 2, np.nan])
    np.testing.assert_array_equal(dataset["question_length"], [3, 11, 2])
    assert np.isnan(dataset["correct"].values[2])
    assert dataset.attrs["checkpoint"] == tiny.checkpoint


@pytest.mark.slow
def test_whole_rows_are_the_summed_rows_before_summing(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with AttentionRecorder(tiny) as summed, PositionRecorder(tiny) as whole:
        run = tiny.run(questions, max_new_tokens=N_NEW)
    for row, problem in enumerate(run.problems):
        full = whole.dataset(problem.id)
        np.testing.assert_allclose(full.attention.sum("key"), 1, atol=1e-5)
        roles, n = full["key_role"].values, run.layout.question_lengths[row]
        assert roles[: n + 1].tolist() == ["question"] * n + ["bot"]
        assert full["key_text"].values[:n].tolist() == problem.question.split()
        role_sums = summed.dataset().attention[row].sel(query="eot")
        query = int(np.flatnonzero(roles == "eot")[-1])
        for role in ("question", "bot", "eot"):
            in_role = full.attention.sel(query=query)[..., roles == role].sum("key")
            np.testing.assert_allclose(role_sums.sel(key=role), in_role, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 2])
def test_positions_are_those_that_were_fed_where_ids_do_not_survive_as_text(
    width: int,
) -> None:
    model = merging()
    model.template = template = Template((EOS, BOT)[-width:], (EOT, EOS)[:width], EOS)
    given = [torch.tensor(ids) for ids in TOKENS]
    with PositionRecorder(model) as recorder, AttentionRecorder(model) as rows:
        run = model.run(given, max_new_tokens=3)
    for row, (problem, ids) in enumerate(zip(run.problems, TOKENS, strict=True)):
        full = recorder.dataset(problem.id)
        bot, eot = len(template.bot), len(template.eot)
        answer = run.answer_tokens[row][:2]  # the last one is not fed
        parts = {"question": len(ids), "bot": bot, "thought": 2, "eot": eot, "answer": len(answer)}
        expected = [role for role, n in parts.items() for _ in range(n)]
        assert full["key_role"].values.tolist() == expected
        assert full["key_text"].values.tolist() == [
            *(model.tokenizer.decode([token]).strip() for token in ids),
            *["<bot>"] * bot,
            "thought 0",
            "thought 1",
            *["<eot>"] * eot,
            *(model.tokenizer.decode([token]).strip() for token in answer),
        ]
        np.testing.assert_allclose(full.attention.sum("key"), 1, atol=1e-5)
        query = expected.index("thought")
        one = full.attention.sel(query=query)
        recorded = rows.dataset().attention[row].sel(query="thought 0")
        np.testing.assert_allclose(
            one[..., full["key_role"] == "question"].sum("key"),
            recorded.sel(key="question"),
            atol=1e-5,
        )
        np.testing.assert_allclose(one[..., query], recorded.sel(key="thought 0"), atol=1e-5)


def test_bad_choices_are_refused_with_a_sentence(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"layers 0 to 2"):
        AttentionRecorder(tiny, layers=[3])
    with pytest.raises(ValueError, match=r"heads 0 to 3"):
        AttentionRecorder(tiny, heads=[-5])
    with pytest.raises(ValueError, match="each layer once"):
        AttentionRecorder(tiny, layers=[0, -3])
    with pytest.raises(ValueError, match="different names"):
        AttentionRecorder(tiny, queries=[])
    with pytest.raises(ValueError, match="different names"):
        AttentionRecorder(tiny, queries=["bot", "bot"])
    with pytest.raises(ValueError, match="thought 9"):
        record(tiny, questions, queries=["thought 9"])
    with pytest.raises(ValueError, match="Nothing was recorded"):
        AttentionRecorder(tiny).dataset()
    with pytest.raises(ValueError, match="recorded twice"):
        record(tiny, [questions[0], questions[0]])
    with pytest.raises(KeyError, match="was not recorded"):
        PositionRecorder(tiny).dataset("p9")


@pytest.mark.slow
def test_runs_of_different_length_of_thought_need_recorders_of_their_own(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with AttentionRecorder(tiny):
        tiny.run(questions[:2], n_thoughts=2)
        with pytest.raises(ValueError, match="3 thoughts and an earlier one"):
            tiny.run(questions[2:], n_thoughts=3)


def test_branches_of_a_run_are_not_part_of_the_record(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    with AttentionRecorder(tiny) as recorder:
        run = tiny.run(questions[:2], max_new_tokens=2)
        problems, tokens = tiny.encode(questions[2:4])
        rollout = tiny.rollout(problems, tokens, tiny.n_thoughts)
        rollout.read()
        rollout.think(0)
    assert recorder.dataset()["problem"].values.tolist() == [p.id for p in run.problems]


def test_gradients_are_not_kept(tiny: ContinuousThoughtModel, questions: list[str]) -> None:
    seen: list[Tensor] = []
    with tiny.hooks([("blocks.0.attn.hook_pattern", lambda a, hook: seen.append(a))]):
        tiny.run(questions[:1], max_new_tokens=1)
    assert not any(pattern.requires_grad for pattern in seen)
