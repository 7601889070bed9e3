"""How time and memory grow with problems, thoughts and corruptions."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np

from benchmarks.measuring import timed
from benchmarks.models import N_ANSWER, N_QUESTION, N_THOUGHTS, Subject, problems, subject
from cot_attn.interventions import GaussianNoise, Intervention, run_variants

Growth = TypedDict("Growth", {"counts": list[int], "cpu seconds": list[float], "exponent": float})
GrowthOfTokens = TypedDict(
    "GrowthOfTokens",
    {
        "counts": list[int],
        "cpu seconds": list[float],
        "exponent": float,
        "exponent of tokens fed": float,
    },
)


class Peaks(TypedDict):
    """The peak memory of processes that run few problems and many."""

    problems: tuple[int, int]
    megabytes: list[float]
    ratio: float


def run(
    one: Subject,
    n_problems: int,
    n_thoughts: int,
    n_corruptions: int,
    n_words: int = N_QUESTION,
) -> None:
    """Corrupt every thought of every problem in a model that thinks that many thoughts."""
    one.model.n_thoughts = n_thoughts
    changes = [
        Intervention(i, GaussianNoise(0.5 + j))
        for i in range(n_thoughts)
        for j in range(n_corruptions)
    ]
    run_variants(
        one.model,
        problems(n_problems, n_words),
        changes,
        max_new_tokens=N_ANSWER,
        batch_size=128,
        only_correct=False,
    )
    one.model.n_thoughts = N_THOUGHTS


def exponents(one: Subject, repeats: int) -> dict[str, GrowthOfTokens]:
    """Fit time = a * count ** b, from when batches are full; 1 is linear.

    With thoughts, both the number of variants and their length grow: a variant of thought i feeds
    n - i thoughts. `thoughts` is the exponent of time per variant and token fed.
    """
    base = {"n_problems": 64, "n_thoughts": 6, "n_corruptions": 4}
    found: dict[str, GrowthOfTokens] = {}
    for name, counts in {
        "n_problems": [32, 64, 128, 256],
        "n_thoughts": [2, 4, 8, 16],
        "n_corruptions": [2, 4, 8, 16],
    }.items():
        seconds = [
            min(timed(partial(run, one, **{**base, name: n}))[0].cpu for _ in range(repeats))
            for n in counts
        ]
        work = [_tokens(**{**base, name: n}) for n in counts]
        found[name] = {
            "counts": counts,
            "cpu seconds": seconds,
            "exponent": float(np.polyfit(np.log(counts), np.log(seconds), 1)[0]),
            "exponent of tokens fed": float(np.polyfit(np.log(work), np.log(seconds), 1)[0]),
        }
    return found


def size_exponents(repeats: int) -> dict[str, Growth]:
    """Fit time = a * count ** b where the model or the question is larger, with four problems.

    A part of the work does not grow with each of them, so that an exponent below 1 is no surprise.
    Above it is only attention: every token of a question looks at all before it.
    """
    base = {"n_problems": 4, "n_thoughts": 6, "n_corruptions": 2}
    found: dict[str, Growth] = {}
    for name, counts in {
        "n_layer": [2, 4, 8, 16],
        "vocab_size": [2_000, 8_000, 32_000, 128_000],
        "n_words": [125, 250, 500, 1000, 2000],
    }.items():
        seconds = []
        for count in counts:
            long = name == "n_words"
            one = subject("small", shape={"n_positions": 2100} if long else {name: count})
            asked = {**base, "n_words": count} if long else base
            run(one, **asked)  # what is found out once about a model
            seconds.append(min(timed(partial(run, one, **asked))[0].cpu for _ in range(repeats)))
        slope = np.polyfit(np.log(counts), np.log(seconds), 1)[0]
        found[name] = {"counts": counts, "cpu seconds": seconds, "exponent": float(slope)}
    return found


def peak_memory(sizes: tuple[int, int]) -> Peaks:
    """Return the peak memory of fresh processes that run few and many problems."""
    peaks = [peak_of("benchmarks.growth", n_problems) for n_problems in sizes]
    return {"problems": sizes, "megabytes": peaks, "ratio": peaks[1] / peaks[0]}


def peak_of(module: str, *arguments: object) -> float:
    """Return the peak memory in MB that a module prints, which runs in a fresh process."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(json.loads(output.splitlines()[-1]))


def peak() -> float:
    """Return this process's peak memory in MB.

    What getrusage says includes the peak of the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024 / 1e6


def _tokens(n_problems: int, n_thoughts: int, n_corruptions: int) -> float:
    """Count the tokens that an engine feeds: prompts twice at most, branches and answers."""
    own = 61 + n_thoughts + 2 * N_ANSWER
    branches = sum(n_thoughts - i + N_ANSWER for i in range(n_thoughts)) * n_corruptions
    return n_problems * (own + branches)


if __name__ == "__main__":
    run(subject("small"), int(sys.argv[1]), N_THOUGHTS, 2)
    print(peak())
