"""A model reads, thinks and answers as a plain Hugging Face loop does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conftest import BOT, BUILDERS, EOS, EOT, wrap
from cot_attn.data import Problem
from cot_attn.interventions import collect
from cot_attn.models import (
    Answer,
    Close,
    ContinuousThoughtModel,
    Identity,
    Layout,
    Projection,
    Prompt,
    Role,
    Template,
    Thought,
)
from cot_attn.recording import PositionRecorder
from token_questions import TOKENS, merging

N_NEW = 6


@torch.no_grad()
def plain_run(
    hf_model: torch.nn.Module,
    project: Callable[[Tensor], Tensor],
    question: list[int],
    n_thoughts: int,
    template: Template,
) -> tuple[Tensor, Tensor, list[int]]:
    """One question, without a cache or padding: the whole sequence anew for every step."""
    embed = hf_model.get_input_embeddings()
    inputs = embed(torch.tensor([[*question, *template.bot]]))
    thoughts = []
    for _ in range(n_thoughts):
        hidden = hf_model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[-1]
        thoughts.append(project(hidden[:, -1]))
        inputs = torch.cat([inputs, thoughts[-1][:, None]], dim=1)
    inputs = torch.cat([inputs, embed(torch.tensor([list(template.eot)]))], dim=1)
    first, answer = None, []
    for _ in range(N_NEW):
        logits = hf_model(inputs_embeds=inputs).logits[0, -1]
        first = logits if first is None else first
        allowed = logits.clone()
        allowed[list(template.suppressed)] = -torch.inf
        token = int(allowed.argmax())
        if token == template.eos:
            break
        answer.append(token)
        inputs = torch.cat([inputs, embed(torch.tensor([[token]]))], dim=1)
    return torch.cat(thoughts) if thoughts else torch.zeros(0, inputs.shape[-1]), first, answer


TEMPLATES = {
    "one token each": Template(bot=(BOT,), eot=(EOT,), eos=EOS, suppressed=(BOT, EOT)),
    "two tokens each": Template(bot=(EOS, BOT), eot=(EOT, EOS), eos=EOS),
}


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
@pytest.mark.parametrize("n_thoughts", [0, 1, 4])
@pytest.mark.parametrize("architecture", BUILDERS)
def test_a_batch_gives_what_a_plain_loop_gives_for_each_question(
    architecture: str, n_thoughts: int, template: Template, questions: list[str]
) -> None:
    torch.manual_seed(11)
    reference = BUILDERS[architecture]()
    torch.manual_seed(11)
    wrapped = BUILDERS[architecture]()
    feedback = Projection(32, 40).eval()
    model = wrap(wrapped, feedback, n_thoughts, template)
    questions = questions[:5]  # of 1 to 19 words
    run = model.run(questions, max_new_tokens=N_NEW)
    for row, question in enumerate(questions):
        ids = model.tokenizer(question)["input_ids"]
        thoughts, first, answer = plain_run(
            reference, feedback.transform, ids, n_thoughts, template
        )
        torch.testing.assert_close(run.thoughts[row], thoughts, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], first, atol=1e-4, rtol=1e-4)
        assert run.answer_tokens[row] == answer


@pytest.mark.slow
def test_a_padded_batch_gives_what_each_question_gives_alone(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    together = tiny.run(questions, max_new_tokens=N_NEW)
    for row, question in enumerate(questions):
        alone = tiny.run([question], max_new_tokens=N_NEW)
        torch.testing.assert_close(together.thoughts[row], alone.thoughts[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            together.first_logits[row], alone.first_logits[0], atol=1e-4, rtol=1e-4
        )
        assert together.answers[row] == alone.answers[0]


@pytest.mark.slow
def test_batches_join_into_the_run_of_one_batch(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    whole = tiny.run(questions, max_new_tokens=N_NEW)
    joined = tiny.run(questions, max_new_tokens=N_NEW, batch_size=3)
    assert joined.layout == whole.layout
    assert joined.answer_tokens == whole.answer_tokens
    assert [problem.id for problem in joined.problems] == [p.id for p in whole.problems]
    torch.testing.assert_close(joined.thoughts, whole.thoughts, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_generate_is_the_answers_and_think_stops_before_them(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    run = tiny.run(questions, max_new_tokens=5)
    assert tiny.generate(questions, max_new_tokens=5) == run.answers
    thought = tiny.think(questions)
    assert thought.answers == [""] * len(questions)
    torch.testing.assert_close(thought.thoughts, run.thoughts)
    torch.testing.assert_close(thought.first_logits, run.first_logits)


@pytest.mark.slow
def test_texts_problems_and_token_ids_are_the_same_question(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    texts = tiny.run(questions, max_new_tokens=4)
    given = [Problem(f"p{i}", text) for i, text in enumerate(questions)]
    ids = [torch.tensor(tiny.tokenizer(text)["input_ids"]) for text in questions]
    assert tiny.run(given, max_new_tokens=4).answer_tokens == texts.answer_tokens
    assert tiny.run(ids, max_new_tokens=4).answer_tokens == texts.answer_tokens
    assert texts.problems[0].id == Problem.from_text(questions[0]).id
    assert len(texts.problems[0].id) == 12


@pytest.mark.slow
def test_a_question_of_token_ids_stays_those_ids() -> None:
    model = merging()
    given = [torch.tensor(ids) for ids in TOKENS]
    run = model.run(given, max_new_tokens=3)
    assert run.question_tokens == TOKENS
    assert run.layout.question_lengths == tuple(map(len, TOKENS))
    texts = [problem.question for problem in run.problems]
    assert [model.tokenizer(text)["input_ids"] for text in texts] != TOKENS
    # The problems of the run ask the same again, in any way of running them.
    again = model.run(run.problems, max_new_tokens=3, batch_size=2)
    assert again.question_tokens == TOKENS
    torch.testing.assert_close(again.thoughts, run.thoughts, atol=1e-4, rtol=1e-4)
    known = collect(model, run.problems)
    rows = known.rows([problem.id for problem in run.problems])
    torch.testing.assert_close(known.at("input")[rows], run.thoughts, atol=1e-4, rtol=1e-4)
    by_text = model.run(texts, max_new_tokens=3)
    assert by_text.question_tokens == [model.tokenizer(text)["input_ids"] for text in texts]


def test_token_ids_of_another_tokenizer_are_refused(tiny: ContinuousThoughtModel) -> None:
    problems = merging().think([torch.tensor([0, 1, 3])]).problems
    with pytest.raises(ValueError, match="another text than 'abc'"):
        tiny.think(problems)


def random_gpt2(eos: int = EOS, **template: object) -> ContinuousThoughtModel:
    """The same random weights every time, with another template."""
    torch.manual_seed(5)
    return wrap(BUILDERS["gpt2"](), Identity(), 2, Template((BOT,), (EOT,), eos, **template))


@pytest.mark.slow
def test_decoding_never_emits_a_suppressed_token(questions: list[str]) -> None:
    common = random_gpt2().run(questions, max_new_tokens=N_NEW).answer_tokens[0][0]
    barred = random_gpt2(suppressed=(common,)).run(questions, max_new_tokens=N_NEW)
    assert all(common not in tokens for tokens in barred.answer_tokens)


@pytest.mark.slow
def test_each_row_stops_at_its_own_eos(questions: list[str]) -> None:
    endless = random_gpt2(suppressed=(EOS,)).run(questions, max_new_tokens=N_NEW).answer_tokens
    # A token that some rows say in the middle, taken for EOS, ends those rows there.
    common = endless[0][3]
    stopped = random_gpt2(common, suppressed=(EOS,)).run(questions, max_new_tokens=N_NEW)
    expected = [row[: row.index(common)] if common in row else row for row in endless]
    assert stopped.answer_tokens == expected
    assert stopped.layout.answer_lengths == tuple(map(len, expected))
    assert len(set(map(len, expected))) > 1


@pytest.mark.slow
def test_an_eos_in_the_first_place_stays_where_the_template_says_so(questions: list[str]) -> None:
    options = {"suppressed": (EOS,)}
    tokens = random_gpt2(**options).run(questions[:1], max_new_tokens=N_NEW).answer_tokens[0]
    first, rest = tokens[0], tokens[1:]
    going_on = random_gpt2(first, stop_at_first=False, **options)
    expected = [first, *(rest[: rest.index(first)] if first in rest else rest)]
    assert going_on.run(questions[:1], max_new_tokens=N_NEW).answer_tokens[0] == expected
    assert random_gpt2(first, **options).generate(questions[:1], max_new_tokens=N_NEW) == [""]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at_first", [True, False])
def test_answer_token_j_is_what_answer_j_feeds_and_the_eos_that_ends_is_none(
    stop_at_first: bool, questions: list[str]
) -> None:
    options = {"suppressed": (EOS,)}
    said = random_gpt2(**options).run(questions, max_new_tokens=N_NEW).answer_tokens
    eos = said[0][0]  # one row begins with what is EOS from now on
    model = random_gpt2(eos, stop_at_first=stop_at_first, **options)
    embed = model.bridge.original_model.get_input_embeddings().weight
    fed: dict[int, Tensor] = {}

    def keep(vectors: Tensor, hook: object) -> None:
        fed[model.running.stage.index] = vectors[:, 0].clone()

    stages = [Answer(j) for j in range(N_NEW)]
    with model.hooks([("embed.hook_out", keep)], stages=stages), PositionRecorder(model) as whole:
        run = model.run(questions, max_new_tokens=N_NEW)
    beginning = [row for row in said if row[0] == eos]
    assert beginning
    for row, tokens in enumerate(run.answer_tokens):
        assert eos not in (tokens if stop_at_first else tokens[1:])
        if said[row][0] == eos:
            assert tokens[:1] == ([] if stop_at_first else [eos])
        assert run.layout.answer_lengths[row] == len(tokens)
        for j, token in enumerate(tokens[: N_NEW - 1]):
            torch.testing.assert_close(fed[j][row], embed[token], atol=0, rtol=0)
        shown = whole.dataset(run.problems[row].id)
        texts = shown["key_text"].values[shown["key_role"].values == "answer"].tolist()
        # The last token that fits is not fed.
        expected = [model.tokenizer.decode([token]) for token in tokens[: N_NEW - 1]]
        assert texts == expected


# The position map ------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    bot_width=st.integers(1, 2),
    eot_width=st.integers(1, 2),
    n_thoughts=st.integers(0, 4),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_every_column_has_the_role_of_the_position_map(
    lengths: list[int], bot_width: int, eot_width: int, n_thoughts: int, data: st.DataObject
) -> None:
    answers = data.draw(st.lists(st.integers(0, 4), min_size=len(lengths), max_size=len(lengths)))
    layout = Layout(tuple(lengths), bot_width, n_thoughts, eot_width, tuple(answers))
    roles = layout.roles()
    p = max(lengths) + bot_width - 1
    for row, (length, answer) in enumerate(zip(lengths, answers, strict=True)):
        expected = (
            [Role.PAD] * (max(lengths) - length)
            + [Role.QUESTION] * length
            + [Role.BOT] * bot_width
            + [Role.THOUGHT] * n_thoughts
            + [Role.EOT] * eot_width
            + [Role.ANSWER] * answer
            + [Role.PAD] * (max(answers) - answer)
        )
        assert roles[row].tolist() == expected
    assert layout.columns(Prompt()) == range(p + 1)
    for i in range(n_thoughts):
        assert layout.columns(Thought(i)) == range(p + 1 + i, p + 2 + i)
    assert layout.columns(Close()) == range(p + 1 + n_thoughts, p + 1 + n_thoughts + eot_width)
    assert layout.columns(Answer(2)).start == p + 1 + n_thoughts + eot_width + 2


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Layouts that fit together, some of whose rows answer nothing."""
    rows = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=5))
    questions, answers = zip(*rows, strict=True)
    return Layout(questions, bot_width=2, n_thoughts=3, eot_width=1, answer_lengths=answers)


@pytest.mark.slow
@given(layout=layouts(), other=layouts(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_rows_joined_and_answered_agree_on_every_role(
    layout: Layout, other: Layout, data: st.DataObject
) -> None:
    n_rows = len(layout.question_lengths)
    chosen = data.draw(st.lists(st.integers(0, n_rows - 1), max_size=6))
    rows = layout.rows(chosen)
    np.testing.assert_array_equal(rows.roles(), layout.roles()[chosen])
    assert rows.eot == layout.eot
    again = data.draw(st.lists(st.integers(0, max(len(chosen) - 1, 0)), max_size=3))
    again = again if chosen else []
    np.testing.assert_array_equal(rows.rows(again).roles(), layout.roles()[chosen][again])
    assert layout.rows(range(n_rows)) == layout

    # What a row is apart from its padding, which is all that a batch may change.
    def answer_tokens_of(one: Layout) -> list[list[int]]:
        return [row[row != Role.PAD].tolist() for row in one.roles()]

    joined = layout.joined(other)
    assert answer_tokens_of(joined) == answer_tokens_of(layout) + answer_tokens_of(other)
    assert joined.rows(range(n_rows)).question == joined.question
    assert answer_tokens_of(joined.rows(range(n_rows))) == answer_tokens_of(layout)
    lengths = data.draw(st.lists(st.integers(0, 7), min_size=n_rows, max_size=n_rows))
    answered = layout.answered(lengths)
    assert answered == Layout(layout.question_lengths, 2, 3, 1, tuple(lengths))
    picked = [lengths[row] for row in chosen]
    assert answer_tokens_of(answered.rows(chosen)) == answer_tokens_of(rows.answered(picked))
    if chosen:
        parts = [layout.rows([row]) for row in chosen]
        np.testing.assert_array_equal(parts[0].joined(*parts[1:]).roles(), rows.roles())


def test_the_layout_of_chosen_rows_of_a_run_has_their_own_answers(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    layout = tiny.run(questions, max_new_tokens=2).layout.answered(range(len(questions)))
    roles = layout.roles()
    for row in range(len(questions)):
        alone = layout.rows([row]).roles()
        np.testing.assert_array_equal(alone, roles[[row]])
        assert (alone == Role.ANSWER).sum() == row


def test_layouts_that_do_not_fit_together_are_refused() -> None:
    layout = Layout((3, 1), bot_width=1, n_thoughts=2, eot_width=1)
    with pytest.raises(ValueError, match="2 questions and 1 answers"):
        layout.answered([4])
    with pytest.raises(ValueError, match="3 questions and 1 answers"):
        layout.joined(Layout((3,), 1, 2, 1, (5,)))
    with pytest.raises(ValueError, match="joined only where"):
        layout.joined(Layout((3,), bot_width=1, n_thoughts=3, eot_width=1))
    for stage in (Thought(2), Thought(-1), Answer(-1)):
        with pytest.raises(ValueError, match="There is no"):
            layout.columns(stage)


def test_each_stage_feeds_its_columns_at_positions_without_gaps(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    seen: list[tuple[object, int, int]] = []

    def look(pattern: Tensor, hook: object) -> None:
        running = tiny.running
        columns = running.layout.columns(running.stage)
        seen.append((running.stage, pattern.shape[2], pattern.shape[3]))
        assert pattern.shape[2:] == (len(columns), columns.stop)
        # Padding to the left of a question gets no attention.
        for row in range(len(questions)):
            assert (pattern[row, :, -1, : running.layout.padding(row)] == 0).all()

    with tiny.hooks([("blocks.0.attn.hook_pattern", look)]):
        tiny.run(questions, max_new_tokens=3)
    stages = [stage for stage, _, _ in seen]
    thoughts = [Thought(i) for i in range(tiny.n_thoughts)]
    assert stages[: 2 + tiny.n_thoughts] == [Prompt(), *thoughts, Close()]
    assert stages[2 + tiny.n_thoughts :] == [Answer(0), Answer(1)]


# Hooks -----------------------------------------------------------------------------------------


def test_hooks_fire_in_their_stages_only_and_are_gone_after_an_exception(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    names = ["blocks.1.hook_out", "feedback.hook_in", "feedback.hook_out"]
    fired: list[tuple[str, object]] = []

    def note(activation: Tensor, hook: object) -> None:
        fired.append((hook.name, tiny.running.stage))

    def run_and_raise() -> None:
        with tiny.hooks([(name, note) for name in names], stages=[Thought(2)]):
            tiny.run(questions, max_new_tokens=2)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        run_and_raise()
    assert sorted(fired) == sorted((name, Thought(2)) for name in names)
    fired.clear()
    tiny.run(questions, max_new_tokens=2)
    assert not fired
    assert tiny.running is None


def test_a_hook_that_raises_leaves_the_model_as_it_was(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    before = tiny.run(questions, max_new_tokens=3)

    def fail(activation: Tensor, hook: object) -> Tensor:
        raise RuntimeError("in the hook")

    failing = tiny.hooks([("feedback.hook_out", fail), ("blocks.0.hook_out", fail)])
    with pytest.raises(RuntimeError, match="in the hook"), failing:
        tiny.run(questions)
    assert tiny.running is None
    assert tiny.run(questions, max_new_tokens=3).answer_tokens == before.answer_tokens


def test_a_hook_changes_what_it_returns(tiny: ContinuousThoughtModel, questions: list[str]) -> None:
    zeros = [("feedback.hook_out", lambda fed, hook: torch.zeros_like(fed))]
    with tiny.hooks(zeros, stages=[Thought(1)]):
        run = tiny.think(questions)
    plain = tiny.think(questions)
    assert (run.thoughts[:, 1] == 0).all()
    torch.testing.assert_close(run.thoughts[:, 0], plain.thoughts[:, 0])
    assert not torch.allclose(run.thoughts[:, 2], plain.thoughts[:, 2])


# At the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, "no questions"),
        ("one text", TypeError, r"give a list"),
        ([""], ValueError, "empty question"),
        (["   "], ValueError, "empty question"),
        ([3], TypeError, "Problem"),
        ([torch.zeros(2, 2, dtype=torch.long)], ValueError, "1-D"),
        ([torch.zeros(2)], ValueError, "1-D"),
        ([torch.tensor([1, 999])], ValueError, "0 to 59"),
        (["w1 " * 90], ValueError, "at most"),
    ],
)
def test_bad_questions_are_refused_with_a_sentence(
    tiny_gpt2_model: ContinuousThoughtModel, given: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tiny_gpt2_model.run(given, max_new_tokens=8)


def test_bad_numbers_are_refused_with_a_sentence(tiny_gpt2_model: ContinuousThoughtModel) -> None:
    model = tiny_gpt2_model
    with pytest.raises(ValueError, match="n_thoughts is -1"):
        model.run(["w1"], n_thoughts=-1)
    with pytest.raises(ValueError, match="max_new_tokens is -2"):
        model.run(["w1"], max_new_tokens=-2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        model.run(["w1"], batch_size=0)
    hooks = [("blocks.1.hook_ouut", lambda activation, hook: None)]
    with pytest.raises(KeyError, match=r"Did you mean 'blocks.1.hook_out'"), model.hooks(hooks):
        pass


def test_a_question_may_fill_the_context_to_the_last_position(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    model = tiny_gpt2_model
    room = model.n_context - 2 - model.n_thoughts - 8
    model.run(["w1 " * room], max_new_tokens=8)
    with pytest.raises(ValueError, match=f"at most {room} fit"):
        model.run(["w1 " * (room + 1)], max_new_tokens=8)


@pytest.mark.slow
def test_runs_ignore_dropout_even_if_someone_turned_training_on(questions: list[str]) -> None:
    torch.manual_seed(1)
    model = wrap(BUILDERS["gpt2"](), Projection(32, 40))
    quiet = model.think(questions).thoughts
    model.bridge.train()
    torch.testing.assert_close(model.think(questions).thoughts, quiet)
