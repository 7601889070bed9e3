"""Rows that are branched, split, joined and dropped go on as each problem alone does."""

from collections.abc import Callable
from functools import cache
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel, Thought, _cache
from cot_attn.models.rollout import Rollout

WORDS = 6
LENGTHS = (3, 1, 5)
WORTH = (0, 2**62)
"""From how many bytes on rows share a prompt: always, and never."""
LONG = 18  # more words than a branch has room for, unless it is told of them


@cache
def begun(model: ContinuousThoughtModel, lengths: tuple[int, ...]) -> Rollout:
    """Return questions of some lengths that have been thought about."""
    questions = [[5 + (7 * row + i) % 20 for i in range(n)] for row, n in enumerate(lengths)]
    problems = [Problem(f"p{row}", "?", "1") for row in range(len(lengths))]
    rollout = model.rollout(problems, questions, model.n_thoughts)
    rollout.read()
    for index in range(model.n_thoughts):
        rollout.think(index)
    return rollout


def words(n_rows: int, n_words: int) -> torch.Tensor:
    return 5 + (torch.arange(n_rows)[:, None] * 3 + torch.arange(n_words)) % 20


@cache
def alone(model: ContinuousThoughtModel, source: int, row: int) -> torch.Tensor:
    """Return the logits behind each of the words of one row, which are said one by one."""
    rollout = begun(model, LENGTHS).branch(torch.tensor([source]))
    rollout.close()
    real = torch.ones(1, 1, dtype=torch.bool)
    said = words(row + 1, LONG)[row]
    return torch.cat([rollout.answer(i, word.view(1, 1), real)[0] for i, word in enumerate(said)])


# How a hidden state becomes a thought has nothing to do with rows: one feedback is enough.
@pytest.mark.slow
@pytest.mark.parametrize("tiny", ["gpt2-projection", "llama-projection"], indirect=True)
@pytest.mark.parametrize("n_columns", [None, 100], ids=["outgrown", "with room"])
@pytest.mark.parametrize("n_words", [WORDS, LONG])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_rows_go_on_as_each_problem_alone_does(
    tiny: ContinuousThoughtModel, n_words: int, n_columns: int | None, data: st.DataObject
) -> None:
    source = data.draw(st.lists(st.integers(0, 2), min_size=2, max_size=4), label="source")
    n_rows = len(source)
    cut = data.draw(st.integers(1, n_rows - 1), label="cut")
    every = st.permutations(range(n_rows))
    kept = data.draw(every, label="kept")[: data.draw(st.integers(1, n_rows), label="n_kept")]
    n_said = torch.tensor(
        data.draw(
            st.lists(st.integers(0, n_words - 1), min_size=n_rows, max_size=n_rows), label="said"
        )
    )
    tokens = words(n_rows, n_words)

    # Rows have a copy of the prompt each, or share it; a copy may be one of a copy.
    with patch.object(_cache, "WORTH_SHARING", data.draw(st.sampled_from(WORTH), label="worth")):
        before = begun(tiny, LENGTHS)
        if data.draw(st.booleans(), label="twice"):
            before = before.branch(torch.tensor([2, 1, 0]))
            source = [2 - row for row in source]
        branch = before.branch(torch.tensor(source), n_columns=n_columns)
    source = [int(problem.id[1:]) for problem in branch.problems]
    parts = [branch.view(slice(cut)), branch.view(slice(cut, n_rows))]
    for part, own in zip(parts, (tokens[:cut], tokens[cut:]), strict=True):
        part.force_answer(own, torch.ones_like(own, dtype=torch.bool))
    branch.merge(parts)
    order = torch.tensor(kept)
    branch.select(order)
    assert [p.id for p in branch.problems] == [f"p{source[row]}" for row in kept]

    # Rows go on in ascending order of what they have said, and join one after another.
    behind = n_said.sort().values[: len(kept)]
    expected = [alone(tiny, source[row], row) for row in kept]
    n_begun = 0
    for index in sorted(set(behind.tolist())):
        n_begun = int((behind <= index).sum())
        begun_rows = branch.truncated(n_begun, index)
        fed = tokens[order[:n_begun], index][:, None]
        logits = begun_rows.answer(index, fed, torch.ones_like(fed, dtype=torch.bool))[:, 0]
        own = torch.stack([each[index] for each in expected[:n_begun]])
        torch.testing.assert_close(logits, own, atol=1e-4, rtol=1e-4)
    assert n_begun == len(kept)


@torch.no_grad()
def test_rows_stand_in_the_order_in_which_they_were_chosen(tiny: ContinuousThoughtModel) -> None:
    branch = begun(tiny, (2, 5, 3, 1)).branch(torch.arange(4))
    branch.select(torch.tensor([3, 1]))
    assert [problem.id for problem in branch.problems] == ["p3", "p1"]
    assert branch.layout.question_lengths == (1, 5)
    # They stand behind their own words: the next one is at their own position.
    every = begun(tiny, (2, 5, 3, 1)).branch(torch.arange(4))
    torch.testing.assert_close(branch.close(), every.close()[[3, 1]], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("worth", WORTH)
@torch.no_grad()
def test_a_spare_rollout_gives_its_memory_and_changes_nothing(
    tiny: ContinuousThoughtModel, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cache, "WORTH_SHARING", worth)
    whole = begun(tiny, LENGTHS)
    rows, after = torch.tensor([2, 0, 2]), Thought(0)
    spare = whole.branch(rows, n_columns=50)
    spare.close()
    fresh, reused = whole.branch(rows, after=after), whole.branch(rows, after=after, spare=spare)
    torch.testing.assert_close(reused.think(1), fresh.think(1), atol=0, rtol=0)


@torch.no_grad()
def test_rows_that_share_a_prompt_take_none_of_another_rollout(
    tiny: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, rows = begun(tiny, LENGTHS), torch.tensor([1])
    copied = whole.branch(torch.tensor([2, 1, 0]), n_rows=3)
    monkeypatch.setattr(_cache, "WORTH_SHARING", 0)
    shared, other = whole.branch(rows, n_rows=3), copied.branch(rows, n_rows=3)
    for one, another in ((shared, copied), (copied, shared), (shared, other)):
        with pytest.raises(ValueError, match="branched off"):
            one.append_rows(another, torch.tensor([0]))


@torch.no_grad()
def test_what_becomes_of_a_rollout_changes_no_rows_that_share_its_prompts(
    tiny: ContinuousThoughtModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, rows = torch.tensor([2, 1, 0]), torch.tensor([0, 1])

    def base() -> Rollout:
        monkeypatch.setattr(_cache, "WORTH_SHARING", 2**62)
        copied = begun(tiny, LENGTHS).branch(every, n_rows=4)
        monkeypatch.setattr(_cache, "WORTH_SHARING", 0)
        return copied

    changes: list[Callable[[Rollout], object]] = [
        lambda changed: changed.select(torch.tensor([2, 0])),
        lambda changed: changed.append_rows(begun(tiny, LENGTHS), torch.tensor([0])),
    ]
    for change in changes:
        changed = base()
        expected, shared = base().branch(rows).close(), changed.branch(rows, n_rows=3)
        change(changed)
        with pytest.raises(ValueError, match="branched off"):  # its rows are others now
            shared.append_rows(changed, torch.tensor([0]))
        assert len(shared.problems) == 2
        torch.testing.assert_close(shared.close(), expected, atol=1e-5, rtol=1e-5)

    lent = base()
    expected, shared = base().branch(rows).close(), lent.branch(rows)
    begun(tiny, LENGTHS).branch(torch.tensor([1, 0, 2]), spare=lent)
    torch.testing.assert_close(shared.close(), expected, atol=1e-5, rtol=1e-5)
