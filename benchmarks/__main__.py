"""Measure everything, print a table and write JSON.

`python -m benchmarks [--models gpt2-124m ...] [--problems 12] [--repeats 2] [--out FILE]`
"""

import argparse
import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import (
    browsing,
    experiments,
    growth,
    loading,
    real_speed,
    recording,
    rows,
    speed,
    studying,
)
from benchmarks.agreement import Agreement, agreement
from benchmarks.correlation_speed import correlating
from benchmarks.models import N_ANSWER, SHAPES, Subject, problems, subject
from benchmarks.parts import Results
from cot_attn import ContinuousThoughtModel, bundled_models, load_problems


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--models", nargs="+", default=["gpt2-124m", "llama-1b-4-layers"], choices=list(SHAPES)
    )
    parser.add_argument(
        "--problems", type=int, default=12, help="problems that engine and batches run"
    )
    parser.add_argument(
        "--loop-problems", type=int, default=1, help="problems that one-by-one loops run"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        choices=["cpu", "cuda"],  # which of several, CUDA_VISIBLE_DEVICES says
    )
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    asked = parser.parse_args()
    conditions = {"machine": machine(asked.device), "dtype": asked.dtype}
    results = Results(asked.out, "Benchmarks", conditions)
    for name in asked.models:
        one = subject(name, getattr(torch, asked.dtype), asked.device)
        of_model(results, name, one, asked.problems, asked.loop_problems, asked.repeats)
        if name == "gpt2-124m":
            of_gpt2(results, one, asked.problems, asked.repeats)
        del one  # else it stays in memory beside the next
    if real_speed.is_fetched():  # by `make real`
        real = partial(real_speed.compare, asked.problems, asked.repeats)
        results.add("SmolLM2 135M, real weights", real, rows.ablated)
    of_small_models(results, asked.repeats)
    of_the_rest(results)
    results.show()


def of_model(
    results: Results, name: str, one: Subject, n_problems: int, n_plain: int, repeats: int
) -> None:
    """Measure the engine beside loops, where some answers change and where all may."""
    for part in (0.2, 1.0):
        called = f"{name}, {part:.0%} drowned"
        results.add(
            called,
            partial(
                speed.compare, one, part, n_problems=n_problems, n_plain=n_plain, repeats=repeats
            ),
            partial(rows.compared, called),
        )


def of_gpt2(results: Results, one: Subject, n_problems: int, repeats: int) -> None:
    """Measure memory, recording, a single intervention and two experiments."""
    name, often = "gpt2-124m", 2 * repeats + 1
    results.add("peak memory of ways", partial(peaks_of_ways, name, n_problems), rows.peaks_of_ways)
    results.add(
        "recorded attention",
        partial(recording.attention, one, 16, often),
        partial(rows.of_problems, "attention recorded / bare run", "<= 1.05"),
    )
    results.add(
        "recorded states",
        partial(recording.states, one),
        partial(rows.of_problems, "states recorded / bare run", "<= 1.1"),
    )
    results.add("stored record", partial(recording.stored, one), rows.stored)
    single = partial(speed.one_intervention, one.model, problems(1)[0], often)
    results.add(f"one intervention, {name}", single, partial(rows.one_intervention, name))
    results.add(
        "lens",
        partial(recording.lens, one, 32, repeats),
        partial(rows.of_problems, "lens / unembedding alone", ""),
    )
    works = experiments.used_and_carried(one.model, problems(6), N_ANSWER)
    results.add(
        f"experiments, {name}",
        partial(experiments.compared, works, repeats),
        partial(rows.experiments, name),
    )


def of_small_models(results: Results, repeats: int) -> None:
    """Measure the bundled models, many layers of little work, and growth with problems."""
    results.add("agreement", agreements, rows.agreeing)
    name = "toy-gpt2"
    toy = ContinuousThoughtModel.from_pretrained(name)
    single = partial(speed.one_intervention, toy, load_problems("toy", n=1)[0], 15)
    results.add(f"one intervention, {name}", single, partial(rows.one_intervention, name))
    results.add(
        "recording, 30 layers",
        partial(recording.attention, subject("smollm2-135m"), 8, 2 * repeats + 1),
        partial(rows.of_problems, "attention recorded at 30 layers / bare run", "<= 1.05"),
    )
    results.add(
        f"experiments, {name}",
        partial(experiments.all_ratios, toy, 120, repeats),
        partial(rows.experiments, name),
    )
    results.add(
        "growth of time",
        partial(growth.exponents, subject("small"), repeats),
        rows.grown_with_tokens,
    )
    results.add("growth of time with size", partial(growth.size_exponents, repeats), rows.grown)
    results.add("peak memory", partial(growth.peak_memory, (100, 1000)), rows.peaks)


def of_the_rest(results: Results) -> None:
    """Measure what runs no model, or loads one alone."""
    results.add("correlating", correlating, rows.correlated)
    results.add("page", browsing.pages, rows.pages)
    results.add("own share of a study", studying.own_share, rows.own_share)
    results.add("loading", lambda: dict(loading.peaks()), rows.loaded)


def peaks_of_ways(name: str, n_problems: int) -> dict[str, float]:
    """Return the peak memory in MB of the engine and of batches, each in a process of its own."""
    ways = ("scratch", "shared", "engine")
    return {way: growth.peak_of("benchmarks.batched", name, way, n_problems) for way in ways}


def agreements() -> dict[str, Agreement]:
    """Compare the engine with a plain loop, for each bundled model in each precision."""
    return {
        f"{name}, {dtype}": agreement(name, getattr(torch, dtype), 6)
        for name in bundled_models()
        for dtype in ("float32", "bfloat16")
    }


def machine(device: str) -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
