from .answers import ANSWERS as ANSWERS
from .answers import AnswerRules as AnswerRules
from .answers import AnswerType as AnswerType
from .dataset import DataSet as DataSet
from .dataset import Hub as Hub
from .grading import Grade as Grade
from .grading import grade as grade
from .grading import value_token as value_token
from .loading import DATASETS as DATASETS
from .loading import load_problems as load_problems
from .problem import Problem as Problem
from .problem import check_problems as check_problems
from .sampling import balanced_sample as balanced_sample
from .saving import save_problems as save_problems

__all__ = [
    "ANSWERS",
    "DATASETS",
    "AnswerRules",
    "AnswerType",
    "DataSet",
    "Grade",
    "Hub",
    "Problem",
    "balanced_sample",
    "check_problems",
    "grade",
    "load_problems",
    "save_problems",
    "value_token",
]
