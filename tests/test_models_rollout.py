"""Rows that are branched, split, joined and dropped go on as each problem alone does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel, Thought
from cot_attn.models.rollout import Rollout

WORDS = 6
LONG = 30  # more words than a branch has room for, unless it is told of them


def begun(model: ContinuousThoughtModel, lengths: list[int]) -> Rollout:
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


def alone(
    model: ContinuousThoughtModel, lengths: list[int], row: int, said: torch.Tensor
) -> torch.Tensor:
    """Return the logits behind the words of one row, which are said one by one."""
    whole = begun(model, lengths)
    rollout = whole.branch(torch.tensor([row]))
    logits = rollout.close()
    for index, token in enumerate(said):
        logits = rollout.answer(index, token.view(1, 1), torch.ones(1, 1, dtype=torch.bool))[:, 0]
    return logits[0]


@pytest.mark.parametrize("n_columns", [None, 100], ids=["outgrown", "with room"])
@pytest.mark.parametrize("n_words", [WORDS, LONG])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_rows_go_on_as_each_problem_alone_does(
    tiny: ContinuousThoughtModel, n_words: int, n_columns: int | None, data: st.DataObject
) -> None:
    lengths = [3, 1, 5]
    source = data.draw(st.lists(st.integers(0, 2), min_size=2, max_size=7), label="source")
    n_rows = len(source)
    cut = data.draw(st.integers(1, n_rows - 1), label="cut")
    kept = data.draw(st.sets(st.integers(0, n_rows - 1), min_size=1), label="kept")
    n_said = torch.tensor(
        data.draw(
            st.lists(st.integers(0, n_words - 1), min_size=n_rows, max_size=n_rows), label="said"
        )
    )
    tokens = words(n_rows, n_words)

    branch = begun(tiny, lengths).branch(torch.tensor(source), n_columns=n_columns)
    parts = [branch.part(slice(cut)), branch.part(slice(cut, n_rows))]
    for part, own in zip(parts, (tokens[:cut], tokens[cut:]), strict=True):
        part.recite(own, torch.ones_like(own, dtype=torch.bool))
    branch.rejoin(parts)
    order = branch.keep(torch.tensor(sorted(kept)))

    assert sorted(order.tolist()) == sorted(kept)
    assert [p.id for p in branch.problems] == [f"p{source[row]}" for row in order]
    branch.unsay(n_said[order])
    fed = tokens[order, n_said[order]][:, None]
    logits = branch.answer(0, fed, torch.ones_like(fed, dtype=torch.bool))[:, 0]
    for row, found in zip(order.tolist(), logits, strict=True):
        expected = alone(tiny, lengths, source[row], tokens[row, : n_said[row] + 1])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_few_rows_are_moved(tiny: ContinuousThoughtModel) -> None:
    branch = begun(tiny, [2] * 8).branch(torch.arange(8))
    assert branch.keep(torch.tensor([0, 2, 3, 4, 6, 7])).tolist() == [0, 6, 2, 3, 4, 7]


@torch.no_grad()
def test_a_spare_rollout_gives_its_memory_and_changes_nothing(
    tiny: ContinuousThoughtModel,
) -> None:
    whole = begun(tiny, [3, 1, 5])
    rows, after = torch.tensor([2, 0, 2]), Thought(0)
    spare = whole.branch(rows, n_columns=50)
    spare.close()
    fresh, reused = whole.branch(rows, after=after), whole.branch(rows, after=after, spare=spare)
    torch.testing.assert_close(reused.think(1), fresh.think(1), atol=0, rtol=0)
