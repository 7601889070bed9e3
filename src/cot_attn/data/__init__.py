"""Problems, where they come from, and how an answer is graded."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
