"""Corrupt one thought at a time and measure what breaks."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from os import PathLike

import xarray as xr

from cot_attn._former import former_arguments, warn
from cot_attn.data.problem import Problem
from cot_attn.interventions.applying import apply_interventions
from cot_attn.interventions.collecting import collect
from cot_attn.interventions.context import CleanActivations
from cot_attn.interventions.corruption import CCTA, Corruption, ShuffleAll
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import Downstream, Intervention, check_interventions
from cot_attn.interventions.outcomes import DEFAULT
from cot_attn.interventions.sites import Site, as_site
from cot_attn.interventions.variants import run_variants
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.run import Run


class TokenAblator:
    """Corrupt each thought by itself, with every corruption, and measure what breaks.

    Parameters
    ----------
    model
        The model.
    corruptions
        What replaces a thought; by default the published seven, `CCTA`. Their labels must differ.
    site
        Where: `"input"` is the vector that is fed; see `Intervention`.
    downstream
        The total effect (`recompute`) or the direct effect (`frozen`), which does not travel
        through later thoughts' inputs.
    seed
        For the random ones among the corruptions.
    donors
        The problems that may donate to Resample and Mean; by default those given to `run`. Or what
        `collect` gave of them; see `run_variants`.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, TokenAblator, load_problems
    >>> from cot_attn.interventions import Resample
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> effects = TokenAblator(model, [Resample()]).run(load_problems("toy", n=12))
    >>> dict(effects["failed"].sizes)
    {'problem': 12, 'thought': 6, 'corruption': 1}
    >>> effects["failed"].mean("problem").sel(corruption="resample").round(2).values.tolist()
    [1.0, 0.83, 0.75, 0.75, 0.42, 0.33]
    """

    @former_arguments(reference="donors")
    def __init__(
        self,
        model: ContinuousThoughtModel,
        corruptions: Sequence[Corruption] = CCTA,
        site: Site | str = "input",
        downstream: Downstream = "recompute",
        seed: int = 0,
        *,
        donors: Sequence[Problem] | CleanActivations | None = None,
    ) -> None:
        argument: object = corruptions
        if isinstance(argument, str) or not isinstance(argument, Sequence):
            raise TypeError(
                f"corruptions is {argument!r}; give a list, as in [Zero(), Resample()], or CCTA."
            )
        if not corruptions or not model.n_thoughts:
            raise ValueError(
                f"There are {len(corruptions)} corruptions of {model.n_thoughts} thoughts. Give at "
                "least one corruption, and a model that thinks."
            )
        if any(isinstance(corruption, ShuffleAll) for corruption in corruptions):
            raise ValueError(
                "ShuffleAll permutes all thoughts at once, so its effect belongs to none of them. "
                "Use run_variants(model, problems, [Intervention(range(n), ShuffleAll())])."
            )
        self.model = model
        self.corruptions = tuple(corruptions)
        self.site, self.downstream = as_site(site).label, downstream
        self.seed = seed
        self.donors = donors
        self.interventions = [
            Intervention(thought, corruption, site, downstream)
            for thought, corruption in product(range(model.n_thoughts), self.corruptions)
        ]

    @property
    def reference(self) -> Sequence[Problem] | CleanActivations | None:
        """The donors, under their former name."""
        warn("TokenAblator.reference", "TokenAblator.donors")
        return self.donors

    @former_arguments(unfinished="resume")
    def run(
        self,
        problems: Sequence[Problem],
        outcomes: Sequence[str] = DEFAULT,
        *,
        max_new_tokens: int = 64,
        batch_size: int | None = None,
        resume: str | PathLike[str] | None = None,
    ) -> xr.Dataset:
        """Corrupt each thought of each problem and return the effects.

        Parameters
        ----------
        problems
            Problems with gold answers; ids must differ.
        outcomes
            What is measured; see `run_variants`.
        max_new_tokens
            The greatest number of tokens in an answer.
        batch_size
            How many rows run at once; by default as many as fit.
        resume
            A folder from which an interrupted run resumes; see `run_variants`.

        Returns
        -------
        xr.Dataset
            The outcomes over (problem, thought, corruption). All problems are in it; where the
            baseline is wrong they are NaN. Attributes say model, checkpoint, site, downstream,
            seed and the noise floor of every outcome.
        """
        variants = run_variants(
            self.model,
            problems,
            self.interventions,
            outcomes,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            seed=self.seed,
            donors=self.donors,
            resume=resume,
        )
        labels = [label_of(corruption) for corruption in self.corruptions]
        effects = _by_thought(variants).sel(corruption=labels)
        return effects.assign_attrs(site=self.site, downstream=self.downstream)

    @contextmanager
    def applied(
        self, intervention: Intervention, problems: Sequence[Problem]
    ) -> Iterator[ContinuousThoughtModel]:
        """Apply an intervention to everything that the model runs while the context lasts.

        Parameters
        ----------
        intervention
            One change, not necessarily one of this ablator's own.
        problems
            The problems that will be run: their baselines are what donors and frozen inputs come
            from. Those baselines are the library's own runs: no recorder sees them, and no hook
            changes them. The runs inside the context are yours, and recorders may stand round it
            or in it.

        With a stop rule these runs stop by it again, where the change has led them: their numbers
        of thoughts may be others than the baselines'. `run_variants` keeps the baselines'.

        Raises
        ------
        ValueError
            Where the intervention cannot be carried out, or a run in the context does not reach a
            thought that it changes.

        Warns
        -----
        UserWarning
            Where a problem stopped before a thought that is changed.

        Examples
        --------
        >>> from cot_attn import ContinuousThoughtModel, Intervention, TokenAblator, load_problems
        >>> from cot_attn.interventions import Zero
        >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
        >>> problems = load_problems("toy", n=6)
        >>> with TokenAblator(model).applied(Intervention(0, Zero()), problems):
        ...     answers = model.generate(problems)
        """
        check_interventions([intervention], self.model)
        clean = self.donors
        if not isinstance(clean, CleanActivations):
            hooks = intervention.baselines(self.model)
            clean = collect(self.model, problems, hooks, donors=clean)
        last = intervention.thoughts[-1]

        def reached(run: Run) -> None:
            without = [
                problem.id
                for problem, n in zip(run.problems, run.n_thoughts, strict=True)
                if n <= last
            ]
            if run.layout.n_thoughts > last and without:
                warnings.warn(
                    f"{intervention.label!r} was not carried out in {len(without)} of "
                    f"{len(run.problems)} problems, such as {without[0]!r}: they stopped before "
                    f"thought {last}. Their answers are not those of a changed run.",
                    stacklevel=2,
                )
            if run.layout.n_thoughts <= last:
                raise ValueError(
                    f"{intervention.label!r} was not carried out: this run has "
                    f"{run.layout.n_thoughts} thoughts. Give it n_thoughts of {last + 1} or more."
                )

        applied = apply_interventions(self.model, intervention, clean, seed=self.seed)
        with applied, self.model.watch(reached):
            yield self.model


def _by_thought(variants: xr.Dataset) -> xr.Dataset:
    """Turn variants that each change one thought into the dimensions `thought` and `corruption`."""
    thought = variants["thoughts"].argmax("thought").variable
    bare = variants.drop_vars(["variant", "thought", "thoughts", "site", "downstream"])
    labelled = bare.assign_coords(thought=thought).set_index(variant=["thought", "corruption"])
    return labelled.unstack("variant").transpose("problem", "thought", "corruption", ...)
