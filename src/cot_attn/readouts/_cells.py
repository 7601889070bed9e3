"""One layer and place: the problems that have a label and a state there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from cot_attn.readouts._examples import Examples
from cot_attn.readouts._ridge import Probe, States
from cot_attn.readouts.grouping import numbered
from cot_attn.stats._inference.clustered import left_out_interval, r2, r2_left_out, rate_interval

Labelings = Shaped[np.ndarray, "problem labeling"]


@dataclass(frozen=True)
class Cell:
    """The problems that have a label and a state at one layer and place.

    Attributes
    ----------
    kept
        Which of all problems these are.
    states, labels, groups, folds, questions
        Theirs.
    is_class
        Whether labels are numbers of classes, not values.
    """

    kept: Bool[np.ndarray, " all"]
    states: Float[np.ndarray, "problem d_model"]
    labels: Shaped[np.ndarray, " problem"]
    groups: Int[np.ndarray, " problem"]
    folds: Int[np.ndarray, " problem"]
    questions: list[str]
    is_class: bool

    @classmethod
    def of(
        cls,
        samples: Examples,
        states: Float[np.ndarray, "all d_model"],
        place: int,
        among: Bool[np.ndarray, " all"] | None = None,
    ) -> "Cell":
        """Return states with the labels of a place, of all problems or of those `among` chooses."""
        kept = samples.labelled[:, place] & np.isfinite(states).all(axis=1)
        kept = kept if among is None else kept & among
        return cls(
            kept,
            states[kept].astype(np.float64),
            samples.labels[kept, place],
            numbered(samples.groups[kept]),
            samples.folds[kept],
            [q for q, keep in zip(samples.questions, kept, strict=True) if keep],
            samples.classes is not None,
        )

    def probe(self, seed: int, elsewhere: States | None = None) -> Probe:
        """Return the probe of these states, tested on them or on others of the same problems."""
        return Probe(self.states, self.folds, self.groups, seed, elsewhere)

    def predict(self, probe: Probe, labelings: Labelings) -> Labelings:
        """Predict labels, each labeling from its own."""
        if not self.is_class:
            return probe.predict(labelings[:, None])[:, 0].astype(np.float64)
        classes = np.unique(self.labels)
        indicators = labelings[:, None] == classes[:, None]
        likeliest = probe.predict(indicators.astype(np.float32)).argmax(axis=1)
        return np.asarray(classes[likeliest])

    def score(self, labels: Shaped[np.ndarray, " problem"], predicted: np.ndarray) -> float:
        """Return accuracy, or R²."""
        return float((labels == predicted).mean()) if self.is_class else r2(labels, predicted)

    def interval(
        self, labels: Shaped[np.ndarray, " problem"], predicted: np.ndarray, confidence: float
    ) -> tuple[float, float]:
        """Return the interval of the score, over groups."""
        if self.is_class:
            return rate_interval((labels == predicted).astype(float), self.groups, confidence)
        left_out = r2_left_out(labels, predicted, self.groups)
        low, high = left_out_interval(self.score(labels, predicted), left_out, confidence)
        return low, min(high, 1.0)

    def chance(self, labels: Shaped[np.ndarray, " problem"]) -> float:
        """Return how common the most common class is, or 0, what a constant explains of values."""
        counts = np.unique(labels, return_counts=True)[1]
        return float(counts.max() / len(labels)) if self.is_class else 0.0
