from .problem import AnswerType as AnswerType
from .problem import Problem as Problem

__all__ = ["AnswerType", "Problem"]
