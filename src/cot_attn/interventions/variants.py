"""The one way to intervene: run variants of problems and measure what each did."""

from collections.abc import Sequence
from contextlib import nullcontext
from os import PathLike

import torch
import xarray as xr

from cot_attn.data.problem import Problem, check_problems
from cot_attn.interventions.batching import Batches, fitting
from cot_attn.interventions.collecting import collect
from cot_attn.interventions.engine import Engine
from cot_attn.interventions.identity import identity
from cot_attn.interventions.intervention import Intervention
from cot_attn.interventions.noise import noise_floor
from cot_attn.interventions.outcomes import DEFAULT, check_outcomes
from cot_attn.interventions.place import Reference
from cot_attn.interventions.unfinished import Unfinished
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account, tell_of_hooks
from cot_attn.progress import progress

FLOOR_SHARE = 16
"""The noise floor is measured on one problem in this many, and on one at least."""


@torch.no_grad()
@on_its_own_account
def run_variants(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    interventions: Sequence[Intervention],
    outcomes: Sequence[str] = DEFAULT,
    *,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    reference: Sequence[Problem] | Reference | None = None,
    only_correct: bool = True,
    unfinished: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Run every intervention on every problem and measure what it did.

    Nothing else changes these runs: hooks and recorders that are on the model are set aside, on
    the bridge as well, because the result says which weights it came from and nothing more.

    Parameters
    ----------
    model
        The model.
    problems
        What it is asked; ids must differ.
    interventions
        The variants; their labels must differ.
    outcomes
        What is measured: `failed` (1 where the variant's answer is wrong), `answer` (its text),
        `kl_first`, `kl_value` (KL(baseline || variant) in nats at the first answer token and at
        the first token of the value, both saying the baseline's words), `logprob_gold`
        (log-probability of the gold value in a right baseline's words; NaN where that is wrong),
        `logprob_baseline` (of the baseline's whole answer), `disruption_l2` and `disruption_tv`
        (distance between attention rows from `eot` and `answer_value`, mean over heads),
        `thought_change` (1 - cosine similarity between a later thought and the baseline's).
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many rows run at once; by default as many as fit into free memory, up to a limit
        beyond which more is not faster. Where memory runs out, the batch halves and goes on. Like
        the order of the problems, it changes results by rounding alone: in float32 `failed` and
        `answer` were the same in every case tried, and 99 % of the divergences and
        log-probabilities within 1e-4 nats. Where a corruption leaves a model undecided, rounding
        grows from thought to thought: the largest difference seen was 0.02 nats, in a divergence
        of 16. In float64 all were the same to the last digit.
    seed
        For random corruptions. With problem id, thought and corruption it decides every choice.
    reference
        The problems that may donate to Resample and Mean; by default `problems`. Or what `collect`
        gave of them and of `problems`, at the hooks that the interventions' `baselines` name: for
        many calls with the same donors, which then run once.
    only_correct
        Whether variants run only of problems whose baseline is right. All problems stay in the
        result; what did not run is NaN.

    unfinished
        A folder in which finished problems are kept until all are done: after an interruption, the
        same call goes on from there. Corruptions must be dataclasses, and no hooks be attached.

    Returns
    -------
    xr.Dataset
        The outcomes over (problem, variant), with `layer` and `query` added for disruptions and
        `later_thought` for the change of thoughts.
        Along `problem`: `difficulty`, `question_length`, `baseline_correct`, `baseline_answer`.
        Along `variant`: `thoughts`, `corruption`, `site`, `downstream`. Attributes say model,
        checkpoint, seed, how many baselines were wrong and the noise floor of every outcome.

    Raises
    ------
    ValueError
        Where problems or labels repeat, a thought does not exist, a site never fires on thoughts,
        a corruption returns the wrong shape or NaN, or an outcome is not known.
    KeyError
        Where a site names a hook that the model does not have.
    """
    tell_of_hooks(model, "run_variants")
    check_problems(problems)
    check_outcomes(outcomes)
    check_interventions(interventions, model)
    if reference is not None and not isinstance(reference, Reference) and not reference:
        raise ValueError(
            "reference is empty. Give the problems that may donate, or None for `problems` "
            "themselves."
        )
    if (batch_size is not None and batch_size < 1) or max_new_tokens < 1:
        raise ValueError(
            f"batch_size is {batch_size} and max_new_tokens {max_new_tokens}; give at least 1."
        )
    _, questions = model.encode(problems, max_new_tokens=max_new_tokens)
    longest = max(map(len, questions)) + model.n_thoughts + max_new_tokens
    size = batch_size or fitting(model, longest)
    kept = None
    if unfinished is not None:
        everything = identity(
            model,
            problems,
            questions,
            interventions,
            donors=reference if isinstance(reference, Sequence) else problems,
            outcomes=sorted(outcomes),
            seed=seed,
            max_new_tokens=max_new_tokens,
            only_correct=only_correct,
            **({"reference": reference} if isinstance(reference, Reference) else {}),
        )
        kept = Unfinished(unfinished, everything)
    known = reference
    if not isinstance(known, Reference):
        hooks = {hook for change in interventions for hook in change.baselines(model)}
        known = collect(model, problems, hooks, donors=known, batch_size=size)
    engine = Engine(
        model,
        problems,
        interventions,
        outcomes,
        reference=known,
        seed=seed,
        max_new_tokens=max_new_tokens,
        only_correct=only_correct,
    )
    n_rows = len(problems) * len(interventions)
    with kept or nullcontext(), progress(f"{model.name} variants", n_rows) as advance:
        results = engine.run(Batches(size), advance, kept)
    usable = [p for p, right in zip(problems, results.correct, strict=True) if right]
    usable = sorted(usable or problems, key=lambda problem: problem.id)
    floor = noise_floor(
        model,
        usable[: -(-len(usable) // FLOOR_SHARE)],
        outcomes,
        treatments=[(change.site, change.downstream) for change in interventions],
        max_new_tokens=max_new_tokens,
        batch_size=size,
    )
    dataset = results.dataset().assign_attrs(
        max_new_tokens=max_new_tokens, seed=seed, n_donors=len(known.donors), noise_floor=floor
    )
    if kept:
        kept.remove()
    return dataset


def check_interventions(
    interventions: Sequence[Intervention], model: ContinuousThoughtModel
) -> None:
    """Raise where interventions are none, share a label, or cannot be carried out."""
    given: object = interventions
    if isinstance(given, Intervention):
        raise TypeError(f"interventions is one, {given.label!r}; give a list of them.")
    if not interventions:
        raise ValueError("There are no interventions. Give at least one Intervention.")
    n_thoughts = model.n_thoughts
    for change in interventions:
        if change.thoughts[-1] >= n_thoughts:
            raise ValueError(
                f"{change.label!r} names thought {change.thoughts[-1]}; this model thinks "
                f"{n_thoughts} thoughts, 0 to {n_thoughts - 1}."
            )
    labels = [change.label for change in interventions]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ValueError(
            f"Two interventions are called {repeated[0]!r}. Results are joined by label: leave one "
            "out, or give the corruption another `label`."
        )
    with model.isolated():
        for site in {change.site for change in interventions}:
            site.check(model)
