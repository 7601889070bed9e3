"""The one way to intervene: run variants of problems, and measure what each did."""

from collections.abc import Sequence
from contextlib import nullcontext
from os import PathLike

import torch
import xarray as xr

from cot_attn._former import former_arguments
from cot_attn._progress import progress
from cot_attn.data.problem import Problem, check_problems
from cot_attn.interventions._engine.batches import most_rows, rows_of_problem
from cot_attn.interventions._engine.behaviour import behaviour
from cot_attn.interventions._engine.engine import Engine
from cot_attn.interventions._engine.results import Beside
from cot_attn.interventions.collecting import collect_encoded
from cot_attn.interventions.context import CleanActivations
from cot_attn.interventions.intervention import Intervention, check_interventions
from cot_attn.interventions.noise_floor import measured_floor, unchanged_at
from cot_attn.interventions.outcomes import DEFAULT, check_outcomes
from cot_attn.interventions.resume import finished_problems
from cot_attn.models.batching import Batches, check_sizes
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account, tell_of_hooks

FLOOR_SHARE = 16
"""The noise floor is measured on one problem in this many, and on one at least."""


@former_arguments(reference="donors", unfinished="resume")
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
    donors: Sequence[Problem] | CleanActivations | None = None,
    only_correct: bool = True,
    resume: str | PathLike[str] | None = None,
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
        the first token of the value, both forced to the baseline's answer), `logprob_gold`
        (log-probability of the gold value in a right baseline's answer; NaN where that is wrong),
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
    donors
        The problems that may donate to Resample and Mean; by default `problems`. Or what `collect`
        gave of them and of `problems`, at the hooks that the interventions' `baselines` name: for
        many calls with the same donors, which then run once.
    only_correct
        Whether variants run only of problems whose baseline is right. All problems stay in the
        result; what did not run is NaN.

        With a stop rule, every variant of a problem thinks as many thoughts as its baseline: what
        an effect tells is that of the change, not of thinking longer. `n_thoughts` along `problem`
        says how many. A variant that changes a thought which a problem does not have, or draws on
        another which is not there, is NaN for that problem.
    resume
        A folder in which finished problems are kept until all are done: after an interruption, the
        same call resumes from there. Corruptions must be dataclasses.

    Returns
    -------
    xr.Dataset
        The outcomes over (problem, variant), with `layer` and `query` added for disruptions and
        `later_thought` for the change of thoughts.
        Along `problem`: `difficulty`, `question_length`, `baseline_correct`, `baseline_answer`.
        Along `variant`: `thoughts` (over (variant, thought), True where a thought is changed),
        `corruption`, `site`, `downstream`. Attributes say model, checkpoint, seed, how many
        baselines were wrong and the noise floor of every outcome.

    Raises
    ------
    ValueError
        Where problems or labels repeat, a thought does not exist, a site never fires on thoughts,
        a corruption returns the wrong shape or NaN, or an outcome is not known.
    KeyError
        Where a site names a hook that the model does not have.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, Intervention, load_problems, run_variants
    >>> from cot_attn.interventions import Zero
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> changes = [Intervention(thought, Zero()) for thought in range(6)]
    >>> result = run_variants(model, load_problems("toy", n=4), changes, ["failed"])
    >>> dict(result["failed"].sizes)
    {'problem': 4, 'variant': 6}
    >>> result.variant[result.thoughts.sel(thought=2)].item()
    'zero @ input of thought 2'
    """
    tell_of_hooks(model, "run_variants", stacklevel=6)
    check_problems(problems)
    check_outcomes(outcomes)
    check_interventions(interventions, model)
    if donors is not None and not isinstance(donors, CleanActivations) and not donors:
        raise ValueError(
            "donors is empty. Give the problems that may donate, or None for `problems` themselves."
        )
    check_sizes(batch_size, max_new_tokens)
    return measured_variants(
        model,
        problems,
        interventions,
        outcomes,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        donors=donors,
        only_correct=only_correct,
        resume=resume,
    )


def measured_variants(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    interventions: Sequence[Intervention],
    outcomes: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int | None,
    seed: int,
    donors: Sequence[Problem] | CleanActivations | None,
    only_correct: bool,
    resume: str | PathLike[str] | None,
    beside: Beside | None = None,
) -> xr.Dataset:
    """Do what `run_variants` does when it has checked what it was given, and measure more beside.

    The model is isolated. What is measured off the clean runs beside the variants is kept in
    `beside`; all else is as in `run_variants`.
    """
    _, questions = model.encode(problems, max_new_tokens=max_new_tokens)
    size = batch_size or most_rows(model, questions, max_new_tokens, len(interventions))
    collected, chosen = (donors, None) if isinstance(donors, CleanActivations) else (None, donors)
    if collected is not None:
        _check_stop(collected, model)
    finished = None
    if resume is not None:
        finished = finished_problems(
            resume,
            model,
            problems,
            questions,
            interventions,
            donors=problems if chosen is None else chosen,
            outcomes=sorted(outcomes),
            seed=seed,
            max_new_tokens=max_new_tokens,
            only_correct=only_correct,
            **({} if collected is None else {"collected": collected}),
            **({} if beside is None else {"beside": behaviour(type(beside))}),
        )
    clean, thinking = (
        (collected, None)
        if collected
        else collect_encoded(
            model,
            problems,
            questions,
            {hook for change in interventions for hook in change.baselines(model)},
            donors=chosen,
            batch_size=batch_size or max(1, size // rows_of_problem(len(interventions))),
        )
    )
    engine = Engine(
        model,
        problems,
        questions,
        interventions,
        outcomes,
        clean=clean,
        seed=seed,
        max_new_tokens=max_new_tokens,
        only_correct=only_correct,
        thinking=thinking,
        beside=beside,
    )
    del thinking  # the engine lets go of it as soon as it can
    n_rows = len(problems) * len(interventions)
    with finished or nullcontext(), progress(f"{model.name} variants", n_rows) as advance:
        results = engine.run(Batches(size), advance, finished)
    rows = range(len(problems))
    usable = [row for row in rows if results.correct[row]] or rows
    few = sorted(usable, key=lambda row: problems[row].id)[: -(-len(usable) // FLOOR_SHARE)]
    provenance = model.provenance()
    floor = measured_floor(
        model,
        provenance,
        [problems[row] for row in few],
        [questions[row] for row in few],
        unchanged_at(model, [(change.site, change.downstream) for change in interventions]),
        outcomes,
        clean=clean,
        thinking=engine.thinking,
        max_new_tokens=max_new_tokens,
        size=size,
    )
    dataset = results.dataset(provenance).assign_attrs(
        max_new_tokens=max_new_tokens, seed=seed, n_donors=len(clean.donors), noise_floor=floor
    )
    if finished:
        finished.remove()
    return dataset


def _check_stop(clean: CleanActivations, model: ContinuousThoughtModel) -> None:
    """Raise where clean activations have the other kind of numbers of thoughts."""
    if clean.activations and (clean.n_thoughts is None) != (model.stop is None):
        had = "without a stop rule" if clean.n_thoughts is None else "with a stop rule"
        raise ValueError(
            f"The clean activations were collected {had}, and now model.stop is {model.stop!r}. "
            "Collect them again."
        )
