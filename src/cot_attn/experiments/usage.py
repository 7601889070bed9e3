"""Is the thought used? The thoughts replaced by others, by constants, by noise, and left out."""

import random
from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import agree, right
from cot_attn.experiments._forced import TeacherForced, divergence
from cot_attn.experiments.exits import leaving
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.replacements import FirstRepeated, MatchedNoise, MeanOfAll, Transplant
from cot_attn.interventions import Corruption, Intervention, Replace, ShuffleAll
from cot_attn.interventions.intervention import check_interventions
from cot_attn.interventions.variants import measured_variants
from cot_attn.models import ContinuousThoughtModel, Rollout
from cot_attn.models.batching import check_sizes
from cot_attn.models.decoding import ForcedAnswers
from cot_attn.models.hooks import on_its_own_account, tell_of_hooks
from cot_attn.stats.usage import NONE, OTHERS, TRAINED, usage_summary


@torch.no_grad()
@on_its_own_account
def usage(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    pause: str | int | None = None,
    margin: float = 0.05,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Ask whether a model uses its thoughts, and whether what they say or that they are there.

    Every condition replaces all thoughts at once: `no thoughts`; `mean thought` (one vector, the
    mean of all thoughts of all problems, in every place); `pause` (a token's embedding in every
    place); `another problem's` (all thoughts of one other problem, with another answer where there
    is one); `another order`; `first repeated`; `noise` (with the mean and covariance of each
    thought over problems, at the norm of the thought that it replaces).

    Parameters
    ----------
    model
        The model.
    problems
        Problems with gold answers; ids must differ. None is dropped.
    pause
        The token whose embedding is the pause, as text or id; by default the last BOT token, which
        every model knows.
    margin
        How many answers, as a fraction of all, may be lost without counting as a loss.
    max_new_tokens, batch_size, seed, resume
        As for `run_variants`.

    Returns
    -------
    xr.Dataset
        Over (problem, condition): `answer`, `correct`, `changed` (whether the answer has another
        value than as trained) and `kl_value` (KL(as trained || condition) at the answer's value, in
        nats). `attrs["verdict"]` is a sentence, by the rule in `stats.usage_summary`.

    Raises
    ------
    ValueError
        Where the model has fewer than two thoughts, there are fewer than three problems, or the
        pause is no single token.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> found = usage(model, load_problems("toy", n=30, difficulties=[5, 6]))
    >>> found.attrs["verdict"].split(":")[0]
    'Content used'
    """
    tell_of_hooks(model, "usage", stacklevel=5)
    require_one_number(model, "usage")
    problems = check_problems(problems)
    n_thoughts = model.n_thoughts
    if n_thoughts < 2 or len(problems) < 3:
        raise ValueError(
            f"There are {n_thoughts} thoughts and {len(problems)} problems. Give a model of at "
            "least two thoughts and at least three problems, to replace one's by another's."
        )
    token = pause_token(model, pause)
    corruptions: dict[str, Corruption] = {
        "mean thought": MeanOfAll("mean thought"),
        "pause": Replace(_vocabulary(model)[token].detach(), "pause"),
        OTHERS: Transplant(strangers(problems, seed), OTHERS),
        "another order": ShuffleAll(),
        "first repeated": FirstRepeated(),
        "noise": MatchedNoise(),
    }
    every = range(n_thoughts)
    changes = {name: Intervention(every, change) for name, change in corruptions.items()}
    interventions = list(changes.values())
    check_interventions(interventions, model)
    check_sizes(batch_size, max_new_tokens)
    bare = WithoutThoughts(model, len(problems), max_new_tokens)
    variants = measured_variants(
        model,
        problems,
        interventions,
        ["answer", "kl_value"],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        donors=None,
        only_correct=False,
        resume=resume,
        beside=bare,
    )
    found = _together(problems, changes, variants, bare.arrays)
    found = found.assign_attrs(
        **model.provenance(),
        experiment="usage",
        n_thoughts=n_thoughts,
        pause=model.tokenizer.decode([token]),
        max_new_tokens=max_new_tokens,
        seed=seed,
        thought_rms=variants.attrs["thought_rms"],
        noise_floor=variants.attrs["noise_floor"],
        most_common=_most_common(problems),
        margin=margin,
    )
    return found.assign_attrs(verdict=usage_summary(found).attrs["verdict"])


def pause_token(model: ContinuousThoughtModel, pause: str | int | None) -> int:
    """Return the id of the pause token."""
    if pause is None:
        if model.template.bot:
            return model.template.bot[-1]
        raise ValueError(
            f"No token opens the thoughts of {model.name}, so there is no BOT to pause with. Give "
            "as pause= the text or id of one token."
        )
    if isinstance(pause, int):
        ids = [pause] if 0 <= pause < len(_vocabulary(model)) else []
    else:
        ids = list(model.tokenizer(pause, add_special_tokens=False)["input_ids"])
    if len(ids) != 1:
        raise ValueError(
            f"pause is {pause!r}, which is {len(ids)} tokens of this model. Give the text or id of "
            "one token, or None for BOT."
        )
    return int(ids[0])


def _vocabulary(model: ContinuousThoughtModel) -> Float[Tensor, "d_vocab d_model"]:
    weight: Tensor = model.bridge.original_model.get_input_embeddings().weight
    return weight


class WithoutThoughts:
    """What a model answers when EOT follows BOT, measured off its runs with thoughts.

    Parameters
    ----------
    model
        The model.
    n_problems
        How many problems there are.
    max_new_tokens
        The greatest number of tokens in an answer.

    Attributes
    ----------
    arrays
        `answer` and `kl_value`, as in the result of `usage`.
    """

    def __init__(self, model: ContinuousThoughtModel, n_problems: int, max_new_tokens: int) -> None:
        self.model, self.max_new_tokens = model, max_new_tokens
        self.arrays = {
            "answer": np.full(n_problems, "", dtype=object),
            "kl_value": np.full(n_problems, np.nan),
        }

    def measure(
        self,
        problems: Sequence[int],
        rollout: Rollout,
        forced: ForcedAnswers,
        log_p: Mapping[str, Float[Tensor, "batch d_vocab"]],
    ) -> None:
        """Force the answers as trained on runs that leave before the first thought."""
        rows, bare = list(problems), TeacherForced(leaving(rollout, 0), forced)
        divergences = divergence(log_p["kl_value"], bare.at_value())
        self.arrays["kl_value"][rows] = divergences.cpu().numpy()
        answers = [self.model.decode(each) for each in bare.answers(self.max_new_tokens)]
        self.arrays["answer"][rows] = answers


def strangers(problems: Sequence[Problem], seed: int) -> dict[str, str]:
    """Choose for each problem another one by hash, with another answer where there is one."""
    ordered = sorted(problems, key=lambda problem: problem.id)
    chosen = {}
    for problem in problems:
        others = [other for other in ordered if other.id != problem.id]
        unlike = [other for other in others if other.answer != problem.answer] or others
        chosen[problem.id] = random.Random(f"{seed} {problem.id}").choice(unlike).id
    return chosen


def _most_common(problems: Sequence[Problem]) -> float:
    """Return how many problems the commonest gold answer would be right for, as a fraction."""
    golds = [problem.answer for problem in problems if problem.answer is not None]
    return max((golds.count(gold) for gold in set(golds)), default=0) / len(problems)


def _together(
    problems: Sequence[Problem],
    changes: dict[str, Intervention],
    variants: xr.Dataset,
    bare: Mapping[str, np.ndarray],
) -> xr.Dataset:
    """Lay the conditions side by side: as trained, without thoughts, and the replacements."""
    labels = [change.label for change in changes.values()]
    replaced = variants.sel(variant=labels)
    trained = variants["baseline_answer"].values
    answers = np.concatenate(
        [trained[:, None], bare["answer"][:, None], replaced["answer"].values], axis=1
    )
    still = np.where(replaced["kl_value"].isel(variant=0).isnull(), np.nan, 0.0)
    divergences = np.concatenate(
        [still[:, None], bare["kl_value"][:, None], replaced["kl_value"].values], axis=1
    )
    correct = [
        [float(right(text, problem)) for text in row]
        for problem, row in zip(problems, answers, strict=True)
    ]
    changed = [
        [float(not agree(text, row[0], problem)) for text in row]
        for problem, row in zip(problems, answers, strict=True)
    ]
    dims = ("problem", "condition")
    along = ("difficulty", "question_length", "baseline_correct")
    return xr.Dataset(
        {
            "answer": (dims, answers),
            "correct": (dims, np.array(correct)),
            "changed": (dims, np.array(changed)),
            "kl_value": (dims, divergences),
        },
        coords={
            "problem": variants["problem"].values,
            **{name: ("problem", variants[name].values) for name in along},
            "condition": [TRAINED, NONE, *changes],
        },
    )
