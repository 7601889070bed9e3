"""Experiments whose question has no answer where problems think different numbers of thoughts."""

from cot_attn.models import ContinuousThoughtModel


def require_one_number(model: ContinuousThoughtModel, experiment: str) -> None:
    """Raise where a stop rule lets the number of thoughts differ between problems.

    Raises
    ------
    ValueError
        With what can be done.
    """
    if model.stop is not None:
        raise ValueError(
            f"{experiment} compares thoughts of different problems or runs by their number, and "
            f"{model.name} stops by {model.stop!r}, so that not all have them. Set model.stop to "
            f"None: then every problem thinks {model.n_thoughts} thoughts. With the rule there are "
            "recorders, readouts, run_variants and TokenAblator."
        )
