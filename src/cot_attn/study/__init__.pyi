from .comparison import compare as compare
from .results import Study as Study
from .running import run_study as run_study

__all__ = ["Study", "compare", "run_study"]
