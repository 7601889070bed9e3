"""One function a figure: each takes a result and gives back the axes it has drawn on."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
