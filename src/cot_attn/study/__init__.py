"""The whole study in one call, and studies side by side."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
