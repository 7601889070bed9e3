"""The code behind each figure of the gallery: what the page shows is what is run.

Blocks run in the order of the page and share their names. The last line of a block draws; `shown`
is what a figure shows that no study holds.
"""

BEFORE = """\
from cot_attn import ContinuousThoughtModel, load_problems, plots, run_study, stats

problems = load_problems("toy", n=120)
model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
other = ContinuousThoughtModel.from_pretrained("toy-llama")
study = run_study(model, problems, readouts=True)
studies = [study, run_study(other, problems, readouts=True)]
"""

CODE = {
    "importance_beside_attention_by_layer": """\
from cot_attn import compare

together = compare(studies)
plots.importance_beside_attention_by_layer(
    stats.importance(together, by="model"),
    together["share"],
    totals=together["sequence_attention"].sum("thought", skipna=False),
)
""",
    "concentration_by_layer": """\
spread = stats.concentration(together["share"]).assign_coords(depth=together["depth"])
spread.attrs["n_thoughts"] = together.sizes["thought"]
plots.concentration_by_layer(spread.sel(measure="effective_number"))
""",
    "attention_against_importance_within_problems": """\
answered = study.shares.where(study.failure.notnull().all("thought"))
looked, broken = stats.double_centred(answered), stats.double_centred(study.failure)
plots.attention_against_importance_within_problems(
    looked,
    broken,
    line=stats.fitted_line(looked, broken),
    correlations=study.correlations.sel(estimand="within_problem"),
    layers=study.shown_layers,
)
""",
    "attention_against_importance": """\
plots.attention_against_importance(
    study.shares,
    study.failure,
    study.correlations.sel(estimand=["within_problem", "pooled"]),
    line=stats.fitted_line(study.shares, study.failure),
    layers=study.shown_layers,
)
""",
    "importance_by_thought": """\
plots.importance_by_thought(study.importance)
""",
    "importance_by_corruption": """\
rates = stats.importance(study.effects, by="corruption")
plots.importance_by_corruption(rates.assign_attrs(model=study.name))
""",
    "importance_by_problem": """\
plots.importance_by_problem(study.failure)
""",
    "recompute_against_frozen": """\
shown = run_study(model, problems, downstream="frozen").importance
plots.recompute_against_frozen(study.importance, shown)
""",
    "attention_by_layer": """\
plots.attention_by_layer(study.shares)
""",
    "attention_by_head": """\
plots.attention_by_head(study.head_shares, thought=0)
""",
    "flow_between_thoughts": """\
flow = stats.flow(study.attention)
plots.flow_between_thoughts(flow.sel(layer=study.layers[-1]))
""",
    "correlation_by_layer": """\
estimands = ["within_problem", "between_thoughts"]
plots.correlation_by_layer(study.correlations.sel(estimand=estimands))
""",
    "correlation_by_layer_and_thought": """\
plots.correlation_by_layer_and_thought(study.correlations_by_thought)
""",
    "correlation_by_thought": """\
last = study.correlations_by_thought.sel(layer=study.layers[-1])
plots.correlation_by_thought(last)
""",
    "importance_beside_attention": """\
layer = study.layers[-1]
plots.importance_beside_attention(
    study.importance,
    study.shares.sel(layer=layer),
    total=study.sequence_attention.sum("thought", skipna=False).sel(layer=layer),
)
""",
    "one_problem": """\
from cot_attn import PositionRecorder

hardest = max(problems, key=lambda problem: problem.difficulty)
with PositionRecorder(model) as recorder:
    model.run([hardest], max_new_tokens=8)
shown = recorder.dataset(hardest.id)
before_value = int(shown["query"][-2])  # the last word is the answer's value
plots.one_problem(shown.sel(layer=0), query=before_value)
""",
    "accuracy_by_condition": """\
from cot_attn.experiments import usage

shown = stats.usage_summary(usage(model, problems))
plots.accuracy_by_condition(shown)
""",
    "accuracy_by_exit": """\
from cot_attn.experiments import exit_curve

exits = exit_curve(model, problems)
shown = stats.exit_accuracy(exits, by="difficulty")
plots.accuracy_by_exit(shown)
""",
    "commitment_by_exit": """\
shown = stats.committed(stats.commitment(exits)).sel(target="right")
plots.commitment_by_exit(shown)
""",
    "interchange_by_thought": """\
from cot_attn import toy
from cot_attn.experiments import draw_pairs, interchange

pairs = draw_pairs(toy.toy_problems(40, seed=1, steps=[4]))
patched = interchange(model, pairs, expected=toy.expected_answer)
shown = stats.interchange_accuracy(patched).sel(prediction="changes", site="input")
plots.interchange_by_thought(shown)
""",
    "steering_by_dose": """\
from cot_attn.experiments import difference_of_means, steer

known = toy.toy_problems(400, steps=[4])
fives = [problem for problem in known if problem.answer == "5"]
others = [problem for problem in known if problem.answer != "5"]
towards_5 = difference_of_means(model, fives, others, label="towards 5")
doses = [0, 0.5, 1, 1.5, 2]
held_out = toy.toy_problems(40, seed=1, steps=[4])
steered = steer(model, held_out, towards_5, doses, thoughts=[3], target="5")
shown = stats.dose_response(steered).sel(outcome="target")
plots.steering_by_dose(shown)
""",
    "causal_graph": """\
from cot_attn.experiments import causal_graph

six_steps = toy.toy_problems(40, seed=1, steps=[6])
edges = stats.edge_effects(causal_graph(model, six_steps))
shown = edges.sel(downstream="recompute")
plots.causal_graph(shown)
""",
    "failure_by_heads": """\
from cot_attn.experiments import rank_heads

shown = stats.head_sets(rank_heads(model, six_steps, thought=5))
plots.failure_by_heads(shown)
""",
    "frontier_by_thought": """\
from cot_attn.data.sets.toy import DAYS, NAMES
from cot_attn.experiments import frontier

words = [*NAMES, *DAYS, "clock", "dial", "knob", "wheel"]  # that the model knows
graphs = toy.graph_problems(40, words, n_steps=2)  # it was taught none: nothing is found
shown = stats.frontier_excess(frontier(model, graphs))
plots.frontier_by_thought(shown)
""",
    "quantity_by_size": """\
import pandas as pd

table = pd.read_csv("examples/capacity.csv").query("row == 'equal-steps'")
table = table.assign(family=table["family"].astype(object)).set_index("model")


def by_size(quantity):
    rows = table[table["quantity"] == quantity]
    values = rows[["estimate", "low", "high", "n_problems"]].to_xarray()
    labels = {name: ("model", rows[name].to_numpy()) for name in ("family", "n_parameters")}
    attrs = {"confidence": 0.95, "long_name": quantity}
    return values.assign_coords(labels).assign_attrs(attrs)


shown = by_size("attention: effective thoughts")
plots.quantity_by_size(shown)
""",
    "strategies_by_size": """\
shown = by_size("importance: effective thoughts"), by_size("attention: effective thoughts")
plots.strategies_by_size(*shown)
""",
    "lens_by_step": """\
plots.lens_by_step(study.lens_of_fed.sel(answered="all"))
""",
    "lens_by_layer": """\
plots.lens_by_layer(study.lens.sel(answered="all", target="step 2"))
""",
    "top_words": """\
from cot_attn import StateRecorder
from cot_attn.readouts import top_tokens

with StateRecorder(model) as states:
    model.run(problems, max_new_tokens=8)
shown = top_tokens(states.dataset(), model, k=2).sel(problem=hardest.id)
plots.top_words(shown)
""",
    "probe_accuracy": """\
from cot_attn.readouts import probe

three_steps = load_problems("toy", n=240, difficulties=[3])
with StateRecorder(model, layers=[-1]) as states:
    model.run(three_steps, max_new_tokens=8)
even = {problem.id: int(problem.steps[1]) % 2 == 0 for problem in three_steps}
shown = probe(states.dataset(), even, n_permutations=99).isel(layer=0)
plots.probe_accuracy(shown)
""",
}
