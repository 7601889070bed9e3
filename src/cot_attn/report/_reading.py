"""What a check that did not pass means for this study, beside what it found."""

from scipy.stats import spearmanr

from cot_attn.stats import Check
from cot_attn.study.results import Study


def meaning(check: Check, study: Study) -> str:
    """Say what a finding means here; nothing where the check has said it all.

    Parameters
    ----------
    check
        One of `study.checks`.
    """
    if check.status == "pass":
        return ""
    if "question length" in check.name:
        return _length(study)
    if "same order" in check.name:
        return (
            "Here: the mean over corruptions, which the tables and figures show first, is no "
            "property of the thoughts alone. The figure by corruption shows each."
        )
    return ""


def _length(study: Study) -> str:
    told = (
        "Here: correlations within problems are not touched, since a problem's own level is taken "
        "out; those across problems and pooled ones are."
    )
    if not study.knows_difficulty:
        return told
    graded = study.effects["difficulty"].notnull().values
    steps = study.effects["difficulty"].values[graded]
    length = study.effects["question_length"].values[graded]
    if len(set(steps)) < 2 or len(set(length)) < 2:
        return told
    together = spearmanr(steps, length).statistic
    return (
        f"{told} Length goes with the number of steps (rank correlation {together:.2f}), so that "
        "the two cannot be told apart by this."
        if together > 0.5
        else told
    )
