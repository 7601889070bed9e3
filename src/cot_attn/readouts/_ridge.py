"""Ridge probes of many labelings of the same states at once.

What a ridge predicts is linear in its labels: the states alone decide how. So the labels that are
true, those of a control task and hundreds of shuffled ones are one matrix, and a permutation test
refits everything, the choice of the penalty included, for the price of a few products.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cot_attn.readouts._examples import folds_of

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""In units of the width: a standardised state has about that squared length."""
N_INNER_FOLDS = 3

States = Float[np.ndarray, "problem d_model"]
Targets = Float[np.ndarray, "problem column labeling"]


@dataclass(frozen=True)
class Fit:
    """How training labels become predictions: (held_out, trained) for each penalty."""

    smoothers: Float[np.ndarray, "penalty held_out trained"]

    @classmethod
    def of(cls, trained: States, held_out: Float[np.ndarray, "other d_model"]) -> "Fit":
        """Standardise by what is trained on, and solve for every penalty."""
        centre, spread = trained.mean(axis=0), trained.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        x, other = (trained - centre) / spread, (held_out - centre) / spread
        n, width = x.shape
        penalties = width * np.array(PENALTIES)[:, None]
        # From the smaller of the two products; both give the same predictions.
        if n <= width:
            values, vectors = np.linalg.eigh(x @ x.T)
            onto, back = other @ x.T @ vectors, vectors.T
        else:
            values, vectors = np.linalg.eigh(x.T @ x)
            onto, back = other @ vectors, vectors.T @ x.T
        shrunk = 1 / (values.clip(min=0) + penalties)
        return cls(np.stack([(onto * each) @ back for each in shrunk]).astype(np.float32))


@dataclass(frozen=True)
class Fold:
    """One fold: what is held out, the fit to the rest, and the fits within the rest."""

    trained: Int[np.ndarray, " trained"]
    held_out: Int[np.ndarray, " held_out"]
    fit: Fit
    inner: list[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"], Fit]]


class Probe:
    """Ridges on the states of one layer and place, cross-validated by groups.

    Parameters
    ----------
    states
        One row a problem.
    folds
        The fold in which each problem is held out.
    groups
        What stays together when the penalty is chosen, within the training folds.
    seed
        Of those inner folds.
    elsewhere
        States of the same problems on which it is tested; by default the same.
    """

    def __init__(
        self,
        states: States,
        folds: Int[np.ndarray, " problem"],
        groups: Int[np.ndarray, " problem"],
        seed: int,
        elsewhere: States | None = None,
    ) -> None:
        self.n_problems = len(states)
        elsewhere = states if elsewhere is None else elsewhere
        self._folds = []
        for fold in np.unique(folds):
            trained, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            n_inner = min(N_INNER_FOLDS, len(np.unique(groups[trained])))
            inner = folds_of(groups[trained], n_inner, seed)
            parts = []
            for inner_fold in range(n_inner):
                fitted, tested = trained[inner != inner_fold], trained[inner == inner_fold]
                parts.append((fitted, tested, Fit.of(states[fitted], states[tested])))
            fit = Fit.of(states[trained], elsewhere[held_out])
            self._folds.append(Fold(trained, held_out, fit, parts))

    def predict(self, targets: Targets) -> Targets:
        """Predict every problem from the folds that it is not in.

        The penalty is the one with the least squared error within the training folds, for each
        labeling by itself.
        """
        n_problems, n_columns, n_labelings = targets.shape
        flat = targets.astype(np.float32).reshape(n_problems, -1)
        predicted = np.empty(targets.shape, dtype=np.float32)
        for fold in self._folds:
            errors = np.zeros((len(PENALTIES), n_labelings))
            for trained, held_out, fit in fold.inner:
                mean = flat[trained].mean(axis=0)
                centred, wanted = flat[trained] - mean, flat[held_out] - mean
                for penalty, smoother in enumerate(fit.smoothers):
                    missed = (smoother @ centred - wanted).reshape(-1, n_labelings)
                    errors[penalty] += np.einsum("ij,ij->j", missed, missed) / len(held_out)
            best = errors.argmin(axis=0)
            mean = targets[fold.trained].mean(axis=0)
            centred = (targets[fold.trained] - mean).astype(np.float32)
            for penalty in np.unique(best):
                chosen = np.flatnonzero(best == penalty)
                labels = centred[:, :, chosen].reshape(len(centred), -1)
                found = (fold.fit.smoothers[penalty] @ labels).reshape(-1, n_columns, len(chosen))
                predicted[np.ix_(fold.held_out, np.arange(n_columns), chosen)] = (
                    found + mean[:, chosen]
                )
        return predicted
