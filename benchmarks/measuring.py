"""Seconds of wall clock and of processor time, and tables of them."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, TypedDict, TypeVar

import torch

Result = TypeVar("Result")


@dataclass
class Seconds:
    """What one piece of work took."""

    wall: float
    cpu: float

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall / other.wall, self.cpu / other.cpu)

    def times(self, factor: float) -> "Seconds":
        return Seconds(self.wall * factor, self.cpu * factor)


class Beside(TypedDict):
    """What a piece of work took beside another."""

    seconds: dict[str, Seconds]
    ratio: Seconds


def timed(work: Callable[[], Result]) -> tuple[Seconds, Result]:
    """Do a piece of work and say how long it took."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu), result


def middle(several: list[Seconds]) -> Seconds:
    """Return the medians of repeated measurements."""
    return Seconds(median(each.wall for each in several), median(each.cpu for each in several))


def interleaved(works: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Seconds]:
    """Time pieces of work in turns, so that a busy machine slows all of them alike."""
    taken: dict[str, list[Seconds]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(timed(work)[0])
    return {name: middle(times) for name, times in taken.items()}
