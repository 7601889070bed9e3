"""What does a thought carry? A thought of one problem in the run of another."""

import random
from collections.abc import Callable, Sequence
from itertools import product
from os import PathLike

import numpy as np
import xarray as xr

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import says, value_of
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.replacements import MatchedNoise, Transplant
from cot_attn.interventions import Downstream, Intervention, Site, run_variants
from cot_attn.models import ContinuousThoughtModel

Pair = tuple[Problem, Problem]
Expected = Callable[[Problem, Problem, int], str | None]
VECTORS = ("source", "random")


def draw_pairs(
    problems: Sequence[Problem],
    n_sources: int = 4,
    *,
    allowed: Callable[[Problem, Problem], bool] | None = None,
    seed: int = 0,
) -> list[Pair]:
    """Draw pairs of a base and a source from problems: each is the base of several pairs.

    Parameters
    ----------
    problems
        The problems.
    n_sources
        How many sources each base has, or fewer where not so many are allowed.
    allowed
        Which pairs may be, `(base, source) -> bool`: of the same difficulty, say, or whose steps
        have the same result.
    seed
        With the base's id it decides which sources are drawn.

    Examples
    --------
    >>> from cot_attn import load_problems
    >>> pairs = draw_pairs(load_problems("toy", n=10), n_sources=2)
    >>> len(pairs), pairs[0][0].id == pairs[1][0].id
    (20, True)
    """
    problems = check_problems(problems)
    ordered = sorted(problems, key=lambda problem: problem.id)
    pairs = []
    for base in problems:
        sources = [
            other
            for other in ordered
            if other.id != base.id and (allowed is None or allowed(base, other))
        ]
        stream = random.Random(f"{seed} {base.id}")
        pairs += [(base, each) for each in stream.sample(sources, min(n_sources, len(sources)))]
    if not pairs:
        raise ValueError(
            f"Among {len(problems)} problems there is no pair that is allowed. Give more problems, "
            "or another `allowed`."
        )
    return pairs


def interchange(
    model: ContinuousThoughtModel,
    pairs: Sequence[Pair],
    *,
    expected: Expected | None = None,
    thoughts: Sequence[int] | None = None,
    sites: Sequence[Site | str] = ("input",),
    downstream: Downstream = "recompute",
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Put a thought of a source into the run of a base, and see what the answer becomes.

    If thought i carries a quantity and nothing else does, the answer becomes the one that is
    *predicted* from the source's quantity and the base's other steps. Every pair is its own
    control: the same place is also given a random vector, with the mean and covariance of that
    thought over problems, at the norm of the source's vector.

    Parameters
    ----------
    model
        The model.
    pairs
        (base, source): problems, from `draw_pairs` for instance. A problem may be in several; as
        its own source it changes nothing.
    expected
        A function (base, source, thought) -> the predicted answer, or None where nothing is
        predicted. For the bundled models it is `toy.expected_answer`.
    thoughts
        Which thoughts, one at a time; by default each.
    sites
        Where: "input", or any sites of `Intervention`, such as "blocks.2.hook_out" or "kv".
    downstream, max_new_tokens, batch_size, seed, resume
        As for `Intervention` and `run_variants`.

    Returns
    -------
    xr.Dataset
        Over (pair, site, thought, vector), where `vector` is "source" or "random": `answer`; `hit`
        (it is the predicted one), `source_hit` (the source's own), `base_hit` (the base's own), 1
        or 0, NaN where there is none. Over (pair, thought): `expected`, and `stays`, whether the
        predicted answer is the base's own. Along pairs: `base`, `source`, `difficulty` (the
        base's), `base_correct` and `source_correct`; no pair is dropped.

    Raises
    ------
    ValueError
        Where pairs repeat, two problems share an id, or there are fewer than three problems.

    Notes
    -----
    Interchange interventions: Geiger, Lu, Icard and Potts (2021), "Causal abstractions of neural
    networks".

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems, toy
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> pairs = draw_pairs(load_problems("toy", n=10, difficulties=[4]), n_sources=1)
    >>> found = interchange(model, pairs, expected=toy.expected_answer, thoughts=[2])
    >>> found.hit.mean("pair").sel(vector="source").values
    array([[1.]])
    """
    require_one_number(model, "interchange")
    pairs, bases, everyone = _checked(pairs)
    chosen = list(range(model.n_thoughts)) if thoughts is None else list(thoughts)
    if isinstance(sites, str) or not sites or not chosen:
        raise ValueError(
            f"sites are {sites!r} and thoughts {chosen}; give a list of at least one of each."
        )
    rounds = _rounds(pairs, bases)
    changes = {
        (number, site, thought, vector): Intervention(thought, corruption, where, downstream)
        for number, sources in enumerate(rounds)
        for vector, corruption in (
            ("source", Transplant(sources, f"source {number}")),
            ("random", MatchedNoise(sources, f"random {number}")),
        )
        for (site, where), thought in product(enumerate(sites), chosen)
    }
    variants = run_variants(
        model,
        bases,
        list(changes.values()),
        ["answer"],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        donors=everyone,
        only_correct=False,
        resume=resume,
    )
    own_answers = _own_answers(model, variants, everyone, max_new_tokens, batch_size)
    answers = np.empty((len(pairs), len(sites), len(chosen), len(VECTORS)), dtype=object)
    by_label = variants["answer"].to_pandas()
    for row, (base, source) in enumerate(pairs):
        number = next(n for n, sources in enumerate(rounds) if sources[base.id] == source.id)
        for site, place, side in np.ndindex(answers.shape[1:]):
            change = changes[number, site, chosen[place], VECTORS[side]]
            answers[row, site, place, side] = by_label.at[base.id, change.label]
    labels = [Intervention(chosen[0], Transplant({}), where).site.label for where in sites]
    found = _labelled(pairs, labels, chosen, answers, own_answers, expected)
    return found.assign_attrs(
        **model.provenance(),
        experiment="interchange",
        n_thoughts=model.n_thoughts,
        downstream=downstream,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )


def _checked(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Problem], list[Problem]]:
    """Return the pairs, the different bases, and everyone; raise where they cannot be."""
    pairs = [(base, source) for base, source in pairs]
    problems = {id(problem): problem for pair in pairs for problem in pair}
    distinct = list(dict.fromkeys(problems.values()))
    check_problems(distinct)
    labels = [(base.id, source.id) for base, source in pairs]
    if len(set(labels)) < len(labels):
        raise ValueError("A pair is given twice. Give each (base, source) once.")
    if len(distinct) < 3:
        raise ValueError(
            f"There are {len(distinct)} problems in the pairs. Random vectors with their thoughts' "
            "covariance need at least three: give more pairs."
        )
    bases = list(dict.fromkeys(base for base, _ in pairs))
    return pairs, bases, distinct


def _rounds(pairs: Sequence[Pair], bases: Sequence[Problem]) -> list[dict[str, str]]:
    """Return for each round which source each base has.

    Where a base has no more sources it has itself, which changes nothing and is thrown away.
    """
    sources: dict[str, list[str]] = {base.id: [] for base in bases}
    for base, source in pairs:
        sources[base.id].append(source.id)
    return [
        {base: ids[number] if number < len(ids) else base for base, ids in sources.items()}
        for number in range(max(map(len, sources.values())))
    ]


def _own_answers(
    model: ContinuousThoughtModel,
    variants: xr.Dataset,
    everyone: Sequence[Problem],
    max_new_tokens: int,
    batch_size: int | None,
) -> dict[str, str]:
    """Return what each problem is answered when nothing is changed."""
    answers = {str(i): str(text) for i, text in variants["baseline_answer"].to_series().items()}
    if others := [problem for problem in everyone if problem.id not in answers]:
        with model.isolated():
            run = model.run(others, max_new_tokens=max_new_tokens, batch_size=batch_size or 64)
        answers |= {problem.id: text for problem, text in zip(others, run.answers, strict=True)}
    return answers


def _labelled(
    pairs: Sequence[Pair],
    sites: Sequence[str],
    thoughts: Sequence[int],
    answers: np.ndarray,
    own_answers: dict[str, str],
    expected: Expected | None,
) -> xr.Dataset:
    predicted = [[expected(*pair, i) if expected else None for i in thoughts] for pair in pairs]
    values = {
        "source_hit": [value_of(own_answers[source.id], source) for _, source in pairs],
        "base_hit": [value_of(own_answers[base.id], base) for base, _ in pairs],
    }
    hits = {name: np.full(answers.shape, np.nan) for name in ("hit", *values)}
    for cell in np.ndindex(answers.shape):
        row, _, place, _ = cell
        said, base = str(answers[cell]), pairs[row][0]
        hits["hit"][cell] = says(said, predicted[row][place], base)
        for name, targets in values.items():
            hits[name][cell] = says(said, targets[row], base)
    stays = [
        [says(own_answers[base.id], value, base) for value in row]
        for (base, _), row in zip(pairs, predicted, strict=True)
    ]
    dims = ("pair", "site", "thought", "vector")
    correct = {
        f"{name}_correct": (
            "pair",
            [
                bool(says(own_answers[pair[side].id], pair[side].answer, pair[side]) == 1)
                for pair in pairs
            ],
        )
        for side, name in enumerate(("base", "source"))
    }
    ids = {
        name: ("pair", np.array([pair[side].id for pair in pairs], dtype=object))
        for side, name in enumerate(("base", "source"))
    }
    texts = np.array([[value or "" for value in row] for row in predicted], dtype=object)
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in hits.items()},
            "answer": (dims, answers),
            "expected": (("pair", "thought"), texts),
            "stays": (("pair", "thought"), np.array(stays, dtype=float)),
        },
        coords={
            "pair": np.array([f"{base.id} <- {source.id}" for base, source in pairs], dtype=object),
            **ids,
            "difficulty": (
                "pair",
                [np.nan if b.difficulty is None else float(b.difficulty) for b, _ in pairs],
            ),
            **correct,
            "site": list(sites),
            "thought": list(thoughts),
            "vector": list(VECTORS),
        },
    )
