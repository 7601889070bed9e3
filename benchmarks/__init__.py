"""How fast and how small: `python -m benchmarks` prints a table and writes JSON."""
