"""How a study was made, in words with every parameter, and how to make it again."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from cot_attn.interventions.corruption import label
from cot_attn.interventions.outcomes import OUTCOMES, STUDIED
from cot_attn.report._numbers import listed
from cot_attn.study._lens import has_probe
from cot_attn.study.results import Study
from cot_attn.study.running import CORRUPTION_SETS

DOWNSTREAM = {
    "recompute": "Later thoughts are computed anew from the change (recompute: the total effect).",
    "frozen": "Later thoughts get the inputs of the unchanged run (frozen: the effect that does "
    "not travel through the feedback).",
}

OF_A_COMMAND = {"name_or_path", "device"}
"""What the command line can say of how a model is loaded."""


def methods(study: Study) -> Iterator[tuple[str, str]]:
    """Yield what was done, a heading and a paragraph at a time."""
    made, treated = study.settings, study.effects.attrs
    yield (
        "Model",
        (
            f"{study.name}, checkpoint {made['checkpoint']} (hash of its weights), "
            f"{made['n_layers']} layers, {made['dtype']}. It thinks in {made['n_thoughts']} "
            "vectors, each its own last hidden state fed back as the next input; thought 0 is "
            "the first vector that is fed."
        ),
    )
    yield (
        "Problems",
        (
            f"{len(study.problems)} problems ({listed(made['dataset'])}), answered greedily in at "
            f"most {made['max_new_tokens']} tokens. {study.n_correct} were answered right. Those "
            "answered wrong stay in the study, but importance and correlations leave them out: "
            "there is no right answer to break."
        ),
    )
    yield (
        "Attention",
        (
            f"The row of attention from {study.query} is recorded in layers "
            f"{listed(study.layers)} and all {study.attention.sizes['head']} heads, and summed "
            "over the positions of each role. A share is a thought's part of the attention on "
            "all thoughts; shares are averaged over heads, then over problems."
        ),
    )
    yield (
        "Corruption",
        (
            f"One thought at a time is replaced at the site {made['site']}, by each of: "
            f"{', '.join(made['corruptions'])}. Noise is absolute; the root mean square of a "
            f"thought's entries is {_known(treated, 'thought_rms')}. Other problems' thoughts "
            f"come from a reference set of {_known(treated, 'n_donors')} problems, never from the "
            f"problem itself. {DOWNSTREAM[made['downstream']]}"
        ),
    )
    floor = ", ".join(f"{name} {value:.2g}" for name, value in treated["noise_floor"].items())
    yield (
        "Importance",
        (
            "How often an answer that was right becomes wrong, mean over corruptions. Interval: "
            f"{study.importance.attrs['method']}, confidence "
            f"{study.importance.attrs['confidence']}. Putting back what was there moves the "
            f"outcomes by at most: {floor}."
        ),
    )
    tests = study.correlations.attrs
    yield (
        "Correlation",
        (
            f"{tests['method'].capitalize()} correlation of a thought's share with its failure. "
            "Within problems: both centred on the problem and on the thought. Between thoughts: "
            "of the means over problems. Pooled: all points. Problems, not points, are the unit: "
            f"intervals ({tests['confidence']}) are by {tests['interval']}; p is by permutation "
            f"({tests['n_resamples']} resamples); q is Benjamini and Hochberg's over "
            "the layers that could be tested."
        ),
    )
    if study.readouts is not None:
        lens = study.lens.attrs
        yield (
            "Lens",
            (
                "States behind each block are read through the model's final norm and unembedding, "
                "vectors that were fed by their cosine with the input embeddings. A result counts "
                f"as found where it ranks {lens['k']} of all words; spellings of a word are one, "
                "and later tokens of a long number are forced. The same results are looked for in "
                f"the states of {study.readouts.sizes['other']} other problems, which have one as "
                "long at the same step; what is found there is taken away. Intervals "
                f"({lens['confidence']}) are over problems ({lens['method']})."
            ),
        )
        if has_probe(study.readouts):
            yield "Probe", _probe(study)
    yield (
        "Seed",
        (
            f"{made['seed']}. Random numbers depend on it, the problem, the thought and the "
            "corruption; batch size and order change results by rounding alone."
        ),
    )
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    yield (
        "Software",
        (
            f"Python {made['python']}, {versions}; device {made['device']}. Started "
            f"{made['started']}, took {made['seconds']} s."
        ),
    )


def _probe(study: Study) -> str:
    found = study.probe
    made, measured = found.attrs, found[found.attrs["measure"]]
    reasons = sorted({str(why) for why in found["reason"].values[measured.isnull().values]} - {""})
    without = f" Nothing could be learnt at some places: {'; '.join(reasons)}." if reasons else ""
    return (
        f"A ridge on standardised states at each layer and place, for {made['label']}; "
        f"{made['n_folds']} folds, in which problems that differ in their numbers alone, or have "
        "the same numbers, stay together, and the penalty chosen within those that are trained on. "
        f"Control: the mean of {made['n_controls']} tasks, labels by a hash of the question "
        "(Hewitt and Liang 2019). Question only: the best layer at bot. Intervals "
        f"({made['confidence']}) are over groups of problems; p is by up to "
        f"{made['n_permutations']} permutations of whole groups, q is Benjamini and Hochberg's "
        f"over layers and places.{without}"
    )


def settings(study: Study) -> Iterator[tuple[str, str]]:
    """Yield every parameter by its name, as the study's folder holds it."""
    recorded = {**study.effects.attrs, **study.settings, "layers": study.layers}
    for name, value in sorted(recorded.items()):
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, written


def command(studies: Sequence[Study], problems: str) -> str | None:
    """Return the command that makes the studies again, if the command line can ask for them."""
    made = studies[0].settings
    sources = [study.settings.get("source") or {} for study in studies]
    loadable = all("name_or_path" in source and source.keys() <= OF_A_COMMAND for source in sources)
    devices = {source.get("device", "cpu") for source in sources}
    layers, outcomes = ({str(of(study)) for study in studies} for of in (_layers, _outcomes))
    chosen = _corruption_set(made["corruptions"])
    told = loadable and len(devices) == len(layers) == 1 and outcomes == {str(list(STUDIED))}
    if not told or chosen is None or made["site"] != "input":
        return None
    words: list[object] = ["cot-attn", "study"]
    words += [source["name_or_path"] for source in sources]
    words += ["--problems", problems]
    words += ["--n", len(studies[0].problems), "--corruptions", chosen]
    words += ["--downstream", made["downstream"], "--query", made["query"], "--seed", made["seed"]]
    words += ["--max-new-tokens", made["max_new_tokens"]]
    if all(study.readouts is not None for study in studies):
        words += ["--readouts"]
    if devices != {"cpu"}:
        words += ["--device", *devices]
    if any(len(study.layers) < study.settings["n_layers"] for study in studies):
        words += [f"--layers={','.join(map(str, studies[0].layers))}"]
    if made.get("experiments"):
        words += ["--experiments", ",".join(made["experiments"])]
    line = shlex.join(map(str, words))
    return line if line.isprintable() else None  # a path may have bytes that are no text


def python_lines(study: Study, problems: str) -> str:
    """Return the Python lines that make one study again."""
    made = study.settings
    source = dict(made.get("source") or {})
    chosen = _corruption_set(made["corruptions"])
    written = made.get("corruptions_in_python", [None])
    lines = ["from cot_attn import ContinuousThoughtModel, load_problems, run_study"]
    if chosen:
        corruptions = [f"    corruptions={chosen!r},"]
    elif None in written:
        corruptions = [f"    corruptions=[...],  # those labelled {made['corruptions']}"]
    else:
        names = sorted({expression.partition("(")[0] for expression in written})
        lines += [f"from cot_attn.interventions import {', '.join(names)}"]
        corruptions = ["    corruptions=[", *(f"        {each}," for each in written), "    ],"]
    if source:
        place = source.pop("name_or_path")
        options = "".join(f", {name}={value!r}" for name, value in source.items())
        lines += ["", f"model = ContinuousThoughtModel.from_pretrained({place!r}{options})"]
        if Path(place).name != study.name:
            lines += [f"model.name = {study.name!r}"]
    else:
        lines += ["", f"model = ...  # {study.name!r}, which was made in memory and not loaded"]
    lines += [
        f"problems = load_problems({problems!r})",
        f"# model.checkpoint must be {made['checkpoint']!r}",
        "study = run_study(",
        "    model,",
        "    problems,",
        *corruptions,
        f"    layers={study.layers},",
        f"    query={study.query!r},",
        f"    downstream={made['downstream']!r},",
    ]
    if (outcomes := _outcomes(study)) != list(STUDIED):
        lines += [f"    outcomes={outcomes},"]
    lines += [
        f"    max_new_tokens={made['max_new_tokens']},",
        f"    seed={made['seed']},",
        *(["    readouts=True,"] if study.readouts is not None else []),
        *([f"    experiments={made['experiments']},"] if made.get("experiments") else []),
        ")",
    ]
    return "\n".join(lines)


def _layers(study: Study) -> list[int]:
    return study.layers


def _outcomes(study: Study) -> list[str]:
    """Return what was measured: each is a variable of the effects."""
    return [name for name in OUTCOMES if name in study.effects]


def _corruption_set(labels: Sequence[str]) -> str | None:
    for name, members in CORRUPTION_SETS.items():
        if [label(corruption) for corruption in members] == list(labels):
            return name
    return None


def _known(attributes: dict[str, object], name: str) -> str:
    value = attributes.get(name, "unknown")
    return f"{value:.3g}" if isinstance(value, float) else str(value)
