"""A study in a notebook: what to mind, and two numbers a thought."""

from typing import TYPE_CHECKING

from cot_attn import _html
from cot_attn.plots._units import short

if TYPE_CHECKING:
    from cot_attn.study.results import Study

EXPLAINED = (
    "Percent. Importance: how often the answer breaks when the thought is corrupted, mean over "
    "corruptions, with its 95 % interval. Share: of the attention on thoughts."
)


def shown_small(study: "Study") -> str:
    """Return a small table of importance and share, below what the checks found."""
    n = study.effects.sizes["corruption"]
    made = f"{n} {'corruption' if n == 1 else 'corruptions'}; query: {study.query}"
    lines = [
        f"{study.n_correct} of {len(study.problems)} problems answered right; {made}",
        *_checks(study),
        EXPLAINED,
        "All that was found: study.show() here, study.report(folder) as a page.",
    ]
    shares = study.shares.mean("problem")
    layers = study.shown_layers
    rows = []
    for thought in study.importance["thought"].values:
        here = study.importance.sel(thought=thought)
        at_layers = [short(100 * float(shares.sel(thought=thought, layer=at))) for at in layers]
        ends = " to ".join(short(100 * float(here[end])) for end in ("low", "high"))
        rows.append((thought, short(100 * float(here["estimate"])), ends, *at_layers))
    columns = ["thought", "importance", "95 %", *(f"share, layer {at}" for at in layers)]
    return str(_html.summary(study.name, lines) + _html.table(columns, rows, align="right"))


def _checks(study: "Study") -> list[str]:
    """Say what did not pass, the gravest first."""
    notable = [check for check in study.checks if check.status != "pass"]
    passed = f"{len(study.checks) - len(notable)} of {len(study.checks)} checks passed"
    return [passed, *(f"{check.status}: {check.message}" for check in notable)]
