"""What intervals and resamples may be asked for."""


def require_confidence(confidence: float) -> None:
    """Raise where a confidence is no fraction, such as 95 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence={confidence!r} is not between 0 and 1. Give a fraction: 0.95 for 95 %."
        )


def require_resamples(n_resamples: int) -> None:
    """Raise where resamples are so few that nothing could come of them."""
    if n_resamples < 19:
        raise ValueError(
            f"n_resamples={n_resamples} is too few for any p value below 0.1. Use 1000 or more."
        )
