"""Nodes in thoughts: made-up graphs, and models whose thoughts are known to hold a frontier."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from conftest import tiny_gpt2, wrap
from cot_attn import stats
from cot_attn.data import Problem
from cot_attn.experiments import frontier
from cot_attn.experiments.problem_graphs import graph_of, names_exchanged
from cot_attn.models import ContinuousThoughtModel, Feedback
from cot_attn.toy import graph_problems, toy_problems

PROBLEMS = graph_problems(12, [f"w{i}" for i in range(26)], n_steps=2)


class Planned(Feedback):
    """Thoughts that somebody has planned for each problem, whatever the hidden state says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.plans, self.model = width, {}, None

    def transform(self, hidden: Tensor) -> Tensor:
        rollout = self.model.running
        step = rollout.stage.index
        return torch.stack([self.plans[problem.question][step] for problem in rollout.problems])


@pytest.fixture
def planned():
    torch.manual_seed(0)
    feedback = Planned(32)
    model = wrap(tiny_gpt2(), feedback, n_thoughts=2)
    feedback.model = model
    return model


def plan(model: ContinuousThoughtModel, problems: list[Problem], parts: tuple[str, ...]) -> None:
    """Let thought i be the sum of the embeddings of nodes that play certain parts then."""
    weight = model.bridge.original_model.get_input_embeddings().weight.detach()
    for problem in problems:
        graph = graph_of(problem)
        rows = []
        for step in (1, 2):
            nodes = [node for node in graph.nodes if graph.part(node, step) in parts]
            ids = [model.tokenizer(node)["input_ids"][0] for node in nodes]
            rows.append(weight[ids].sum(dim=0))
        model.feedback.plans[problem.question] = torch.stack(rows)


@pytest.mark.slow
def test_a_search_in_parallel_is_found(planned) -> None:
    others = [names_exchanged(problem, 0)[0] for problem in PROBLEMS]
    plan(planned, [*PROBLEMS, *others], ("optimal", "frontier"))
    excess = stats.frontier_excess(frontier(planned, PROBLEMS))
    there = excess.sel(part=["optimal", "frontier"], thought=[0, 1])
    assert (there["estimate"] > 0.2).all()
    assert (there["p_holm"] < 0.05).all()
    assert (excess["estimate"].sel(part="unreachable") < 0.1).all()


@pytest.mark.slow
def test_a_single_way_is_no_search_in_parallel(planned) -> None:
    others = [names_exchanged(problem, 0)[0] for problem in PROBLEMS]
    plan(planned, [*PROBLEMS, *others], ("optimal",))
    excess = stats.frontier_excess(frontier(planned, PROBLEMS))["estimate"]
    assert (excess.sel(part="optimal") > 0.2).all()
    assert float(excess.sel(part="frontier").mean()) < 0.05


@pytest.mark.slow
def test_what_a_thought_has_for_names_alone_is_no_finding(planned) -> None:
    """The thoughts are those of the names of the frontier, in the exchanged problem as well."""
    plan(planned, PROBLEMS, ("optimal", "frontier"))
    for problem in PROBLEMS:
        other = names_exchanged(problem, 0)[0]
        planned.feedback.plans[other.question] = planned.feedback.plans[problem.question]
    found = frontier(planned, PROBLEMS)
    assert float(found["similarity"].sel(part="optimal").mean()) > 0.2
    excess = stats.frontier_excess(found)
    np.testing.assert_allclose(excess["estimate"].fillna(0), 0, atol=1e-6)


def test_the_measures_are_a_plain_cosine_and_a_plain_softmax(tiny_gpt2_model) -> None:
    problem = PROBLEMS[1]
    found = frontier(tiny_gpt2_model, [problem])
    hidden = []
    with tiny_gpt2_model.hooks([("feedback.hook_in", lambda state, hook: hidden.append(state))]):
        run = tiny_gpt2_model.think([problem])
    graph, model = graph_of(problem), tiny_gpt2_model.bridge.original_model
    nodes = [node for node in graph.nodes if graph.part(node, 2) == "frontier"]
    ids = [tiny_gpt2_model.tokenizer(node)["input_ids"][0] for node in nodes]
    weight = model.get_input_embeddings().weight
    cosines = torch.cosine_similarity(run.thoughts[0, 1], weight[ids], dim=-1)
    masses = model.get_output_embeddings()(hidden[1][0]).softmax(-1)[ids]
    here = found.sel(thought=1, part="frontier").isel(problem=0)
    assert here["n_nodes"].item() == len(nodes) > 0
    assert here["similarity"].item() == pytest.approx(float(cosines.detach().mean()), abs=1e-5)
    assert here["mass"].item() == pytest.approx(float(masses.mean()), abs=1e-6)


def test_names_change_places_and_the_graph_stays() -> None:
    problem = PROBLEMS[3]
    other, instead = names_exchanged(problem, 0)
    before, after = graph_of(problem), graph_of(other)
    assert all(instead[name] != name for name in before.nodes)
    assert before.start == after.start
    assert instead[before.target] == after.target
    for node in before.nodes:
        for step in (1, 2, 3):
            assert before.part(node, step) == after.part(instead[node], step)


def test_a_real_problems_sentences_are_read() -> None:
    question = (
        "Every tumpus is a zhorpus. Sally is a tumpus. Every zhorpus is a sterpus. Every boompus "
        "is an orompus. Sally is a boompus. Is Sally a sterpus or orbus?"
    )
    graph = graph_of(Problem("q", question, "Sally is a sterpus.", answer_type="text"))
    assert graph.start == "Sally"
    assert graph.distances("Sally")["sterpus"] == 3
    assert [graph.part(node, 1) for node in ("tumpus", "boompus")] == ["optimal", "frontier"]


def test_made_up_graphs_are_as_they_say() -> None:
    for problem in graph_problems(20, [f"w{i}" for i in range(30)], n_steps=4, seed=3):
        graph = graph_of(problem)
        assert graph.distances("w0")[graph.target] == 4
        parts = [[graph.part(node, step) for node in graph.nodes] for step in (1, 2, 3, 4)]
        for at_step in parts:
            assert at_step.count("optimal") + at_step.count("frontier") == 3
            assert at_step.count("unreachable") == 12
        assert parts[3].count("optimal") == 1


def test_names_that_could_not_be_read_again_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 7"):
        graph_problems(1, ["Tom", "a", "b"], n_steps=1)
    with pytest.raises(ValueError, match="no single word"):
        graph_problems(1, ["Tom", *"abcde", "f g"], n_steps=1)


def test_problems_without_a_graph_are_refused(tiny_gpt2_model) -> None:
    with pytest.raises(ValueError, match="tells no graph"):
        frontier(tiny_gpt2_model, toy_problems(1))


@pytest.mark.slow
def test_where_parts_mean_nothing_an_excess_is_found_in_5_percent_at_most() -> None:
    """Calibration, over all thoughts and parts together."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        level = rng.normal(size=(30, 1, 1))
        one, other = level + rng.normal(size=(2, 30, 3, 5))
        dims = ("problem", "thought", "part")
        made_up = xr.Dataset(
            {"mass": (dims, one), "mass_exchanged": (dims, other)},
            coords={"problem": range(30), "thought": range(3), "part": list("abcde")},
        )
        found.append(bool((stats.frontier_excess(made_up, "mass")["p_holm"] < 0.05).any()))
    assert np.mean(found) <= 0.05
