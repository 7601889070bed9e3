"""What is of the wrong kind is refused with a sentence by recorders of states and by readouts.

These calls run in a Python of their own: inside the tests every annotation is checked at run time,
and that check would speak first.
"""

import pytest

from plain_python import printed

pytestmark = pytest.mark.slow

PREPARE = """
import numpy as np
from cot_attn import StateRecorder, stats, plots
from cot_attn.readouts import *
from cot_attn.toy import handmade_model, handmade_problems
model, problems = handmade_model(), handmade_problems(20)
with StateRecorder(model) as recorder:
    model.run(problems, max_new_tokens=3)
states = recorder.dataset()
answers = {problem.id: problem.answer for problem in problems}
lens = logit_lens(model, states, problems, "answer")
"""
REFUSED = {
    "StateRecorder(model, dtype='bfloat16')": "dtype is 'bfloat16'; give 'float32' or 'float16'",
    "StateRecorder(model, places='bot')": "places is 'bot'; give a list of different names",
    "StateRecorder(model, layers='all')": "layers are 'all'; 'a' is no whole number",
    "logit_lens(model, states.state, problems)": "states are a DataArray. Give what StateRecorder",
    "logit_lens(model, states, problems, 7)": "targets is 7; give 'steps', 'answer', or a mapping",
    "logit_lens(model, states, problems, 'results')": "targets is 'results'; give 'steps'",
    "logit_lens(model, states, problems, {p.id: '7' for p in problems})": "'7'; give a list of",
    "logit_lens(model, states, problems, {p.id: [7] for p in problems})": "is 7, not a text",
    "logit_lens(model, states, problems, {p.id: [] for p in problems})": "All targets are empty",
    "logit_lens(model, states, problems, 'answer', space='input')": "space is 'input'; give",
    "logit_lens(model, states, problems)": "No problem has a step with a value in it",
    "top_tokens(states, model, k=0)": "k is 0; give a number from 1 to",
    "probe(states, list(answers.values()))": "labels are a list without problem ids",
    "probe(states.state, answers)": "states are a DataArray. Give what StateRecorder",
    "probe(states, answers, groups=3)": "groups are a int without problem ids",
    "probe(states, answers, n_controls=0)": "n_controls is 0; give at least 1",
    "stats.lens_agreement(states)": "lacks ['baseline_rank', 'rank']; give what",
    "plots.lens_by_layer(stats.lens_agreement(lens))": "has the further dimensions ['answered', 't",
    "plots.top_words(top_tokens(states, model))": "has the further dimensions ['problem']",
    "plots.top_words(lens)": "words lack ['elsewhere', 'token']",
    "plots.probe_accuracy(lens)": "found has no 'accuracy'",
    "plots.probe_accuracy(probe(states, answers, n_permutations=19))": "has the dimensions",
}


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What each call says, run without annotations being checked."""
    told = "print(type(error).__name__, ' '.join(str(error).split()))"
    calls = "".join(
        f"try:\n    {call}\n    print('nothing')\nexcept Exception as error:\n    {told}\n"
        for call in REFUSED
    )
    return dict(zip(REFUSED, printed(PREPARE + calls).splitlines(), strict=True))


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_of_the_wrong_kind_is_refused_with_a_sentence(call, said):
    assert REFUSED[call] in said[call]
    assert said[call].split()[0] in ("TypeError", "ValueError")
