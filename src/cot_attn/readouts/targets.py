"""What is looked for in a state: texts of each problem, by label."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from cot_attn.data.answers import ANSWERS
from cot_attn.data.problem import Problem, check_problems

Texts = Mapping[str, Sequence[str] | Mapping[str, str]]
"""By problem id: texts in order, or by name."""


def step_results(problems: Sequence[Problem]) -> xr.DataArray:
    """Return what each step of the problems' written solutions comes to.

    A step's result is the value that grading would find in it: of "16-3=13" the 13.

    Returns
    -------
    xr.DataArray
        Texts with dims (problem, step); steps are counted from 1. Empty where a problem has no such
        step, or the step no value.

    Raises
    ------
    ValueError
        Where no problem has a step with a value.

    Examples
    --------
    >>> from cot_attn import load_problems
    >>> step_results(load_problems("toy", n=2, difficulties=[2])).values.tolist()
    [['4', '2'], ['14', '19']]
    """
    results = [[_value(step, problem) for step in problem.steps] for problem in problems]
    if not any(any(row) for row in results):
        raise ValueError(
            "No problem has a step with a value in it. Give problems with steps, or your own "
            "targets= by problem id."
        )
    longest = max(map(len, results))
    table = [row + [""] * (longest - len(row)) for row in results]
    return _array(table, problems, "step", list(range(1, longest + 1)))


def target_texts(problems: Sequence[Problem], targets: str | Texts) -> xr.DataArray:
    """Return texts with dims (problem, target), empty where a problem has none.

    Parameters
    ----------
    problems
        What was asked.
    targets
        "steps", "answer" (the gold answer's value), or texts by problem id.

    Raises
    ------
    TypeError, ValueError
        Where texts are of another kind, of other problems, or none at all.
    """
    argument: object = targets
    problems = check_problems(problems)
    if isinstance(targets, str):
        if targets == "steps":
            results = step_results(problems)
            names = [f"step {step}" for step in results["step"].values]
            return results.rename(step="target").assign_coords(target=names)
        if targets == "answer":
            answers = [_answer(problem) for problem in problems]
            if not any(answers):
                raise ValueError("No problem has a gold answer. Give your own targets=.")
            return _array([[answer] for answer in answers], problems, "target", ["answer"])
    if not isinstance(argument, Mapping):
        raise TypeError(
            f"targets is {argument!r}; give 'steps', 'answer', or a mapping from problem ids to "
            "texts, such as {problem.id: ['7', 'adds'] for problem in problems}."
        )
    return _own(problems, argument)


def _own(problems: Sequence[Problem], targets: Mapping[str, object]) -> xr.DataArray:
    ids = [problem.id for problem in problems]
    lacking = [each for each in ids if each not in targets]
    unknown = [each for each in targets if each not in ids]
    if lacking or unknown:
        raise ValueError(
            f"targets lack {len(lacking)} of the problems ({', '.join(lacking[:3])}) and have "
            f"{len(unknown)} others ({', '.join(map(str, unknown[:3]))}). Give texts, or an empty "
            "list, for exactly the problems of these states."
        )
    named: list[dict[str, str]] = []
    for each in ids:
        texts = targets[each]
        if isinstance(texts, Mapping):
            named.append(dict(texts))
        elif isinstance(texts, Sequence) and not isinstance(texts, str):
            named.append({f"target {number}": text for number, text in enumerate(texts, start=1)})
        else:
            raise TypeError(f"The targets of {each!r} are {texts!r}; give a list of texts.")
        for text in named[-1].values():
            if not isinstance(text, str):
                raise TypeError(f"A target of {each!r} is {text!r}, not a text.")
    names = list(dict.fromkeys(name for texts in named for name in texts))
    if not any(text.strip() for texts in named for text in texts.values()):
        raise ValueError("All targets are empty. Give at least one text.")
    table = [[texts.get(name, "") for name in names] for texts in named]
    return _array(table, problems, "target", names)


def _array(
    table: Sequence[Sequence[str]], problems: Sequence[Problem], dim: str, labels: Sequence[object]
) -> xr.DataArray:
    ids = np.array([problem.id for problem in problems], dtype=object)
    texts = np.array([list(row) for row in table], dtype=object).reshape(len(ids), len(labels))
    return xr.DataArray(texts, {"problem": ids, dim: list(labels)}, ("problem", dim), name="text")


def _value(text: str, problem: Problem) -> str:
    span = ANSWERS[problem.answer_type].find(text)
    return text[slice(*span)] if span else ""


def _answer(problem: Problem) -> str:
    gold = None if problem.answer is None else ANSWERS[problem.answer_type].gold(problem.answer)
    return gold or ""
