"""One function a figure: each takes a result and gives back the axes it has drawn on."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
