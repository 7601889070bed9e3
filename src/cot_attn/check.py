"""The first look at a model: whether it loads, its hooks work, and it answers as it should."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import torch
from scipy.stats import binomtest

from cot_attn.checkpoints import bundled_models, known_checkpoints
from cot_attn.data import Problem, grade, load_problems
from cot_attn.models import ContinuousThoughtModel, Run, validate
from cot_attn.models.validation import CHECKS

Outcome = Literal["passed", "failed", "not run", "looks wrong", "not known"]
_ALONE = "a batch of questions gives what each gives alone"
_QUESTIONS = {
    "Tom has 3 boxes with 4 apples each. How many apples does he have?": "12",
    "A book costs 7 dollars. How many dollars do 6 books cost?": "42",
    "Anna had 20 stamps and gave away 8. Then she got 5 more. How many stamps has she now?": "17",
    "There are 24 pupils. Half of them walk to school and a third of the others cycle. How many "
    "pupils cycle?": "4",
    "A train goes 60 miles in an hour. How many miles does it go in 3 hours?": "180",
    "Ben saves 5 dollars a week. In how many weeks has he 45 dollars?": "9",
}

_GRAPHS = {
    "0 2 | 2 6 | 1 3 | 6 8 | 3 9 [Q] 8 9 [R] 0": "8",
    "4 7 | 0 5 | 5 1 | 7 2 | 1 3 [Q] 2 3 [R] 0": "3",
    "6 1 | 2 4 | 1 9 | 4 8 | 8 5 [Q] 9 5 [R] 2": "5",
}
"""What `_QUESTIONS` is for models that read graphs in symbols."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    outcome
        `passed`, `failed` or `not run` of a check; otherwise that something looks wrong, or is not
        known.
    what
        What it is about, in a sentence.
    """

    outcome: Outcome
    what: str


@dataclass(frozen=True)
class CheckReport:
    """What `check_model` found; printed, it is what `cot-attn check` shows.

    Attributes
    ----------
    loaded
        What was read from where.
    findings
        Every check with its outcome, what looks wrong, and what is not known.
    answers
        A few questions with answers.
    """

    loaded: str
    findings: tuple[Finding, ...]
    answers: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(finding.outcome not in ("failed", "not run") for finding in self.findings)

    def of(self, outcome: Outcome) -> list[str]:
        """Return the findings of an outcome."""
        return [finding.what for finding in self.findings if finding.outcome == outcome]

    def __str__(self) -> str:
        checks: tuple[Outcome, ...] = ("passed", "failed", "not run")
        parts = [
            ("Read", self.loaded.splitlines()),
            ("Checks", [f"{o + ':':<8} {w}" for o in checks for w in self.of(o)]),
            ("Answers", [f"{q!r} -> {a!r}" for q, a in self.answers]),
            ("What looks wrong", self.of("looks wrong") or ["nothing that was looked at"]),
            ("What is not known", self.of("not known")),
        ]
        return "\n\n".join(
            "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in parts if lines
        )


def check_model(
    model: str | PathLike[str] | ContinuousThoughtModel,
    problems: Sequence[Problem] | None = None,
    *,
    n: int | None = None,
    max_new_tokens: int = 64,
    **options: Any,
) -> CheckReport:
    """Load a model, check it, ask it a few questions, and say what looks wrong or is not known.

    Parameters
    ----------
    model
        As for `ContinuousThoughtModel.from_pretrained`, or a model.
    problems
        What it is asked; by default a few problems of the kind that it was made for.
    n
        How many of them; by default all.
    max_new_tokens
        The greatest number of tokens in an answer.
    **options
        Those of `from_pretrained`.

    Raises
    ------
    FileNotFoundError, ValueError
        Where the model does not load; see `from_pretrained`.

    Examples
    --------
    >>> report = check_model("toy-gpt2", n=4)
    >>> report.passed, report.of("looks wrong")
    (True, [])
    >>> report.of("passed")[0]
    'attention rows sum to 1'
    """
    if isinstance(model, ContinuousThoughtModel):
        made, name = model, model.name
    else:
        made = ContinuousThoughtModel.from_pretrained(model, validate=False, **options)
        name = str(model)
    asked = list(problems) if problems is not None else _default_problems(name, made)
    asked = asked[:n]
    findings = _self_checks(made)
    run = made.run(asked, max_new_tokens=max_new_tokens, batch_size=8)
    findings.append(_alone(made, run))
    findings += _answers(run, asked, max_new_tokens)
    findings += _accuracy(name, run, asked, ours=problems is None)
    findings += _template(made)
    report = made.load_report
    loaded = repr(made) if report is None else f"{report}\n{made!r}"
    if report is None or "nothing" in (report.verified or ""):
        findings.append(Finding("not known", "whether the format was read as its authors do"))
    elif report.verified:
        findings.append(
            Finding("not known", f"more than that its format agrees with {report.verified}")
        )
    shown = [problem.question for problem in asked[:3]]
    return CheckReport(loaded, tuple(findings), tuple(zip(shown, run.answers[:3], strict=True)))


def _default_problems(name: str, model: ContinuousThoughtModel) -> list[Problem]:
    if name in bundled_models():
        return list(load_problems("toy", n=40))
    report = model.load_report
    symbols = report is not None and report.family == "coconut-theory"
    return [
        Problem(f"check {i}", question, answer)
        for i, (question, answer) in enumerate((_GRAPHS if symbols else _QUESTIONS).items())
    ]


def _self_checks(model: ContinuousThoughtModel) -> list[Finding]:
    """Run the model's checks of itself; they end at the first that fails."""
    try:
        return [Finding("passed", name) for name in validate(model)]
    except ValueError as error:
        why = str(error)
    failed = next((i for i, name in enumerate(CHECKS) if repr(name) in why), 0)
    return [
        *(Finding("passed", name) for name in CHECKS[:failed]),
        Finding("failed", f"{CHECKS[failed]} ({why})"),
        *(Finding("not run", name) for name in CHECKS[failed + 1 :]),
    ]


def _alone(model: ContinuousThoughtModel, run: Run) -> Finding:
    by_length = sorted(range(len(run.problems)), key=lambda i: len(run.question_tokens[i]))
    together = [run.problems[i] for i in {by_length[0], by_length[-1]}]
    batch = model.think(together).first_logits
    alone = torch.cat([model.think([problem]).first_logits for problem in together])
    off = float((batch - alone).abs().max() / alone.abs().max().clamp(min=1e-9))
    fine = off <= (1e-4 if model.dtype in (torch.float32, torch.float64) else 5e-2)
    return Finding("passed", _ALONE) if fine else Finding("failed", f"{_ALONE} (off by {off:.2g})")


def _answers(run: Run, asked: Sequence[Problem], max_new_tokens: int) -> list[Finding]:
    found = []
    n_empty = sum(not answer.strip() for answer in run.answers)
    if n_empty:
        found.append(f"{n_empty} of {len(asked)} answers are empty")
    if len(asked) > 2 and len(set(run.answers)) == 1 and len({p.answer for p in asked}) > 1:
        found.append(f"every answer is the same: {run.answers[0]!r}")
    n_cut = sum(len(tokens) >= max_new_tokens for tokens in run.answer_tokens)
    if n_cut and max_new_tokens > 1:
        found.append(
            f"{n_cut} of {len(asked)} answers did not end within {max_new_tokens} tokens: is EOS "
            "right?"
        )
    if run.thoughts.shape[1] > 1 and run.thoughts.isfinite().all():
        spread = (run.thoughts[:, 1:] - run.thoughts[:, :1]).abs().amax()
        if float(spread) == 0:
            found.append("all thoughts of a problem are the same vector, as of pause tokens")
    return [Finding("looks wrong", what) for what in found]


def _accuracy(name: str, run: Run, asked: Sequence[Problem], *, ours: bool) -> list[Finding]:
    right = sum(grade(a, p).correct for a, p in zip(run.answers, asked, strict=True))
    said = f"{right} of {len(asked)} answers are right"
    low, high = binomtest(right, len(asked)).proportion_ci(0.99, method="exact")
    info = known_checkpoints().get(name)
    if name in bundled_models():
        return [] if high >= 0.9 else [Finding("looks wrong", f"{said}; it is right in 95 of 100")]
    expected = None if info is None else (info.published or info.reproduced)
    if info is None or expected is None:
        wrong = [Finding("looks wrong", f"{said}")] if right == 0 else []
        return [*wrong, Finding("not known", f"what accuracy it should have ({said})")]
    claim = f"{100 * expected:.1f} of 100 are published for {info.measured_on}"
    found = []
    if not low <= expected <= high:
        found.append(Finding("looks wrong", f"{said}; {claim}, outside {low:.0%} to {high:.0%}"))
    elif ours:
        found.append(Finding("not known", f"whether it is as good as published: {said}; {claim}"))
    if info.published and info.reproduced and abs(info.published - info.reproduced) > 0.05:
        other = f"somebody else got {100 * info.reproduced:.1f}"
        found.append(
            Finding("looks wrong", f"the published accuracy is disputed: {claim}; {other}")
        )
    return found


def _template(model: ContinuousThoughtModel) -> list[Finding]:
    """Compare the tokens round a question with what the tokenizer knows of them."""
    template, tokenizer, found = model.template, model.tokenizer, []
    n_rows = int(model.bridge.original_model.get_input_embeddings().weight.shape[0])
    for name, ids in (("bot", template.bot), ("eot", template.eot), ("eos", (template.eos,))):
        if max(ids, default=0) >= n_rows:
            found.append(Finding("looks wrong", f"{name} is {ids}; there are {n_rows} embeddings"))
        elif any(not tokenizer.decode([token]) for token in ids):
            found.append(Finding("not known", f"what {name} {ids} is: the tokenizer names no such"))
    if tokenizer.eos_token_id not in (None, template.eos):
        what = f"answers end with token {template.eos}, the tokenizer's EOS is"
        found.append(Finding("looks wrong", f"{what} {tokenizer.eos_token_id}"))
    if getattr(tokenizer, "chat_template", None) and not template.question_prefix:
        what = "the tokenizer has a chat template, and the question is put into none"
        found.append(Finding("not known", f"whether it was trained with one: {what}"))
    return found
