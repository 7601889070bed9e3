"""Intervals, tests and resamples, problems along the first axis."""
