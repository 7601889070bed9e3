"""Small trained models that need their thoughts, and the word problems that they solve."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
