from .expected import expected_answer as expected_answer
from .graphs import graph_problems as graph_problems
from .handmade import handmade_model as handmade_model
from .handmade import handmade_problems as handmade_problems
from .problems import Operation as Operation
from .problems import Skeleton as Skeleton
from .problems import toy_problems as toy_problems
from .tokenizer import toy_template as toy_template
from .tokenizer import toy_tokenizer as toy_tokenizer
from .training import Recipe as Recipe
from .training import train as train

__all__ = [
    "Operation",
    "Recipe",
    "Skeleton",
    "expected_answer",
    "graph_problems",
    "handmade_model",
    "handmade_problems",
    "toy_problems",
    "toy_template",
    "toy_tokenizer",
    "train",
]
