"""A study, or several side by side, as one HTML page that can be sent."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
