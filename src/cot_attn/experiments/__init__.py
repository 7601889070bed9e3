"""Questions put to a model with interventions: one file, one question, one labelled result."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
