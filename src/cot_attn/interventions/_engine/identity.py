"""What tells one run of variants from another: everything that its results depend on."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from torch import nn

from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.behaviour import behaviour
from cot_attn.interventions.intervention import Intervention
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.feedback import Feedback
from cot_attn.models.stopping import StopRule


def identity(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    questions: Sequence[Sequence[int]],
    interventions: Sequence[Intervention],
    donors: Sequence[Problem],
    **options: object,
) -> dict[str, object]:
    """Return everything that the results of a run depend on.

    Parameters
    ----------
    model
        The model, as it is now.
    problems, questions
        What it is asked, as problems and as token ids.
    interventions
        What is done to it.
    donors
        The problems that may donate.
    options
        How it is run and what is measured.
    """
    return {
        "version": version("cot-attn"),
        "model": model.provenance(),
        "n_thoughts": model.n_thoughts,
        "template": model.template,
        "feedback": _feedback(model.feedback),
        **({} if model.stop is None else {"stop": _stop(model.stop)}),
        "config": model.bridge.original_model.config.to_json_string(),
        "vocabulary": json.dumps(sorted(model.tokenizer.get_vocab().items())),
        "problems": [(each.id, each.question, each.answer, each.answer_type) for each in problems],
        "questions": [list(ids) for ids in questions],
        "interventions": [(each.label, each) for each in interventions],
        "donors": sorted((each.id, each.question) for each in donors),
        **options,
    }


def _feedback(feedback: Feedback) -> dict[str, object]:
    """Return what a feedback is made of, beside the machinery of every module."""
    state: dict[str, Any] = vars(feedback)
    return {
        "class": behaviour(type(feedback)),
        "modules": repr(feedback),
        "tensors": dict(feedback.state_dict()),
        "attributes": {name: state[name] for name in state.keys() - vars(nn.Module()).keys()},
    }


def _stop(rule: StopRule) -> dict[str, object]:
    """Return what a stop rule is made of."""
    return {"class": behaviour(type(rule)), "attributes": dict(vars(rule))}
