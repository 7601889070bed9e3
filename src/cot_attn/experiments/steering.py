"""Can a thought be driven? A direction added in doses, beside random ones of its norm."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from os import PathLike

import numpy as np
import xarray as xr

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import agree, says
from cot_attn.experiments._batches import problem_coordinates
from cot_attn.experiments._targets import target_logprobs
from cot_attn.experiments.directions import Add, AddRandom, Steering
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.replacements import ByThought
from cot_attn.interventions import (
    CleanActivations,
    Context,
    Corruption,
    Downstream,
    Hook,
    Intervention,
    collect,
    run_variants,
)
from cot_attn.interventions.resume import outlasting_its_parts
from cot_attn.models import ContinuousThoughtModel

GIVEN = "given"
Target = str | Callable[[Problem], str | None]


@outlasting_its_parts
def steer(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    direction: Steering,
    doses: Sequence[int | float],
    *,
    thoughts: Sequence[int] | None = None,
    also: Mapping[int, Corruption] | None = None,
    target: Target | None = None,
    sources: Sequence[Problem] = (),
    n_random: int = 20,
    downstream: Downstream = "recompute",
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Add a direction to thoughts in several doses, and see where the answers go.

    At every dose, random directions of the same norm are added in its place: a direction steers
    only where it does more than they do. They are drawn with the thoughts' own covariance, so that
    they lead where thoughts differ.

    Parameters
    ----------
    model
        The model.
    problems
        Problems that the direction was not made from.
    direction
        From `difference_of_means`, a `Direction` of one's own, or `TowardsProblem`.
    doses
        How often the direction is added; 1 is the direction as it is, 0 changes nothing.
    thoughts
        Which thoughts are steered, all at once; by default all.
    also
        What is done to other thoughts at the same site at every dose: `{5: Zero()}`.
    target
        The answer that the direction should lead to: a text, or a function problem -> text or None.
    sources
        Further problems whose thoughts are needed: the source of `TowardsProblem`.
    n_random
        How many random directions; with 20, the smallest p is 1/21.
    downstream, max_new_tokens, batch_size, seed, resume
        As for `Intervention` and `run_variants`.

    Returns
    -------
    xr.Dataset
        Over (problem, direction, dose), where `direction` is "given", "random 0", ...: `answer`;
        `target`, `elsewhere` and `stays` (the answer is the target, another one, or has the value
        it had; where the target is what the answer was, it stays and `target` is NaN); `kl_value`;
        and, with a target, `logprob_target` (of the target said after the baseline's words up to
        the value), in nats. `norm` over (thought) is that of the direction, all hooks together.

    Raises
    ------
    ValueError
        Where a problem is one that the direction was made from, a thought does not exist or is
        named in `thoughts` and `also`, or a dose is given twice.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, toy
    >>> from cot_attn.experiments import difference_of_means
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> known, unknown = toy.toy_problems(90, steps=[3]), toy.toy_problems(6, seed=1, steps=[3])
    >>> fives = [problem for problem in known if problem.answer == "5"]
    >>> others = [problem for problem in known if problem.answer != "5"]
    >>> to_five = difference_of_means(model, fives, others)
    >>> found = steer(model, unknown, to_five, [0, 1], thoughts=[2], target="5", n_random=2)
    >>> found.target.mean("problem").sel(direction="given").values
    array([0., 1.])
    """
    require_one_number(model, "steer")
    problems = check_problems(problems)
    _check_apart(problems, direction)
    chosen = list(range(model.n_thoughts)) if thoughts is None else list(thoughts)
    beside = dict(also or {})
    amounts = [float(dose) for dose in doses]
    if set(chosen) & set(beside) or len(set(amounts)) < len(amounts) or not amounts or n_random < 1:
        raise ValueError(
            f"thoughts are {chosen}, also {sorted(beside)}, doses {amounts}, n_random {n_random}. "
            "Give different doses, one random direction at least, and each thought one thing."
        )
    names = [GIVEN, *(f"random {number}" for number in range(n_random))]
    changes = {
        (name, dose): Intervention(
            [*chosen, *beside],
            _every(chosen, beside, _addition(direction, dose, number)),
            direction.site,
            downstream,
        )
        for (number, name), dose in product(enumerate(names), amounts)
    }
    everyone = [*problems, *check_problems(sources)] if sources else problems
    variants = run_variants(
        model,
        problems,
        list(changes.values()),
        ["answer", "kl_value"],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        donors=everyone,
        only_correct=False,
        resume=resume,
    )
    site_hooks = direction.site.hooks(model)
    needed = {
        *site_hooks,
        *(hook for change in changes.values() for hook in change.baselines(model)),
    }
    hooks: list[Hook] = sorted(needed, key=lambda hook: hook.label)
    clean = collect(model, everyone, hooks)
    goals = [target(problem) if callable(target) else target for problem in problems]
    found = _labelled(problems, variants, goals, names, amounts)
    if target is not None:
        logs = target_logprobs(
            model,
            problems,
            list(changes.values()),
            goals,
            clean,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            seed=seed,
            resume=resume,
        )
        shape = (len(problems), len(names), len(amounts))
        found["logprob_target"] = (("problem", "direction", "dose"), logs.reshape(shape))
    found["norm"] = ("thought", _norms(direction, site_hooks, clean, problems, seed))
    return found.assign_coords(thought=range(model.n_thoughts)).assign_attrs(
        **model.provenance(),
        experiment="steer",
        n_thoughts=model.n_thoughts,
        steered=str(chosen),
        name=direction.label,
        site=direction.site.label,
        downstream=downstream,
        max_new_tokens=max_new_tokens,
        seed=seed,
        noise_floor=variants.attrs["noise_floor"],
    )


def _check_apart(problems: Sequence[Problem], direction: Steering) -> None:
    """Raise where a direction is tried on what it was made from."""
    same = [problem.id for problem in problems if problem.id in direction.made_from]
    if same:
        raise ValueError(
            f"{len(same)} of the problems ({', '.join(same[:3])}, ...) are among those that "
            f"{direction.label!r} was made from: what it does to them says nothing about others. "
            "Make it from one part of the problems and try it on another."
        )


def _addition(direction: Steering, dose: float, number: int) -> Corruption:
    return Add(direction, dose) if number == 0 else AddRandom(direction, dose, number - 1)


def _every(chosen: Sequence[int], beside: dict[int, Corruption], added: Corruption) -> Corruption:
    return ByThought({**dict.fromkeys(chosen, added), **beside}) if beside else added


def _norms(
    direction: Steering,
    hooks: Sequence[Hook],
    clean: CleanActivations,
    problems: Sequence[Problem],
    seed: int,
) -> np.ndarray:
    """Return the length of the direction at each thought, all hooks together."""
    n_thoughts = clean[hooks[0]].shape[1]
    squares = np.zeros((len(problems), n_thoughts))
    for hook, thought in product(hooks, range(n_thoughts)):
        contexts = [Context(problem.id, thought, seed, clean, hook) for problem in problems]
        vectors = direction.at(contexts).double().flatten(start_dim=1)
        squares[:, thought] += vectors.square().sum(dim=1).cpu().numpy()
    norms: np.ndarray = np.sqrt(squares).mean(axis=0)
    return norms


def _labelled(
    problems: Sequence[Problem],
    variants: xr.Dataset,
    goals: Sequence[str | None],
    names: Sequence[str],
    doses: Sequence[float],
) -> xr.Dataset:
    shape = (len(problems), len(names), len(doses))
    answers = variants["answer"].values.reshape(shape)
    baseline = [str(text) for text in variants["baseline_answer"].values]
    outcomes = {name: np.full(shape, np.nan) for name in ("target", "elsewhere", "stays")}
    for row, (problem, goal) in enumerate(zip(problems, goals, strict=True)):
        there_already = says(baseline[row], goal, problem) == 1
        for place in np.ndindex(shape[1:]):
            text = str(answers[row, *place])
            stays = agree(text, baseline[row], problem)
            hit = np.nan if there_already else says(text, goal, problem)
            outcomes["stays"][row, *place] = float(stays)
            outcomes["target"][row, *place] = hit
            outcomes["elsewhere"][row, *place] = float(not stays and hit != 1)
    dims = ("problem", "direction", "dose")
    kl = variants["kl_value"].values.reshape(shape)
    return xr.Dataset(
        {
            "answer": (dims, answers),
            **{name: (dims, values) for name, values in outcomes.items()},
            "kl_value": (dims, kl),
        },
        coords={
            **problem_coordinates(problems),
            "baseline_answer": ("problem", variants["baseline_answer"].values),
            "baseline_correct": ("problem", variants["baseline_correct"].values),
            "direction": list(names),
            "dose": list(doses),
        },
    )
