"""What is of the wrong kind is refused with a sentence.

These calls run in a Python of their own: inside the tests every annotation is checked at run time,
and that check would speak first.
"""

import pytest

from cot_attn import (
    ContinuousThoughtModel,
    load_problems,
    run_study,
)
from plain_python import printed

pytestmark = pytest.mark.slow

PREPARE = """
import pandas as pd
from cot_attn import Intervention, Problem, TokenAblator, compare, grade, load_problems
from cot_attn import run_variants
from cot_attn.interventions import Hook, Zero, collect
from cot_attn.study import Study
from cot_attn.toy import handmade_model
from cot_attn.models import Answer, EntropyBelow, Thought
model = handmade_model()
problem = Problem("a", "What is 1 + 1?", "2")
nothing = ("blocks.0.hook_out", lambda activation, hook: None)
def hooks(stages):
    with model.hooks([nothing], stages=stages):
        pass
"""
REFUSED = {
    "grade(problem, 'The answer is 2')": "give one answer's text and then its problem",
    "grade(['The answer is 2'], [problem])": "grade was given a list and a list",
    "Problem('a', 'What is 1 + 1?', 2)": "the answer 2, not a text. Give '2'.",
    "load_problems(pd.DataFrame({'question': ['?']}))": "name_or_path is a DataFrame; give",
    "compare(Study(None, None, (), {}))": "compare was given one study; give a list of several",
    "hooks(Thought(2))": "stages is Thought(index=2); give a list of Prompt(), Thought(i)",
    "hooks([2])": "stages is [2]; give a list of Prompt(), Thought(i)",
    "hooks([Thought(1.5)])": "no stage Thought(index=1.5): thoughts, passes and answer tokens are",
    "hooks([Thought(2.0)])": "no stage Thought(index=2.0): thoughts, passes and answer tokens are",
    "hooks([Answer('1')])": "no stage Answer(index='1'): thoughts, passes and answer tokens are",
    "model.hooks([(3, nothing[1])]).__enter__()": "A hook name is 3; give a name, or a function",
    "model.hooks([(None, nothing[1])]).__enter__()": "A hook name is None; give a name, or a",
    "model.run_with_cache([problem], 3)": "A hook name is 3; give a name, or a function",
    "model.run_with_cache([problem], 'blocks.0.hook_out', stages=['eot'])": "give a list of Prompt",
    "collect(model, [problem], Hook('input'))": "give a list, as in [Hook(",
    "TokenAblator(model, Zero())": "corruptions is Zero(label='zero'); give a list",
    "TokenAblator(model, 'zero')": "corruptions is 'zero'; give a list",
    "TokenAblator(model, [])": "There are 0 corruptions of 6 thoughts. Give at least one",
    "run_variants(model, [problem], Intervention(0, Zero()))": "interventions is one, 'zero @",
    "model.run([problem], n_thoughts=2.5)": "n_thoughts is 2.5; give a whole number",
    "model.run([problem], n_thoughts=True)": "n_thoughts is True; give a whole number",
    "setattr(model, 'stop', 0.5)": "stop is 0.5; give an instance of a StopRule, such as",
    "setattr(model, 'stop', EntropyBelow)": "EntropyBelow'>; give an instance of a StopRule",
}


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What each call says, run without annotations being checked."""
    calls = "".join(
        f"try:\n    {call}\n    print('nothing')\n"
        "except (TypeError, ValueError) as error:\n    print(error)\n"
        for call in REFUSED
    )
    return dict(zip(REFUSED, printed(PREPARE + calls).splitlines(), strict=True))


@pytest.mark.parametrize("call", REFUSED)
def test_the_sentence_says_what_to_give(said: dict[str, str], call: str) -> None:
    assert REFUSED[call] in said[call]


def test_a_model_without_thoughts_cannot_be_studied() -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2", n_thoughts=0)
    with pytest.raises(ValueError, match="none to corrupt"):
        run_study(model, load_problems("toy", n=6))
