"""Find out what the thoughts of continuous-thought language models do."""

from cot_attn import _former

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
