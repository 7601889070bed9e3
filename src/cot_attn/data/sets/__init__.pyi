from .gsm8k import GSM8K as GSM8K
from .math500 import MATH500 as MATH500
from .own import OWN as OWN
from .prosqa import PROSQA as PROSQA
from .strategyqa import STRATEGYQA as STRATEGYQA

__all__ = ["GSM8K", "MATH500", "OWN", "PROSQA", "STRATEGYQA"]
