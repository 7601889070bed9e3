"""Many studies: a manifest, shards that are done once, and the engines that do them."""

from cot_attn import _former

__getattr__, __dir__, __all__ = _former.attach_stub(__name__, __file__)
