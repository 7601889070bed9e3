"""Run a whole study: record attention, corrupt thoughts."""

import dataclasses
import platform
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from time import perf_counter

from cot_attn._former import former_arguments
from cot_attn.data.problem import Problem, check_problems
from cot_attn.interventions.ablator import TokenAblator
from cot_attn.interventions.corruption import CCTA, Corruption, Zero
from cot_attn.interventions.corruption import label as label_of
from cot_attn.interventions.intervention import Downstream, check_interventions
from cot_attn.interventions.outcomes import STUDIED, check_outcomes
from cot_attn.interventions.resume import Lasting
from cot_attn.models.batching import Batches
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.recording import AttentionRecorder
from cot_attn.recording.places import VALUE, places_of
from cot_attn.recording.states import StateRecorder
from cot_attn.study._experiments import ASKED, Options, check_experiments
from cot_attn.study._packing import rounded
from cot_attn.study._readouts import check_readable, read_states
from cot_attn.study.results import Study

CORRUPTION_SETS: dict[str, Sequence[Corruption]] = {"ccta": CCTA, "zero": (Zero(),)}
RECORDED_AT_ONCE = 128
PACKAGES = ("cot-attn", "torch", "transformers", "transformer-lens", "numpy", "scipy", "xarray")


@on_its_own_account
@former_arguments(unfinished="resume")
def run_study(
    model: ContinuousThoughtModel,
    problems: Iterable[Problem],
    *,
    corruptions: str | Sequence[Corruption] = "ccta",
    layers: Iterable[int] | None = None,
    query: str = VALUE,
    downstream: Downstream = "recompute",
    outcomes: Sequence[str] = STUDIED,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    readouts: bool = False,
    experiments: Sequence[str] = (),
    resume: str | PathLike[str] | None = None,
) -> Study:
    """Record where a model attends, corrupt each of its thoughts, and put both into one study.

    Hooks and recorders that are on the model are set aside; see `run_variants`.

    Parameters
    ----------
    model
        The model.
    problems
        Problems with gold answers; ids must differ.
    corruptions
        `ccta` (the published seven), `zero`, or a list of corruptions.
    layers
        Which layers are recorded; by default all.
    query
        The position whose attention is set against importance: by default the one that predicts
        the first token of the answer's value.
    downstream
        `recompute`, or `frozen` later inputs.
    outcomes
        What is measured of each variant; see `run_variants`.
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many rows run at once; by default as many as fit into memory, up to a limit.
    seed
        For random corruptions and for resampling.
    readouts
        Whether states are recorded as well and read by a lens and a probe, for the results of the
        problems' steps or, where they have none, for the answer; see `cot_attn.readouts`.
    experiments
        Which experiments of `cot_attn.experiments` are made beside it: "usage", "exits",
        "interchange", "graph"; "steer", along a difference of means towards the commonest answer of
        one half of the problems, in the other half; "heads", at the last thought; "frontier", where
        problems tell a graph.
    resume
        A folder from which an interrupted study goes on; see `run_variants`.

    Returns
    -------
    Study
        Attention, effects, settings, and every statistic that follows from them.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems, run_study
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> run_study(model, load_problems("toy", n=12), corruptions="zero")
    Study('toy-gpt2', 12 problems, 12 right, 4 layers, 1 corruptions)

    Raises
    ------
    ValueError, TypeError
        Where `check_study` raises.
    BlockingIOError
        Where another process is at the same study with the same `resume`.
    """
    problems = check_problems(problems)
    chosen = _corruptions(corruptions)
    layers = None if layers is None else list(layers)
    check_study(
        model,
        problems,
        corruptions=chosen,
        layers=layers,
        query=query,
        downstream=downstream,
        outcomes=outcomes,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        readouts=readouts,
        experiments=experiments,
    )
    started, clock = datetime.now(UTC), perf_counter()
    ablator = TokenAblator(model, chosen, downstream=downstream, seed=seed)
    recorder = AttentionRecorder(model, layers)

    def record(batch: Sequence[Problem]) -> None:
        model.run(batch, max_new_tokens=max_new_tokens)

    states = StateRecorder(model, layers) if readouts else None
    with recorder, states or nullcontext():
        Batches(batch_size or RECORDED_AT_ONCE).work(problems, record)
    read = None if states is None else read_states(model, states.dataset(), problems, seed)
    # What one part has finished is kept until all parts are.
    kept = Lasting(resume) if resume is not None and not isinstance(resume, Lasting) else resume
    effects = ablator.run(
        problems,
        outcomes,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=kept,
    )
    how: Options = {
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
        "resume": kept,
    }
    asked = {name: ASKED[name](model, problems, how) for name in experiments}
    if kept is not None and kept is not resume:
        kept.clear()
    settings = {
        **model.provenance(),
        "n_thoughts": model.n_thoughts,
        "n_layers": model.n_layers,
        "n_problems": len(problems),
        "dataset": sorted({problem.dataset or "unnamed" for problem in problems}),
        "source": model.source,
        "corruptions": [label_of(corruption) for corruption in chosen],
        "corruptions_in_python": [in_python(corruption) for corruption in chosen],
        "site": ablator.site,
        "downstream": downstream,
        "query": query,
        "seed": seed,
        "max_new_tokens": max_new_tokens,
        "readouts": readouts,
        "experiments": list(asked),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(perf_counter() - clock, 1),
        "device": str(model.device),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }
    # As it will be stored, so that a study that is loaded gives the very same numbers.
    attention = recorder.dataset().map(rounded, keep_attrs=True)
    return Study(attention, effects, tuple(problems), settings, read, asked)


def check_study(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    corruptions: str | Sequence[Corruption] = "ccta",
    layers: Iterable[int] | None = None,
    query: str = VALUE,
    downstream: Downstream = "recompute",
    outcomes: Sequence[str] = STUDIED,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    readouts: bool = False,
    experiments: Sequence[str] = (),
) -> None:
    """Raise what `run_study` would raise of these arguments, without asking the model a problem.

    Raises
    ------
    ValueError
        Where a problem has no gold answer or does not fit into the context, the model thinks
        nothing, or a layer, query, outcome, corruption, number or seed is not accepted; with
        readouts, where a lens cannot read the model or the tokenizer cannot write a result.
    TypeError
        Where the corruptions are no list.
    """
    without = [problem.id for problem in check_problems(problems) if problem.answer is None]
    if without:
        raise ValueError(
            f"Problem {without[0]!r} has no gold answer, so no failure can be told from success. "
            "Give problems with answers."
        )
    if not model.n_thoughts:
        raise ValueError(
            f"{model.name} thinks 0 thoughts, so there is none to corrupt. Load it with "
            "n_thoughts= of 1 or more."
        )
    check_outcomes(outcomes)
    if "failed" not in outcomes:
        raise ValueError(f"outcomes is {list(outcomes)}; a study needs 'failed' among them.")
    accepted = [each for each in places_of(model.n_thoughts) if each != "bot"]
    if query not in accepted:
        before = " stands before every thought and attends to none" if query == "bot" else ""
        raise ValueError(f"query is {query!r}{before}; accepted: {accepted}.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more.")
    for name, number in {"max_new_tokens": max_new_tokens, "batch_size": batch_size}.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}; give at least 1.")
    AttentionRecorder(model, layers)
    model.encode(problems, max_new_tokens=max_new_tokens)
    ablator = TokenAblator(model, _corruptions(corruptions), downstream=downstream, seed=seed)
    check_interventions(ablator.interventions, model)
    if readouts:
        check_readable(model, check_problems(problems))
    check_experiments(experiments, model, problems, max_new_tokens, seed)


def in_python(corruption: Corruption) -> str | None:
    """Return the Python expression that makes a corruption, where it is the library's and plain."""
    kind = type(corruption)
    if kind.__module__ != Zero.__module__ or not dataclasses.is_dataclass(corruption):
        return None
    fields = [field.name for field in dataclasses.fields(corruption) if field.init]
    arguments = {name: getattr(corruption, name) for name in fields}
    if not all(isinstance(value, int | float | str) for value in arguments.values()):
        return None
    return f"{kind.__name__}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _corruptions(corruptions: str | Sequence[Corruption]) -> Sequence[Corruption]:
    if not isinstance(corruptions, str):
        return corruptions
    if corruptions not in CORRUPTION_SETS:
        raise ValueError(
            f"corruptions is {corruptions!r}; accepted: {', '.join(CORRUPTION_SETS)}, or a list of "
            "corruptions."
        )
    return CORRUPTION_SETS[corruptions]
