"""What the table shows of each part that `python -m benchmarks` measures, and what is wanted."""

from collections.abc import Iterator, Mapping

from benchmarks.agreement import Agreement
from benchmarks.correlation_speed import Correlated
from benchmarks.experiments import Ratios
from benchmarks.growth import Growth, GrowthOfTokens, Peaks
from benchmarks.loading import Loaded
from benchmarks.measuring import Beside, Seconds
from benchmarks.parts import Row
from benchmarks.real_speed import Ablated
from benchmarks.recording import OfProblems, Stored
from benchmarks.speed import Comparison

PAGE = {
    "megabytes": "<= 5",
    "seconds until it can be used": "<= 2",
    "milliseconds to answer a pointer": "<= 50",
    "milliseconds, slowest of 100": "<= 50",
}


def compared(name: str, found: Comparison) -> Iterator[Row]:
    """Show the engine beside loops, whose answers agree unless numbers say otherwise."""
    wanted = {
        "plain / engine": ">= 15" if found["planted"] < 1 else ">= 9",
        "scratch / engine": ">= 5",
        "shared / engine": ">= 2",
        "engine / bound": "<= 1.4" if name.startswith("gpt2") else "<= 1.3",
        "one problem / a problem of many": "<= 1.5",
    }
    agreeing = min(found["answers that agree"].values())
    yield Row(
        f"[bold]{name}[/bold]: {found['changed']:.0%} of answers changed, "
        f"{agreeing:.1%} agree with every loop"
    )
    for ratio, value in found["ratios"].items():
        yield _row(f"  {ratio}", value, wanted.get(ratio, ""))


def ablated(found: Ablated) -> Iterator[Row]:
    """Show the engine beside batches, with real weights and the published corruptions."""
    yield Row(
        f"[bold]SmolLM2 135M, real weights[/bold], {found['problems']} problems: "
        f"{found['changed']:.1%} of answers changed, {min(found['agree'].values()):.1%} agree"
    )
    for ratio, value in found["ratios"].items():
        yield _row(f"  {ratio}", value, "")


def peaks_of_ways(found: Mapping[str, float]) -> Iterator[Row]:
    for way, megabytes in found.items():
        yield Row(f"peak memory, {way}, MB", f"{megabytes:.0f}")


def one_intervention(name: str, found: Beside) -> Iterator[Row]:
    figure = f"one intervention on one problem of {name} / a plain run"
    yield _row(figure, found["ratio"], "<= 2.5")


def of_problems(what: str, wanted: str, found: OfProblems) -> Iterator[Row]:
    yield _row(f"{what}, {found['problems']} problems", found["ratio"], wanted, digits=3)


def stored(found: Stored) -> Iterator[Row]:
    yield Row("stored record, MB", f"{found['megabytes']:.2f}", wanted="<= 2")


def experiments(name: str, found: Ratios) -> Iterator[Row]:
    for ratio, value in found.items():
        yield _row(f"{name}: {ratio}", Seconds(value["wall"], value["cpu"]), "<= 1.2")


def agreeing(found: Mapping[str, Agreement]) -> Iterator[Row]:
    for name, value in found.items():
        share = value["answers that agree"]
        yield Row(f"{name}: answers that agree with the loop", cpu=f"{share:.1%}")


def correlated(found: Correlated) -> Iterator[Row]:
    heads = found["shape"]["layer"] * found["shape"]["head"]
    for name, seconds in found["seconds"].items():
        figure = f"correlating {heads} heads, {name}, seconds"
        yield Row(figure, f"{seconds:.1f}", wanted="seconds")


def grown_with_tokens(found: Mapping[str, GrowthOfTokens]) -> Iterator[Row]:
    for name, value in found.items():
        exponents = f"{value['exponent']:.2f} ({value['exponent of tokens fed']:.2f})"
        figure = f"growth with {name}, exponent (of tokens fed)"
        yield Row(figure, cpu=exponents, wanted="linear")


def grown(found: Mapping[str, Growth]) -> Iterator[Row]:
    for name, value in found.items():
        exponent = f"{value['exponent']:.2f}"
        yield Row(f"growth with {name}, exponent", cpu=exponent, wanted="<= 1")


def pages(found: Mapping[str, Mapping[str, float | None]]) -> Iterator[Row]:
    for name, page in found.items():
        for what, value in page.items():
            figure = "n/a: no browser" if value is None else f"{value:.4g}"
            yield Row(f"page of {name}: {what}", figure, wanted=PAGE.get(what, ""))


def own_share(found: Mapping[str, Seconds]) -> Iterator[Row]:
    wanted = {"all": "<= 60", "page": "<= 10"}
    for part, value in found.items():
        figure = f"a study's own share: {part}, seconds"
        yield _row(figure, value, wanted.get(part, ""), digits=1)


def loaded(found: Mapping[str, Loaded]) -> Iterator[Row]:
    for way, value in found.items():
        yield Row(
            f"loading {way}: anonymous memory (with pages of the file) / weights",
            f"{value['anonymous']:.2f} ({value['peak']:.2f})",
            wanted="<= 1.3",
        )


def peaks(found: Peaks) -> Iterator[Row]:
    few, many = found["problems"]
    ratio = f"{found['ratio']:.2f}"
    yield Row(f"peak memory, {many} / {few} problems", ratio, wanted="<= 1.1")


def _row(figure: str, value: Seconds, wanted: str, digits: int = 2) -> Row:
    return Row(figure, f"{value.wall:.{digits}f}", f"{value.cpu:.{digits}f}", wanted)
