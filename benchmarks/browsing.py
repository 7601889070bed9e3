"""The page in a browser: its size, how soon it is there, and how soon it answers a pointer.

A made-up study in the shape of GPT-2 (12 layers of 12 heads, 6 thoughts, 7 corruptions, a lens
and a probe), drawn whole; times are the browser's own, of one headless Chromium.
"""

import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import xarray as xr
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from cot_attn.data import Problem
from cot_attn.report import write_report
from cot_attn.study import Study
from cot_attn.study._lens import PROBE, WORDS, with_part

LAYERS, HEADS, THOUGHTS, STEPS = 12, 12, 6, 6
SIGMAS = (0.1, 0.5, 1, 2)
CORRUPTIONS = ("zero", *(f"gaussian(sigma={s})" for s in SIGMAS), "resample", "shuffle")
PLACES = ("bot", *(f"thought {i}" for i in range(THOUGHTS)), "eot", "answer_value")
Figures = dict[str, float | None]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
HOVER = """
    const done = arguments[0], times = [];
    const targets = [...document.querySelectorAll('button.position, .head')];
    const next = i => {
        if (i === targets.length) return done(times);
        const start = performance.now();
        targets[i].dispatchEvent(new PointerEvent('pointermove', {bubbles: true}));
        document.body.getBoundingClientRect(); // laid out
        times.push(performance.now() - start);
        setTimeout(next, 0, i + 1);
    };
    next(0);
"""
READY = """
    const [page] = performance.getEntriesByType('navigation');
    return [page.domContentLoadedEventEnd, page.loadEventEnd];
"""


def pages(sizes: tuple[int, ...] = (200, 1000), repeats: int = 5) -> dict[str, Figures]:
    """Measure the page of studies with so many problems."""
    return {f"{n} problems": page(n, repeats) for n in sizes}


def page(n_problems: int, repeats: int) -> Figures:
    """Write the page of a study, open it a few times, and point at everything once.

    Where there is no browser, its size alone is known.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = write_report([made_up(n_problems)], folder)
        found: Figures = {"megabytes": file.stat().st_size / 1e6, "shown": None}
        if not (CHROMIUM and DRIVER):
            return found
        browser = _browser(Path(folder) / "profile", CHROMIUM, DRIVER)
        try:
            opened, hovers = [], []
            for _ in range(repeats):
                browser.get("about:blank")
                browser.get(file.as_uri())
                opened.append(browser.execute_script(READY)[0] / 1000)
                hovers += browser.execute_async_script(HOVER)
            count = "return document.querySelectorAll('.options > *').length"
            found["shown"] = browser.execute_script(count)
        finally:
            browser.quit()
    return found | {
        "seconds until it can be used": median(opened),
        "milliseconds to answer a pointer": median(hovers),
        "milliseconds, slowest of 100": float(np.percentile(hovers, 99)),
    }


def made_up(n_problems: int, seed: int = 0, n_layers: int = LAYERS, n_heads: int = HEADS) -> Study:
    """Return a study in which a k-step problem mostly breaks with one of its first k thoughts."""
    rng = np.random.default_rng(seed)
    ids = [f"made-up-{i:04d}" for i in range(n_problems)]
    steps = 1.0 + np.arange(n_problems) % STEPS
    right = np.arange(n_problems) % 12 != 11
    of_problem = {
        "problem": ids,
        "difficulty": ("problem", steps),
        "question_length": ("problem", 60 + np.arange(n_problems) % 40),
    }
    return Study(
        _attention(
            rng, {**of_problem, "correct": ("problem", right.astype(float))}, n_layers, n_heads
        ),
        _effects(rng, of_problem, steps, right),
        tuple(
            Problem(
                name,
                f"Question {i}: " + "how many apples are there, " * 6,
                str(i),
                difficulty=int(k),
            )
            for i, (name, k) in enumerate(zip(ids, steps, strict=True))
        ),
        _settings(n_problems, n_layers),
        _readouts(rng, of_problem, steps, n_layers),
    )


def _attention(
    rng: np.random.Generator, of_problem: dict[str, Any], n_layers: int, n_heads: int
) -> xr.Dataset:
    keys = ("question", *PLACES[:-1], "answer")
    logits = rng.normal(
        0, 2, (len(of_problem["problem"]), n_layers, n_heads, len(PLACES), len(keys))
    )
    seen = np.arange(len(keys)) <= 1 + np.arange(len(PLACES))[:, None]
    rows = np.where(seen, np.exp(logits), 0)
    rows /= rows.sum(axis=-1, keepdims=True)
    dims = ("problem", "layer", "head", "query", "key")
    labels = {
        "layer": range(n_layers),
        "head": range(n_heads),
        "query": list(PLACES),
        "key": list(keys),
    }
    values = {"attention": (dims, rows.astype(np.float32))}
    return xr.Dataset(values, {**of_problem, **labels}, {"model": "made-up"})


def _effects(
    rng: np.random.Generator, of_problem: dict[str, Any], steps: Any, right: Any
) -> xr.Dataset:
    dims = ("problem", "thought", "corruption")
    needed = np.arange(THOUGHTS)[:, None] < steps[:, None, None]
    shape = (len(steps), THOUGHTS, len(CORRUPTIONS))
    failed = (rng.random(shape) < 0.05 + 0.7 * needed).astype(float)
    failed[~right] = np.nan
    kl = np.where(np.isnan(failed), np.nan, rng.gamma(1, 0.5, shape) + 5 * failed)
    answers = np.array([f"The answer is: {n}" for n in range(1000)], dtype=object)
    given = answers[rng.integers(0, len(answers), shape)]
    given[~right] = ""
    return xr.Dataset(
        {"failed": (dims, failed), "kl_value": (dims, kl), "answer": (dims, given)},
        {
            **of_problem,
            "thought": range(THOUGHTS),
            "corruption": list(CORRUPTIONS),
            "baseline_correct": ("problem", right),
            "baseline_answer": ("problem", answers[np.arange(len(steps)) % len(answers)]),
        },
        {
            "model": "made-up",
            "site": "input",
            "downstream": "recompute",
            "thought_rms": 1.0,
            "noise_floor": {"kl_value": 0.0},
            "n_donors": len(steps),
        },
    )


def _readouts(
    rng: np.random.Generator, of_problem: dict[str, Any], steps: Any, n_layers: int
) -> xr.Dataset:
    targets = [f"step {i}" for i in range(1, STEPS + 1)]
    there = np.arange(STEPS) < steps[:, None]
    n, others = len(steps), 8

    def ranks(*shape: int) -> Any:
        found = np.floor(np.exp(rng.uniform(0, np.log(50257), shape)))
        known = there.reshape(n, *[1] * (len(shape) - 2 - (shape[-1] == others)), STEPS)
        known = known[..., None] if shape[-1] == others else known
        return np.where(known, found, np.nan).astype(np.float32)

    place, fed = ("problem", "layer", "place", "target"), ("problem", "thought", "target")
    texts = np.where(there, rng.integers(0, 1000, there.shape).astype(str), "").astype(object)
    ranked = xr.Dataset(
        {
            "text": (("problem", "target"), texts),
            "rank": (place, ranks(n, n_layers, len(PLACES), STEPS)),
            "baseline_rank": ((*place, "other"), ranks(n, n_layers, len(PLACES), STEPS, others)),
            "fed_rank": (fed, ranks(n, THOUGHTS, STEPS)),
            "fed_baseline_rank": ((*fed, "other"), ranks(n, THOUGHTS, STEPS, others)),
        },
        {
            **of_problem,
            "correct": ("problem", np.ones(n)),
            "layer": range(n_layers),
            "place": list(PLACES),
            "thought": range(THOUGHTS),
            "target": targets,
        },
        {"model": "made-up", "space": "hidden", "lens": "logit"},
    )
    return with_part(with_part(ranked, PROBE, _probed(rng, n_layers)), WORDS, _words(rng, n_layers))


def _probed(rng: np.random.Generator, n_layers: int) -> xr.Dataset:
    dims, shape = ("layer", "place"), (n_layers, len(PLACES))
    names = "accuracy low high chance p q control selectivity question_only question_only_layer"
    names = f"{names} gain gain_low gain_high"
    values: dict[str, Any] = {name: (dims, rng.random(shape)) for name in names.split()}
    values |= {name: (dims, np.full(shape, 160)) for name in ("n_problems", "n_groups")}
    values["reason"] = (dims, np.full(shape, "", dtype=object))
    made = {"n_folds": 5, "n_permutations": 199, "n_controls": 5, "confidence": 0.95}
    told = {"measure": "accuracy", "label": "step 2 above 12, the median", **made}
    return xr.Dataset(values, {"layer": range(n_layers), "place": list(PLACES)}, told)


def _words(rng: np.random.Generator, n_layers: int) -> xr.Dataset:
    dims, shape = ("layer", "place", "nth"), (n_layers, len(PLACES), 2)
    ids = rng.integers(0, 50257, shape)
    return xr.Dataset(
        {
            "token": (dims, " word" + ids.astype(str).astype(object)),
            "token_id": (dims, ids),
            "probability": (dims, rng.random(shape)),
            "elsewhere": (dims, rng.random(shape)),
        },
        {"layer": range(n_layers), "place": list(PLACES), "nth": [1, 2]},
        {"problem": "made-up-0005", "wanted": ["12", "7", "600"], "n_others": 24},
    )


def _settings(n_problems: int, n_layers: int) -> dict[str, Any]:
    versions = dict.fromkeys(("cot-attn", "torch", "transformers", "transformer-lens"), "0")
    return {
        "model": "made-up",
        "checkpoint": "made-up",
        "dtype": "torch.float32",
        "n_thoughts": THOUGHTS,
        "n_layers": n_layers,
        "n_problems": n_problems,
        "dataset": ["made-up"],
        "source": None,
        "corruptions": list(CORRUPTIONS),
        "corruptions_in_python": [None] * len(CORRUPTIONS),
        "site": "input",
        "downstream": "recompute",
        "query": "answer_value",
        "seed": 0,
        "max_new_tokens": 64,
        "readouts": True,
        "experiments": [],
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 0.0,
        "device": "cpu",
        "python": "3",
        "versions": versions,
    }


def _browser(profile: Path, chromium: str, driver: str) -> Chrome:
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1280,1000")
    os.environ.setdefault("SE_AVOID_STATS", "true")
    return Chrome(options=options, service=Service(driver))
