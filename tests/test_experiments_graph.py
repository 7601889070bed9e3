"""Edges of a run: exact against a plain loop, and the graphs that are known are found."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import FancyArrowPatch

import simulated_experiments
from cot_attn import ContinuousThoughtModel, plots, stats
from cot_attn.data import Problem
from cot_attn.experiments import Edge, all_edges, causal_graph
from cot_attn.experiments.usage import strangers
from cot_attn.toy import handmade_model, handmade_problems, toy_problems
from plain_loop import N_NEW, N_THOUGHTS, ROUNDING, Plain, divergence, shared_twins

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

EDGES = [
    Edge("question", "bot"),
    Edge("bot", "thought 1"),
    Edge("thought 0", "thought 2"),
    Edge("question", "eot"),
    Edge("thought 1", "answer"),
    Edge("thought 0", "thought 1", "feedback"),
]


@pytest.mark.parametrize("heads", [None, [1, 3]])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_an_edge_taken_away_is_a_hole_in_the_mask_of_a_plain_loop(
    architecture: str, heads: list[int] | None, questions: list[str]
) -> None:
    twins = shared_twins(architecture, *questions[:3])
    found = causal_graph(
        twins.model, twins.problems, edges=EDGES, heads=heads, max_new_tokens=N_NEW
    )
    rows = {problem.id: row for row, problem in enumerate(twins.problems)}
    sources = strangers(twins.problems, seed=0)
    n_layers, n_heads = twins.model.n_layers, twins.model.n_heads
    n_changed = 0
    for row, problem in enumerate(twins.problems):
        n = len(twins.tokens[row])
        columns = {
            "question": range(n),
            "bot": [n],
            **{f"thought {i}": [n + 1 + i] for i in range(N_THOUGHTS)},
            "eot": [n + 1 + N_THOUGHTS],
            "answer": range(n + 2 + N_THOUGHTS, n + 2 + N_THOUGHTS + N_NEW),
        }
        runs: dict[str, Plain] = {}
        for edge in EDGES:
            for downstream in ("recompute", "frozen"):
                first = int(edge.target[-1]) if edge.target.startswith("thought") else -1
                first = N_THOUGHTS if edge.target in ("eot", "answer") else first
                later = range(first + 1, N_THOUGHTS) if downstream == "frozen" else ()
                before = range(min(first + 1, N_THOUGHTS))
                inputs = {i: twins.plain[row].thoughts[i] for i in (*before, *later)}
                blocked = [
                    (layer, head, query, key)
                    for layer in range(n_layers)
                    for head in (range(n_heads) if heads is None else heads)
                    for query in columns[edge.target]
                    for key in columns[edge.source]
                ]
                if edge.path == "feedback":
                    blocked = []
                    inputs[1] = twins.plain[rows[sources[problem.id]]].thoughts[1]
                here = found.sel(problem=problem.id, edge=edge.label, downstream=downstream)
                here = here.sel(hidden="source")
                if later or edge.label not in runs:  # nothing later is frozen: the same run
                    runs[edge.label] = twins.loop.run(
                        twins.tokens[row],
                        inputs=inputs,
                        blocked=blocked,
                        guess=twins.read(here["answer"].item()),
                    )
                plain = runs[edge.label]
                if plain.decided(twins.loop.template) == len(plain.logits):
                    assert here["answer"].item() == twins.model.decode(plain.answer)
                    n_changed += plain.answer != twins.plain[row].answer
                if twins.plain[row].answer:
                    kl = divergence(twins.plain[row].logits[0], plain.logits[0])
                    assert here["kl_value"].item() == pytest.approx(kl, rel=0.02, abs=10 * ROUNDING)
    assert n_changed > 2


def test_the_hand_built_models_graph_is_what_its_weights_say() -> None:
    """BOT reads the digit, the feedback carries it up to thought 2, and EOT reads thought 2."""
    some = [edge for edge in all_edges(6) if edge.target in ("bot", "thought 1", "eot", "answer")]
    edges = [*some, *(edge for edge in all_edges(6)[-6:] if edge not in some)]
    graph = causal_graph(handmade_model(), handmade_problems(14), edges=edges, max_new_tokens=4)
    failed = graph["failed"].sel(hidden="source").mean("problem")
    reads = "thought 2 -> eot"
    carried = ["bot => thought 0", "thought 0 => thought 1", "thought 1 => thought 2"]
    expected = {
        "recompute": {"question -> bot", reads, *carried},
        "frozen": {reads, carried[-1]},
    }
    for downstream, edges in expected.items():
        for label in graph["edge"].values:
            assert float(failed.sel(edge=label, downstream=downstream)) == float(label in edges)
    effects = stats.edge_effects(graph)
    for downstream, edges in expected.items():
        here = effects.sel(downstream=downstream)
        assert set(here["edge"].values[here["needed"].values]) == edges


@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_the_bundled_models_show_the_chain_from_question_to_thought_to_thought(name: str) -> None:
    model = ContinuousThoughtModel.from_pretrained(name)
    steps = [Edge("question", "bot")]
    steps += [Edge("question", f"thought {i}") for i in range(5)]
    steps += [edge for edge in all_edges(6) if edge.path == "feedback"]
    steps += [Edge("thought 5", "answer")]
    apart = [Edge("thought 1", "thought 2"), Edge("thought 0", "answer"), Edge("eot", "answer")]
    graph = causal_graph(
        model, toy_problems(5, steps=[6]), edges=[*steps, *apart], max_new_tokens=8
    )
    failed = graph["failed"].sel(hidden="source", downstream="recompute").mean("problem")
    assert (failed.sel(edge=[edge.label for edge in steps]) > 0.6).all()
    assert (failed.sel(edge=[edge.label for edge in apart]) < 0.2).all()


def test_an_edge_that_does_not_exist_is_no_change(tiny_gpt2_model, questions) -> None:
    problems = [Problem(f"p{i}", text, "1") for i, text in enumerate(questions)]
    backwards = [Edge("thought 2", "thought 0"), Edge("eot", "bot"), Edge("answer", "thought 1")]
    found = causal_graph(tiny_gpt2_model, problems, edges=backwards, max_new_tokens=4)
    source = found.sel(hidden="source")
    assert (source["answer"] == found["baseline_answer"]).all()
    assert float(source["kl_value"].max()) < 1e-9


def test_two_edges_together_do_what_both_do(questions) -> None:
    twins = shared_twins("gpt2", *questions[:4])
    pair = [Edge("question", "eot"), Edge("thought 0", "eot")]
    found = causal_graph(twins.model, twins.problems, edges=[pair], max_new_tokens=N_NEW)
    assert found["edge"].values.tolist() == ["question -> eot + thought 0 -> eot"]
    for row, problem in enumerate(twins.problems):
        n = len(twins.tokens[row])
        blocked = [
            (layer, head, n + 1 + N_THOUGHTS, key)
            for layer in range(2)
            for head in range(4)
            for key in [*range(n), n + 1]
        ]
        plain = twins.loop.run(twins.tokens[row], blocked=blocked, words=[0])  # the first token's
        if twins.plain[row].answer:
            kl = divergence(twins.plain[row].logits[0], plain.logits[0])
            here = found["kl_value"].sel(
                problem=problem.id, downstream="recompute", hidden="source"
            )
            assert here.values == pytest.approx([kl], rel=0.02, abs=10 * ROUNDING)


def test_what_cannot_be_is_refused(tiny_gpt2_model) -> None:
    problems = [Problem(f"p{i}", f"w{i}", "1") for i in range(2)]
    with pytest.raises(ValueError, match="no node 'thought 9'"):
        causal_graph(tiny_gpt2_model, problems, edges=[Edge("question", "thought 9")])
    with pytest.raises(ValueError, match="feedback does not lead"):
        causal_graph(tiny_gpt2_model, problems, edges=[Edge("bot", "thought 2", "feedback")])
    with pytest.raises(ValueError, match="each once"):
        causal_graph(tiny_gpt2_model, problems, edges=[EDGES[0], EDGES[0]])
    with pytest.raises(ValueError, match="layers are"):
        causal_graph(tiny_gpt2_model, problems, edges=EDGES[:1], layers=[99])
    with pytest.raises(ValueError, match="two problems"):
        causal_graph(tiny_gpt2_model, problems[:1])


def world(failing: np.ndarray, control: np.ndarray) -> xr.Dataset:
    """Failures over (problem, edge), with a source and with others hidden."""
    n_problems, n_edges = failing.shape
    values = np.stack([failing, control], axis=-1)[:, :, None].astype(float)
    edges = [f"question -> thought {i}" for i in range(n_edges)]
    return xr.Dataset(
        {"failed": (("problem", "edge", "downstream", "hidden"), values)},
        coords={
            "problem": range(n_problems), "edge": edges, "downstream": ["recompute"],
            "hidden": ["source", "others"], "source": ("edge", ["question"] * n_edges),
            "target": ("edge", edges), "path": ("edge", ["attention"] * n_edges),
        },
    )  # fmt: skip


def test_where_a_source_is_like_any_other_position_no_edge_is_needed_in_95_percent() -> None:
    """Calibration, over all edges of a graph together."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        rate = rng.random((40, 1)) * 0.6
        failing, control = (rng.random((40, 12)) < rate for _ in range(2))
        found.append(bool(stats.edge_effects(world(failing, control))["needed"].any()))
    assert np.mean(found) <= 0.05
    strong = stats.edge_effects(world(rng.random((40, 12)) < 0.9, rng.random((40, 12)) < 0.1))
    assert strong["needed"].all()


def test_a_width_is_a_part_of_all_answers() -> None:
    effects = simulated_experiments.graph().assign(needed=("edge", np.ones(51, dtype=bool)))
    effects["estimate"] = ("edge", np.linspace(0.2, 1.0, 51))

    def widths(shown: xr.Dataset) -> list[float]:
        ax = plots.causal_graph(shown)
        drawn = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
        plt.close("all")
        return [patch.get_linewidth() for patch in drawn]

    whole, half = widths(effects), widths(effects.assign(estimate=effects["estimate"] / 2))
    assert len(whole) == len(effects["edge"])
    np.testing.assert_allclose(np.maximum(np.array(whole) / 2, 0.4), half)
