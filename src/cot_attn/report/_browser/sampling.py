"""Which problems of a large study a page carries, and why each."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from cot_attn.study.results import Study

Why = Literal["all", "wrong", "broken", "drawn"]
MOST_WRONG, MOST_BROKEN = 0.25, 0.25


def chosen(study: Study, most: int) -> dict[str, Why]:
    """Choose problems by id: all, or of too many some wrong, the most broken, and a draw.

    Up to a quarter are answered wrong, a quarter those that corruptions break most, and the rest
    is drawn by the hash of the study's seed and the problem's id, from all others. Returned in the
    order of the study's problems.
    """
    ids = [problem.id for problem in study.problems]
    if len(ids) <= most:
        return dict.fromkeys(ids, "all")
    right = study.effects["baseline_correct"].sel(problem=ids).values.astype(bool)
    broken = np.nan_to_num(study.failure.mean("thought").sel(problem=ids).values, nan=-1.0)
    drawn = sorted(range(len(ids)), key=lambda place: _draw(study, ids[place]))
    wrong = [place for place in drawn if not right[place]][: int(most * MOST_WRONG)]
    telling = sorted((p for p in drawn if right[p]), key=lambda place: -broken[place])
    why: dict[int, Why] = dict.fromkeys(wrong, "wrong")
    why |= dict.fromkeys(telling[: int(most * MOST_BROKEN)], "broken")
    rest = [place for place in drawn if place not in why][: most - len(why)]
    why |= dict.fromkeys(rest, "drawn")
    return {ids[place]: why[place] for place in sorted(why)}


def same_for_all(studies: Sequence[Study], most: int) -> list[dict[str, Why]]:
    """Choose problems of each study; those of the first where all were asked the same."""
    first = chosen(studies[0], most)
    asked = {problem.id for problem in studies[0].problems}
    return [
        first if {p.id for p in study.problems} == asked else chosen(study, most)
        for study in studies
    ]


def _draw(study: Study, problem: str) -> bytes:
    return hashlib.sha256(f"{study.settings['seed']}:{problem}".encode()).digest()
