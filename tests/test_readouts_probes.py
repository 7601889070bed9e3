"""Probes read what is there, on problems they have not seen, and find nothing where nothing is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cot_attn.readouts import label_directions, probe, probe_transfer, question_groups
from cot_attn.readouts._examples import folds_of
from cot_attn.readouts._ridge import N_INNER_FOLDS, PENALTIES, Probe
from cot_attn.readouts._shuffling import control_labels, shuffled_by_group
from cot_attn.recording import StateRecorder
from cot_attn.stats._inference.clustered import rate_interval
from cot_attn.toy import handmade_model, handmade_problems
from cot_attn.toy.handmade import _Parts

PLACES = ["bot", "thought 0", "thought 1", "eot"]
QUICK = {"n_permutations": 19, "n_controls": 2}


def spelled(number: int) -> str:
    """Name a number without a digit, for questions that have nothing in common."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def recorded(states: np.ndarray, questions: list[str] | None = None) -> xr.Dataset:
    """What a recorder would give, of made-up states (problem, layer, place, d_model)."""
    n, n_layers, n_places, width = states.shape
    ids = [f"p{i:03}" for i in range(n)]
    return xr.Dataset(
        {
            "state": (("problem", "layer", "place", "d_model"), states),
            "fed": (("problem", "thought", "d_model"), np.zeros((n, 2, width))),
        },
        coords={
            "problem": np.array(ids, dtype=object),
            "layer": range(n_layers),
            "place": np.array(PLACES[:n_places], dtype=object),
            "thought": range(2),
            "question": ("problem", questions or [f"question {spelled(i)}" for i in range(n)]),
        },
    )


def by_id(states: xr.Dataset, labels: np.ndarray) -> dict[str, object]:
    return dict(zip(states["problem"].values, labels.tolist(), strict=True))


def planted(n: int = 60, seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Three classes, known at layer 1 from thought 0 on, and nowhere else."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    states = rng.normal(size=(n, 2, 4, 8))
    states[:, 1, 1:, :3] += 4 * np.eye(3)[labels][:, None]
    return recorded(states), labels


# What is predicted ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("width", [5, 60])
def test_every_prediction_is_scikit_learns(width: int) -> None:
    rng = np.random.default_rng(3)
    states, labels = rng.normal(size=(40, width)), np.arange(40) % 3
    states[:, :3] += np.eye(3)[labels]
    groups = np.arange(40) // 2
    folds = folds_of(groups, 4, seed=7)
    targets = np.eye(3)[labels]
    ours = Probe(states, folds, groups, 7).predict(targets[:, :, None])[:, :, 0]
    for fold in range(4):
        seen, unseen = folds != fold, folds == fold
        search = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge__alpha": [width * each for each in PENALTIES]},
            scoring="neg_mean_squared_error",
            cv=GroupKFold(N_INNER_FOLDS, shuffle=True, random_state=7),
        )
        search.fit(states[seen], targets[seen], groups=groups[seen])
        np.testing.assert_allclose(ours[unseen], search.predict(states[unseen]), atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_many_labelings_are_each_what_one_alone_is(kind: str) -> None:
    rng = np.random.default_rng(4)
    states, groups = rng.normal(size=(30, 6)), np.arange(30)
    targets = rng.normal(size=(30, 1 if kind == "values" else 3, 5))
    model = Probe(states, folds_of(groups, 5, 0), groups, 0)
    together = model.predict(targets)
    for labeling in range(5):
        alone = model.predict(targets[:, :, [labeling]])
        np.testing.assert_allclose(together[:, :, labeling], alone[:, :, 0], atol=1e-5)


@pytest.mark.slow
def test_accuracy_and_r2_are_scikit_learns() -> None:
    states, labels = planted()
    found = probe(states, by_id(states, labels), **QUICK)
    values = states.state.values[:, 1, 1, 5] + 0.1 * labels
    explained = probe(states, by_id(states, values), **QUICK)
    assert found.attrs["measure"] == "accuracy"
    assert explained.attrs["measure"] == "r2"
    groups = question_groups(states["question"].values.tolist())
    model = Probe(states.state.values[:, 1, 1], folds_of(groups, 5, 0), groups, 0)
    predicted = model.predict(np.eye(3)[labels][:, :, None])[:, :, 0].argmax(axis=1)
    at = {"layer": 1, "place": "thought 0"}
    np.testing.assert_allclose(found.accuracy.sel(at), accuracy_score(labels, predicted))
    smooth = model.predict(values[:, None, None])[:, 0, 0]
    np.testing.assert_allclose(explained.r2.sel(at), r2_score(values, smooth), atol=1e-6)


# What is found ----------------------------------------------------------------------------------


def test_a_label_is_found_where_it_was_put_and_nowhere_else() -> None:
    states, labels = planted()
    found = probe(states, by_id(states, labels), n_permutations=99)
    there = {"layer": [1], "place": PLACES[1:]}
    assert (found.accuracy.sel(there) > 0.9).all()
    assert (found.q.sel(there) < 0.05).all()
    assert (found.gain_low.sel(there) > 0.2).all()
    assert (found.selectivity.sel(there) > 0.4).all()
    elsewhere = found.sel(layer=0)
    assert (elsewhere.accuracy < 0.55).all()
    assert (elsewhere.p > 0.01).all()
    np.testing.assert_allclose(found.control.mean(), 1 / 3, atol=0.1)
    np.testing.assert_allclose(found.chance, 1 / 3)


def test_what_the_question_says_already_is_no_gain() -> None:
    states, labels = planted()
    states.state[:, 0, 0, :3] += 4 * np.eye(3)[labels]  # at bot, layer 0
    found = probe(states, by_id(states, labels), **QUICK).sel(layer=1, place="thought 0")
    assert found.accuracy > 0.9
    assert found.question_only > 0.9
    assert found.question_only_layer == 0
    assert abs(found.gain) < 0.1
    assert found.gain_low <= 0 <= found.gain_high
    without = probe(states.sel(place=["thought 0"]), by_id(states, labels), **QUICK)
    assert without.question_only.isnull().all()
    assert without.gain.isnull().all()


@pytest.mark.slow
def test_each_place_can_have_a_label_of_its_own() -> None:
    rng = np.random.default_rng(5)
    own = rng.integers(0, 2, size=(60, 4))
    states = rng.normal(size=(60, 1, 4, 6))
    states[:, 0, :, 0] += 6 * own
    given = recorded(states)
    labels = given.state.isel(layer=0, d_model=0, drop=True).copy(data=own)
    assert (probe(given, labels, **QUICK).accuracy > 0.9).all()
    of_bot = probe(given, labels.sel(place="bot", drop=True), **QUICK).accuracy.sel(layer=0)
    assert of_bot.sel(place="bot") > 0.9
    assert (of_bot.sel(place=PLACES[1:]) < 0.8).all()
    # What bot says of another place's label is its baseline.
    assert (probe(given, labels, **QUICK).question_only.sel(place=PLACES[1:]) < 0.8).all()


@pytest.mark.slow
def test_a_probe_that_knows_its_twins_does_not_pass_for_one_that_reads() -> None:
    """Twins in training and test: a random split remembers them, groups do not."""
    rng = np.random.default_rng(6)
    states = np.repeat(rng.normal(size=(30, 1, 2, 40)), 2, axis=0)
    labels = np.repeat(rng.permutation(np.arange(30) % 2), 2)
    same_numbers = [f"{spelled(i)} {way} {i} {i}" for i in range(30) for way in ("or", "and")]
    twins = recorded(states, same_numbers)
    strangers = recorded(states, [f"{spelled(i)}?" for i in range(60)])
    grouped = probe(twins, by_id(twins, labels), **QUICK)
    random = probe(strangers, by_id(strangers, labels), **QUICK)
    assert (random.accuracy > 0.8).all()
    assert (grouped.accuracy < 0.7).all()
    assert (grouped.n_groups == 30).all()
    own = probe(strangers, by_id(strangers, labels), groups=by_id(strangers, np.arange(60) // 2))
    assert (own.accuracy < 0.7).all()


@pytest.mark.slow
@pytest.mark.parametrize("twins", [1, 3])
def test_where_nothing_is_related_five_percent_are_found(twins: int) -> None:
    """A small version of benchmarks/probe_calibration.py."""
    n_runs, n = 80, 36
    rejected = 0
    for run in range(n_runs):
        rng = np.random.default_rng(run)
        states = np.repeat(rng.normal(size=(n // twins, 1, 1, 5)), twins, axis=0)
        labels = np.repeat(rng.permutation(np.arange(n // twins) % 2), twins)
        given = recorded(states + 0.01 * rng.normal(size=states.shape))
        groups = by_id(given, np.arange(n) // twins)
        found = probe(given, by_id(given, labels), groups=groups, seed=run, **QUICK)
        rejected += int(found.p.item() <= 0.05)
    assert rejected <= scipy_stats.binom.ppf(0.999, n_runs, 0.05)
    assert rejected > 0  # a test that never rejects is none


@pytest.mark.slow
def test_the_same_numbers_whatever_the_order() -> None:
    states, labels = planted()
    ids = by_id(states, labels)
    rng = np.random.default_rng(0)
    shuffled = states.isel(problem=rng.permutation(60))
    again = dict(sorted(ids.items(), reverse=True))
    xr.testing.assert_allclose(probe(states, ids, **QUICK), probe(shuffled, again, **QUICK))


# Labels that say nothing ------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.integers(0, 100))
def test_groups_move_as_wholes(drawn: list[int], seed: int) -> None:
    groups = np.unique(drawn, return_inverse=True)[1]
    orders = shuffled_by_group(groups, 5, np.random.default_rng(seed))
    for order in orders:
        assert sorted(order) == list(range(len(groups)))
        for group in range(groups.max() + 1):
            assert len(set(groups[order][groups == group])) == 1


def test_groups_of_one_size_take_every_place_alike() -> None:
    groups = np.array([0, 1, 1, 2, 3, 3, 4, 4, 5])
    orders = shuffled_by_group(groups, 3000, np.random.default_rng(0))
    for same in ([0, 3, 8], [1, 2, 4, 5, 6, 7]):  # those of one, those of two
        drawn = orders[:, same]
        assert set(drawn.ravel()) == set(same)
        shares = np.array([[(drawn[:, i] == j).mean() for j in same] for i in range(len(same))])
        np.testing.assert_allclose(shares, 1 / len(same), atol=0.05)


def test_a_control_task_labels_texts_and_not_problems() -> None:
    labels = np.array([0, 0, 0, 1] * 50)
    questions = [f"question {i // 2}" for i in range(200)]
    control = control_labels(labels, questions, 0)
    assert (control[::2] == control[1::2]).all()
    assert abs(control.mean() - 0.25) < 0.1
    backwards = control_labels(labels[::-1].copy(), questions[::-1], 0)
    np.testing.assert_array_equal(backwards[::-1], control)
    assert (control != control_labels(labels, questions, 1)).any()


WORDS = st.lists(st.sampled_from(["add", "3", "4", "and", "12", "take"]), min_size=1, max_size=5)


@pytest.mark.slow
@given(st.lists(WORDS.map(" ".join), min_size=2, max_size=12))
def test_questions_that_differ_in_numbers_alone_stay_together(questions: list[str]) -> None:
    groups = question_groups(questions)
    for one, first in zip(groups, questions, strict=True):
        for other, second in zip(groups, questions, strict=True):
            template = ["#" if word.isdigit() else word for word in first.split()]
            if template == ["#" if word.isdigit() else word for word in second.split()]:
                assert one == other
    assert groups[0] == 0
    if len(groups) >= 2 and groups.max() >= 1:
        folds = folds_of(groups, 2, 0)
        for group in np.unique(groups):
            assert len(set(folds[groups == group])) == 1


# Intervals --------------------------------------------------------------------------------------


def test_the_interval_of_single_problems_is_about_wilsons() -> None:
    hits = np.array([1.0] * 70 + [0.0] * 30)
    ours = rate_interval(hits, np.arange(100))
    wilson = scipy_stats.binomtest(70, 100).proportion_ci(method="wilson")
    np.testing.assert_allclose(ours, [wilson.low, wilson.high], atol=0.005)


@pytest.mark.parametrize("size", [1, 4])
def test_intervals_over_groups_hold_the_truth(size: int) -> None:
    covered = 0
    for run in range(400):
        rng = np.random.default_rng(run)
        own = rng.random(40) < 0.8
        hits = np.repeat(own, size) ^ (rng.random(40 * size) < 0.05)
        low, high = rate_interval(hits.astype(float), np.repeat(np.arange(40), size))
        covered += low <= 0.8 * 0.95 + 0.2 * 0.05 <= high
    assert covered / 400 > 0.93


# Other places, and directions -------------------------------------------------------------------


def test_a_code_that_is_shared_transfers_and_another_does_not() -> None:
    rng = np.random.default_rng(8)
    labels = np.arange(60) % 3
    states = rng.normal(size=(60, 1, 3, 9))
    states[:, 0, 1, :3] += 5 * np.eye(3)[labels]  # thoughts 0 and 1 (places 1 and 2): one code
    states[:, 0, 2, :3] += 5 * np.eye(3)[labels]
    states[:, 0, 0, 3:6] += 5 * np.eye(3)[labels]  # bot: another
    given = recorded(states)
    found = probe_transfer(given, by_id(given, labels)).accuracy.sel(layer=0)
    thoughts = found.sel(trained=PLACES[1:3], tested=PLACES[1:3])
    assert (thoughts > 0.9).all()
    assert found.sel(trained="bot", tested="bot") > 0.9
    assert (found.sel(trained="bot", tested=PLACES[1:3]) < 0.6).all()
    own = probe(given, by_id(given, labels), **QUICK).accuracy.sel(layer=0)
    np.testing.assert_allclose(np.diag(found), own)


def test_a_direction_has_not_seen_its_problems() -> None:
    states, labels = planted()
    first = label_directions(states, by_id(states, labels))
    changed = states.copy(deep=True)
    changed.state[(first.held_out == 2).values] += 100.0
    second = label_directions(changed, by_id(states, labels))
    same = (first.direction == second.direction).all(["layer", "place", "label", "d_model"])
    assert same.values.tolist() == [False, False, True, False, False]


def test_a_direction_is_a_difference_of_means() -> None:
    states, labels = planted()
    found = label_directions(states, by_id(states, labels))
    seen = (found.held_out != 1).values
    here = states.state.values[seen][:, 1, 2]
    for label in range(3):
        own = labels[seen] == label
        expected = here[own].mean(axis=0) - here[~own].mean(axis=0)
        at = {"fold": 1, "layer": 1, "place": "thought 1", "label": label}
        np.testing.assert_allclose(found.direction.sel(at), expected, atol=1e-12)


def test_the_direction_of_a_value_is_its_slope() -> None:
    states, _ = planted()
    value = np.random.default_rng(1).normal(size=60)
    states.state[:, 0, 1, 2] = 3.0 * value + 1.0
    found = label_directions(states, by_id(states, value))
    at = {"layer": 0, "place": "thought 0", "label": "value", "d_model": 2}
    np.testing.assert_allclose(found.direction.sel(at), 3.0, atol=1e-12)


@pytest.mark.slow
def test_the_planted_direction_of_the_handmade_model_is_recovered() -> None:
    """Thought 2 of a question with the digit x holds x + 2, in an entry and its double."""
    model, problems = handmade_model(), handmade_problems(100)
    with StateRecorder(model) as recorder:
        model.run(problems, max_new_tokens=3)
    digits = {p.id: p.question.split()[-1] for p in problems}
    tens = {p.id: i // 10 for i, p in enumerate(problems)}  # each with every digit
    found = label_directions(recorder.dataset(), digits, space="fed", groups=tens)
    parts = _Parts(6)
    held = torch.stack([parts.unit(parts.held + (digit + 2) % 10) for digit in range(10)])
    for digit in range(10):
        others = (held.sum(dim=0) - held[digit]) / 9
        expected = np.tile((held[digit] - others).numpy(), (5, 1))
        direction = found.direction.sel(thought=2, label=str(digit))
        np.testing.assert_allclose(direction, expected, atol=1e-6)


# The door, and NaN with a reason ----------------------------------------------------------------


def few(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[labels == 2] = 1
    labels[:4] = 2
    return labels


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (few, "class 2 has 4 examples, fewer than 5"),
        (np.zeros_like, "all labels are the same"),
        (lambda labels: np.full(len(labels), ""), "no problem has both"),
    ],
)
def test_what_cannot_be_learnt_is_nan_with_a_reason(
    change: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    states, labels = planted()
    found = probe(states, by_id(states, change(labels)), **QUICK)
    assert found.accuracy.isnull().all()
    assert found.p.isnull().all()
    assert found.q.isnull().all()
    assert reason in found.reason.values[0, 0]
    transferred = probe_transfer(states, by_id(states, change(labels)))
    assert transferred.accuracy.isnull().all()


def test_groups_that_do_not_split_are_a_reason_too() -> None:
    states, labels = planted()
    groups = by_id(states, np.arange(60) % 3)
    found = probe(states, by_id(states, labels), groups=groups, **QUICK)
    assert "3 groups of problems do not make 5 folds" in found.reason.values[1, 1]
    assert found.accuracy.isnull().all()
    with pytest.raises(ValueError, match="do not make 5 folds"):
        label_directions(states, by_id(states, labels), groups=groups)


def test_problems_without_a_label_or_a_state_are_left_out_and_counted() -> None:
    states, labels = planted()
    states.state[:10, :, 3] = np.nan  # no value in their answers
    given = by_id(states, labels) | {"p059": None}
    found = probe(states, given, **QUICK)
    assert found.n_problems.sel(layer=1).values.tolist() == [59, 59, 59, 49]
    assert (found.accuracy.sel(layer=1, place=PLACES[1:]) > 0.9).all()


def test_labels_are_joined_by_id_or_not_at_all() -> None:
    states, labels = planted()
    ids = by_id(states, labels)
    with pytest.raises(TypeError, match="without problem ids"):
        probe(states, xr.DataArray(labels, dims="problem"))
    with pytest.raises(ValueError, match=r"1 have states alone .p000., 0 labels alone"):
        probe(states, {key: value for key, value in ids.items() if key != "p000"})
    with pytest.raises(ValueError, match=r"1 labels alone .other."):
        probe(states, ids | {"other": 1})
    with pytest.raises(ValueError, match=r"groups and states are not of the same problems"):
        probe(states, ids, groups={"p000": 1})
    array = xr.DataArray(labels[:, None], {"problem": states["problem"]}, ("problem", "step"))
    with pytest.raises(ValueError, match=r"dimension 'step'. Choose one"):
        probe(states, array)
    with pytest.raises(ValueError, match="too few for any p below"):
        probe(states, ids, n_permutations=5)
    with pytest.raises(ValueError, match="n_folds is 1"):
        probe(states, ids, n_folds=1)


@pytest.mark.slow
def test_texts_truth_values_and_whole_numbers_are_classes() -> None:
    states, labels = planted()
    for named in (np.array(["a", "b", "c"])[labels], labels, labels == 1):
        found = probe(states, by_id(states, named), **QUICK)
        assert found.attrs["classes"] == sorted(set(named.tolist()))
        assert found.accuracy.sel(layer=1, place="eot") > 0.9
