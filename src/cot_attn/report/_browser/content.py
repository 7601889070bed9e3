"""What the browser shows of studies, as plain data: every number is one of the study's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool

from cot_attn.report._browser.packing import STEPS, fractions, ranks, short_number
from cot_attn.report._browser.sampling import Why, same_for_all
from cot_attn.study._lens import FED
from cot_attn.study.results import Study

MOST_PROBLEMS = 200
MOST_BYTES = 4_000_000
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
    defined = spread.dropna("layer")
    start = int(defined["layer"][np.argmin(defined.values)]) if defined.size else study.layers[-1]
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
        "problems": list(_problems(study, seen, shown)),
    }


def _kl(study: Study) -> str | None:
    return next((name for name in KL if name in study.effects), None)


def _labels(result: xr.Dataset | None, dim: str) -> list[Any] | None:
    return None if result is None else result[dim].values.tolist()


def _problems(study: Study, seen: Seen, shown: Mapping[str, Why]) -> Iterator[dict[str, Any]]:
    """Yield what is known of each problem that is shown, joined by its id."""
    here = [problem for problem in study.problems if problem.id in shown]
    ids = [problem.id for problem in here]
    effects, attention = study.effects.sel(problem=ids), study.attention.sel(problem=ids)
    rows = attention["attention"].transpose("problem", "layer", "head", "query", "key").values
    tokens = attention["question_length"].values
    steps, right = effects["difficulty"].values, effects["baseline_correct"].values
    outcomes = {
        name: effects[name].transpose("problem", "thought", "corruption").values
        for name in ("failed", "answer", _kl(study))
        if name in effects
    }
    texts = [Texts() for _ in here]
    told = [_reads(study, ids, texts), _exits(study, ids, texts)]
    for i, problem in enumerate(here):
        found: dict[str, Any] = {
            "id": problem.id,
            "question": problem.question[:LONGEST_QUESTION],
            "cut": max(len(problem.question) - LONGEST_QUESTION, 0),
            "gold": texts[i].place(problem.answer or ""),
            "steps": None if np.isnan(steps[i]) else int(steps[i]),
            "tokens": int(tokens[i]),
            "right": bool(right[i]),
            "why": shown[problem.id],
            "rows": fractions(rows[i][..., seen]),
            "failed": [[_whole(x) for x in row] for row in outcomes["failed"][i]],
        }
        if "baseline_answer" in effects:
            found["answer"] = texts[i].place(str(effects["baseline_answer"].values[i]))
        if "answer" in outcomes:
            found["given"] = [
                [texts[i].place(str(x)) for x in row] for row in outcomes["answer"][i]
            ]
        if kl := _kl(study):
            found["kl"] = [[short_number(x) for x in row] for row in outcomes[kl][i]]
        for each in told:
            found |= each[i]
        yield found | {"texts": texts[i].all}


def _whole(value: float) -> int | None:
    return None if np.isnan(value) else int(value)


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


def _reads(study: Study, ids: Sequence[str], texts: Sequence[Texts]) -> list[dict[str, Any]]:
    """Return where a lens finds each text that a problem has, and in others' states."""
    if study.readouts is None:
        return [{} for _ in ids]
    of = study.readouts.sel(problem=list(ids))
    labels = of["target"].values.astype(str)
    words = of["text"].transpose("problem", "target").values
    tables = {}
    for prefix, dims in (("", ("layer", "place", "target")), (FED, ("thought", "target"))):
        others = of[f"{prefix}baseline_rank"].transpose("problem", *dims, "other").values
        finite = np.isfinite(others).any(axis=-1)
        middle = np.full(finite.shape, np.nan)
        middle[finite] = np.nanmedian(others[finite], axis=-1)
        tables[f"{prefix}rank"] = of[f"{prefix}rank"].transpose("problem", *dims).values
        tables[f"{prefix}others"] = middle
    there = [np.flatnonzero(row != "") for row in words]
    return [
        {
            "reads": {
                "targets": labels[there[i]].tolist(),
                "texts": [texts[i].place(str(word)) for word in words[i][there[i]]],
                **{name: ranks(table[i][..., there[i]]) for name, table in tables.items()},
            }
        }
        for i in range(len(ids))
    ]


def _exits(study: Study, ids: Sequence[str], texts: Sequence[Texts]) -> list[dict[str, Any]]:
    """Return what is answered after each number of thoughts."""
    if "exits" not in study.experiments:
        return [{} for _ in ids]
    of = study.experiments["exits"].sel(problem=list(ids))
    answers, right, logprob = (
        of[name].transpose("problem", "n_thoughts").values
        for name in ("answer", "correct", "logprob_gold")
    )
    return [
        {
            "exits": {
                "answers": [texts[i].place(str(text)) for text in answers[i]],
                "right": [_whole(x) for x in right[i]],
                "logprob": [short_number(x) for x in logprob[i]],
            }
        }
        for i in range(len(ids))
    ]
