"""Measure everything, print a table and write JSON.

`python -m benchmarks [--models gpt2-124m ...] [--problems 12] [--repeats 2] [--out FILE]`
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import browsing, experiments, growth, loading, recording, speed, studying
from benchmarks.agreement import agreement
from benchmarks.correlation_speed import correlating
from benchmarks.models import N_ANSWER, SHAPES, problems, subject
from cot_attn import ContinuousThoughtModel, bundled_models, load_problems

CONSOLE = Console()


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
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    asked = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(asked.device), "dtype": asked.dtype}
    for name in asked.models:
        one = subject(name, getattr(torch, asked.dtype), asked.device)
        for part in (0.2, 1.0):
            results[f"{name}, {part:.0%} drowned"] = speed.compare(
                one,
                part,
                n_problems=asked.problems,
                n_plain=asked.loop_problems,
                repeats=asked.repeats,
            )
            save(results, asked.out)
        if name == "gpt2-124m":
            results["peak memory of ways"] = {
                way: growth.peak_of("benchmarks.batched", name, way, asked.problems)
                for way in ("scratch", "shared", "engine")
            }
            results["recorded attention"] = recording.attention(one, 16, 2 * asked.repeats + 1)
            results["recorded states"] = recording.states(one)
            results["stored record"] = recording.stored(one)
            results["one intervention, gpt2-124m"] = speed.one_intervention(
                one.model, problems(1)[0], 2 * asked.repeats + 1
            )
            results["lens"] = recording.lens(one, 32, asked.repeats)
            works = experiments.used_and_carried(one.model, problems(6), N_ANSWER)
            results["experiments, gpt2-124m"] = experiments.compared(works, asked.repeats)
        del one
    results["agreement"] = {
        f"{name}, {dtype}": agreement(name, getattr(torch, dtype), 6)
        for name in bundled_models()
        for dtype in ("float32", "bfloat16")
    }
    save(results, asked.out)
    toy = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    results["one intervention, toy-gpt2"] = speed.one_intervention(
        toy, load_problems("toy", n=1)[0], 15
    )
    results["recording, 30 layers"] = recording.attention(
        subject("smollm2-135m"), 8, 2 * asked.repeats + 1
    )
    results["experiments, toy-gpt2"] = experiments.all_ratios(toy, 120, asked.repeats)
    save(results, asked.out)
    results["correlating"] = correlating()
    results["growth of time"] = growth.exponents(subject("small"), asked.repeats)
    results["page"] = browsing.pages()
    results["own share of a study"] = studying.own_share()
    results["loading"] = dict(loading.peaks())
    save(results, asked.out)
    results["growth of time with size"] = growth.size_exponents(asked.repeats)
    results["peak memory"] = growth.peak_memory((100, 1000))
    save(results, asked.out)
    CONSOLE.print(table(results))
    CONSOLE.print(f"Everything that was measured is in {asked.out}.")


def machine(device: str) -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def table(results: dict[str, Any]) -> Table:
    shown = Table("figure", "wall clock", "processor time", "wanted", title="Benchmarks")
    for name, result in results.items():
        if "planted" not in result:
            continue
        wanted = {
            "plain / engine": ">= 15" if result["planted"] < 1 else ">= 9",
            "bridge / engine": "",
            "scratch / engine": ">= 5",
            "shared / engine": ">= 2",
            "engine / bound": "<= 1.4" if name.startswith("gpt2") else "<= 1.3",
            "one problem / a problem of many": "<= 1.5",
        }
        agreeing = min(
            result["answers that agree"], *result["answers that agree with the batches"].values()
        )
        shown.add_row(
            f"[bold]{name}[/bold]: {result['changed']:.0%} of answers changed, "
            f"{agreeing:.1%} agree with every loop"
        )
        for ratio, value in result["ratios"].items():
            shown.add_row(
                f"  {ratio}", f"{value['wall']:.2f}", f"{value['cpu']:.2f}", wanted[ratio]
            )
    for way, megabytes in results.get("peak memory of ways", {}).items():
        shown.add_row(f"peak memory, {way}, MB", f"{megabytes:.0f}", "", "")
    if "recorded states" in results:
        for what, wanted in (("attention", "<= 1.05"), ("states", "<= 1.1")):
            result = results[f"recorded {what}"]
            name, value = f"{what} recorded / bare run", result["ratio"]
            shown.add_row(
                f"{name}, {result['problems']} problems",
                f"{value['wall']:.3f}",
                f"{value['cpu']:.3f}",
                wanted,
            )
        shown.add_row(
            "stored record, MB", f"{results['stored record']['megabytes']:.2f}", "", "<= 2"
        )
        result = results["lens"]
        name, value = "lens / unembedding alone", result["ratio"]
        shown.add_row(
            f"{name}, {result['problems']} problems",
            f"{value['wall']:.2f}",
            f"{value['cpu']:.2f}",
            "",
        )
    for name in ("toy-gpt2", "gpt2-124m"):
        if found := results.get(f"one intervention, {name}"):
            shown.add_row(
                f"one intervention on one problem of {name} / a plain run",
                f"{found['ratio']['wall']:.2f}",
                f"{found['ratio']['cpu']:.2f}",
                "<= 2.5",
            )
    value = results["recording, 30 layers"]["ratio"]
    shown.add_row(
        "attention recorded at 30 layers / bare run",
        f"{value['wall']:.3f}",
        f"{value['cpu']:.3f}",
        "<= 1.05",
    )
    for part, value in results["own share of a study"].items():
        wanted = {"all": "<= 60", "page": "<= 10"}.get(part, "")
        shown.add_row(
            f"a study's own share: {part}, seconds",
            f"{value['wall']:.1f}",
            f"{value['cpu']:.1f}",
            wanted,
        )
    for way, value in results["loading"].items():
        shown.add_row(
            f"loading {way}: anonymous memory (with pages of the file) / weights",
            f"{value['anonymous']:.2f} ({value['peak']:.2f})",
            "",
            "<= 1.3",
        )
    for name in ("gpt2-124m", "toy-gpt2"):
        for ratio, value in results.get(f"experiments, {name}", {}).items():
            shown.add_row(
                f"{name}: {ratio}", f"{value['wall']:.2f}", f"{value['cpu']:.2f}", "<= 1.2"
            )
    shown.add_row(
        "peak memory, 1000 / 100 problems", f"{results['peak memory']['ratio']:.2f}", "", "<= 1.1"
    )
    for name, value in results["agreement"].items():
        shown.add_row(
            f"{name}: answers that agree with the loop", "", f"{value['answers that agree']:.1%}"
        )
    for name, value in results["correlating"]["seconds"].items():
        shown.add_row(f"correlating 512 heads, {name}, seconds", f"{value:.1f}", "", "seconds")
    for name, page in results["page"].items():
        wanted = iter(("<= 5", "", "<= 2", "<= 50", "<= 50"))
        for what, value in page.items():
            figure = "n/a: no browser" if value is None else f"{value:.4g}"
            shown.add_row(f"page of {name}: {what}", figure, "", next(wanted))
    for name, value in results["growth of time with size"].items():
        shown.add_row(f"growth with {name}, exponent", "", f"{value['exponent']:.2f}", "<= 1")
    for name, value in results["growth of time"].items():
        shown.add_row(
            f"growth with {name}, exponent (of tokens fed)",
            "",
            f"{value['exponent']:.2f} ({value['exponent of tokens fed']:.2f})",
            "linear",
        )
    return shown


def save(results: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
