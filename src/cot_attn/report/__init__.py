"""A study, or several side by side, as one HTML page that can be sent."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
