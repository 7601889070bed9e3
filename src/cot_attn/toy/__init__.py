"""Small trained models that need their thoughts, and the word problems that they solve."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
