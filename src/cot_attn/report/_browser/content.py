"""What the browser shows of studies, as plain data: every number is one of the study's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool

from cot_attn.data.problem import Problem
from cot_attn.report._browser.packing import STEPS, fractions, ranks, short_number
from cot_attn.report._browser.sampling import Why, same_for_all
from cot_attn.study._lens import FED
from cot_attn.study.results import Study

MOST_PROBLEMS = 200
MOST_BYTES = 3_500_000
"""Of the numbers of all studies on a page; the figures need the rest of its 5 MB."""
LONGEST_QUESTION, LONGEST_ANSWER = 2000, 160
KL = ("kl_value", "kl_first")


def content(studies: Sequence[Study], most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Return what the script of the browser reads.

    Parameters
    ----------
    studies
        One, or several that stand side by side.
    most_bytes
        How large it may be, about; of a study that needs more some problems are chosen.
    """
    seen = [_seen(study.attention["attention"]) for study in studies]
    of_one = sum(map(_bytes_of_a_problem, studies, seen))
    most = int(np.clip(most_bytes // of_one, 1, MOST_PROBLEMS))
    shown = same_for_all(studies, most)
    return {
        "steps": STEPS,
        "studies": [_study(*each) for each in zip(studies, seen, shown, strict=True)],
    }


def as_json(data: Mapping[str, Any]) -> str:
    r"""Return data as JSON that may stand in a `<script>`, whatever its texts are.

    Examples
    --------
    >>> as_json({"question": "</script>"})
    '{"question":"\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


Seen = Bool[np.ndarray, "query key"]


def _seen(attention: xr.DataArray) -> Seen:
    """Return which keys a query ever looks at; later ones are masked."""
    seen: Seen = (attention > 0).any(["problem", "layer", "head"]).transpose("query", "key").values
    return seen


def _bytes_of_a_problem(study: Study, seen: Seen) -> int:
    """Return about how many bytes one problem takes."""
    sizes = study.attention["attention"].sizes
    effects = study.effects["failed"].sizes
    lens = study.readouts["rank"].sizes if study.readouts is not None else {}
    n_ranks = lens.get("layer", 0) * lens.get("place", 0) * min(lens.get("target", 0), 6)
    return (
        2 * sizes["layer"] * sizes["head"] * int(seen.sum())
        + 16 * effects["thought"] * effects["corruption"]
        + 4 * n_ranks
        + 1000
    )


def _study(study: Study, seen: Seen, shown: Mapping[str, Why]) -> dict[str, Any]:
    attention, effects = study.attention, study.effects
    spread = study.concentration["estimate"].sel(measure="effective_number")
    known = spread.dropna("layer")
    start = int(known["layer"][np.argmin(known.values)]) if known.size else study.layers[-1]
    exits = study.experiments.get("exits")
    return {
        "name": study.name,
        "query": study.query,
        "start": start,
        "layers": study.layers,
        "heads": [int(head) for head in attention["head"].values],
        "queries": [str(query) for query in attention["query"].values],
        "keys": [str(key) for key in attention["key"].values],
        "seen": [np.flatnonzero(row).tolist() for row in seen],
        "thoughts": [int(thought) for thought in effects["thought"].values],
        "corruptions": [str(each) for each in effects["corruption"].values],
        "kl": _kl(study),
        "places": _labels(study.readouts, "place"),
        "exits": _labels(exits, "n_thoughts"),
        "n": len(study.problems),
        "right": study.n_correct,
        "chosen": {why: list(shown.values()).count(why) for why in sorted(set(shown.values()))},
        "seed": int(study.settings["seed"]),
        "problems": [
            _problem(study, problem, seen, shown[problem.id])
            for problem in study.problems
            if problem.id in shown
        ],
    }


def _kl(study: Study) -> str | None:
    return next((name for name in KL if name in study.effects), None)


def _labels(result: xr.Dataset | None, dim: str) -> list[Any] | None:
    return None if result is None else result[dim].values.tolist()


def _problem(study: Study, problem: Problem, seen: Seen, why: Why) -> dict[str, Any]:
    effects = study.effects.sel(problem=problem.id)
    rows = study.attention["attention"].sel(problem=problem.id)
    rows = rows.transpose("layer", "head", "query", "key")
    texts = Texts()
    steps = float(effects["difficulty"])
    failed = effects["failed"].transpose("thought", "corruption")
    found: dict[str, Any] = {
        "id": problem.id,
        "question": problem.question[:LONGEST_QUESTION],
        "cut": max(len(problem.question) - LONGEST_QUESTION, 0),
        "gold": texts.place(problem.answer or ""),
        "steps": None if np.isnan(steps) else int(steps),
        "tokens": int(study.attention["question_length"].sel(problem=problem.id)),
        "right": bool(effects["baseline_correct"]),
        "why": why,
        "rows": fractions(rows.values[..., seen]),
        "failed": [[None if np.isnan(x) else int(x) for x in row] for row in failed.values],
    }
    if "baseline_answer" in effects:
        found["answer"] = texts.place(str(effects["baseline_answer"].values))
    if "answer" in effects:
        given = effects["answer"].transpose("thought", "corruption").values
        found["given"] = [[texts.place(str(text)) for text in row] for row in given]
    if kl := _kl(study):
        values = effects[kl].transpose("thought", "corruption").values
        found["kl"] = [[short_number(x) for x in row] for row in values]
    if study.readouts is not None:
        found["reads"] = _reads(study.readouts.sel(problem=problem.id), texts)
    if "exits" in study.experiments:
        found["exits"] = _exits(study.experiments["exits"].sel(problem=problem.id), texts)
    found["texts"] = texts.all
    return found


class Texts:
    """Texts of a problem, each once."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def place(self, text: str) -> int:
        """Return where a text is in the list; it is cut where it is very long."""
        text = text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}…"
        if text not in self.all:
            self.all.append(text)
        return self.all.index(text)


def _reads(readouts: xr.Dataset, texts: Texts) -> dict[str, Any]:
    """Return where a lens finds each text that the problem has, and in others' states."""
    words = [str(text) for text in readouts["text"].values]
    there = [place for place, word in enumerate(words) if word]
    of = readouts.isel(target=there)
    found: dict[str, Any] = {
        "targets": [str(label) for label in of["target"].values],
        "texts": [texts.place(words[place]) for place in there],
    }
    for prefix, dims in (("", ("layer", "place", "target")), (FED, ("thought", "target"))):
        own = of[f"{prefix}rank"].transpose(*dims)
        others = of[f"{prefix}baseline_rank"].median("other").transpose(*dims)
        found[f"{prefix}rank"] = ranks(own.values)
        found[f"{prefix}others"] = ranks(others.values)
    return found


def _exits(exits: xr.Dataset, texts: Texts) -> dict[str, Any]:
    answers = exits["answer"].values
    return {
        "answers": [texts.place(str(text)) for text in answers],
        "right": [None if np.isnan(x) else int(x) for x in exits["correct"].values],
        "logprob": [short_number(x) for x in exits["logprob_gold"].values],
    }
