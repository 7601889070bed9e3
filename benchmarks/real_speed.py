"""The engine beside the loops of one batch, with real weights: nothing is random, nothing planted.

`python -m benchmarks.real_speed [--problems 12]` fetches SmolLM2 135M as `make real` does, corrupts
every thought of word problems in the seven published ways, and prints ratios as JSON. What counts
as right is what the model says, so that every variant runs.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch
from transformers import AutoModelForCausalLM

from benchmarks import batched, plain
from benchmarks.measuring import Seconds, interleaved
from benchmarks.models import N_ANSWER, N_THOUGHTS, Subject
from benchmarks.real_weights import gguf_file, plain_folder
from cot_attn import ContinuousThoughtModel, TokenAblator
from cot_attn.data import Problem
from cot_attn.interventions import CCTA, run_variants
from cot_attn.models import Identity

FOLDER = Path(tempfile.gettempdir()) / "smollm2"


class Ablated(TypedDict):
    """How long the same ablation took in each way, and how many answers are the same."""

    problems: int
    variants: int
    changed: float
    agree: dict[str, float]
    seconds: dict[str, Seconds]
    ratios: dict[str, Seconds]


def is_fetched(folder: Path = FOLDER) -> bool:
    """Whether the weights are there, as `make real` leaves them."""
    return any(folder.glob("**/plain/config.json"))


def compare(n_problems: int = 12, repeats: int = 2, folder: Path = FOLDER) -> Ablated:
    """Time the same answers three ways, in turns, and say how many of them are the same."""
    subject = real_subject(folder)
    model, problems = subject.model, word_problems(n_problems)
    changes = TokenAblator(model, CCTA).interventions
    clean = plain.inputs(subject, problems)
    answers: dict[str, list[list[str]]] = {}

    def engine() -> None:
        found = run_variants(
            model, problems, changes, ["answer"], max_new_tokens=N_ANSWER, only_correct=False
        )
        own = found["baseline_answer"].values
        rows = zip(own, found["answer"].values, strict=True)
        answers["engine"] = [[baseline, *row] for baseline, row in rows]

    def loop(way: str) -> None:
        answers[way] = batched.all_answers(
            subject, problems, changes, clean, shared=way == "shared"
        )

    loops = ("scratch", "shared")
    works: dict[str, Callable[[], None]] = {way: partial(loop, way) for way in loops}
    works["engine"] = engine
    engine()  # what is found out once about a model is known by then
    times = interleaved(works, repeats)
    ours = answers["engine"]
    return {
        "problems": n_problems,
        "variants": len(changes),
        "changed": _share(text != row[0] for row in ours for text in row[1:]),
        "agree": {way: _same(ours, answers[way]) for way in loops},
        "seconds": times,
        "ratios": {f"{way} / engine": times[way] / times["engine"] for way in loops},
    }


def real_subject(folder: Path = FOLDER) -> Subject:
    """Return SmolLM2 with its hidden state as the next thought, and the same as a plain model."""
    source, _ = plain_folder(gguf_file(folder))
    model = ContinuousThoughtModel.from_language_model(
        source, feedback=Identity(), n_thoughts=N_THOUGHTS, dtype=torch.float32, validate=False
    )
    same = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    return Subject(model, same, Identity())


def word_problems(n: int) -> list[Problem]:
    """Return sums in words, whose prompts are of two lengths."""
    rng = random.Random(0)
    problems = []
    for i in range(n):
        pens, price, extra = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 9)
        more = f" and a book for {extra} dollars" if i % 2 else ""
        paid = pens * price + (extra if i % 2 else 0)
        question = f"Mia buys {pens} pens for {price} dollars each{more}. What does she pay?"
        problems.append(Problem(f"p{i:03d}", question, str(paid)))
    return problems


def _same(ours: list[list[str]], theirs: list[list[str]]) -> float:
    rows = zip(ours, theirs, strict=True)
    return _share(a == b for row, other in rows for a, b in zip(row, other, strict=True))


def _share(found: Iterable[bool]) -> float:
    every = list(found)
    return sum(every) / len(every)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_speed", description=__doc__)
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    print(json.dumps(compare(asked.problems, asked.repeats), indent=2, default=vars))
