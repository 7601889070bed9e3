from .ablator import TokenAblator as TokenAblator
from .applying import apply_interventions as apply_interventions
from .collecting import collect as collect
from .context import CleanActivations as CleanActivations
from .context import Context as Context
from .corruption import CCTA as CCTA
from .corruption import Corruption as Corruption
from .corruption import GaussianNoise as GaussianNoise
from .corruption import KnockOut as KnockOut
from .corruption import Mean as Mean
from .corruption import Replace as Replace
from .corruption import Resample as Resample
from .corruption import Scale as Scale
from .corruption import Shuffle as Shuffle
from .corruption import ShuffleAll as ShuffleAll
from .corruption import Swap as Swap
from .corruption import Unchanged as Unchanged
from .corruption import Zero as Zero
from .intervention import Downstream as Downstream
from .intervention import Intervention as Intervention
from .noise_floor import noise_floor as noise_floor
from .outcomes import OUTCOMES as OUTCOMES
from .outcomes import Outcome as Outcome
from .sites import Attention as Attention
from .sites import Hook as Hook
from .sites import KeysValues as KeysValues
from .sites import Site as Site
from .variants import run_variants as run_variants

Place = Context
Reference = CleanActivations
treated = apply_interventions

__all__ = [
    "CCTA",
    "OUTCOMES",
    "Attention",
    "CleanActivations",
    "Context",
    "Corruption",
    "Downstream",
    "GaussianNoise",
    "Hook",
    "Intervention",
    "KeysValues",
    "KnockOut",
    "Mean",
    "Outcome",
    "Replace",
    "Resample",
    "Scale",
    "Shuffle",
    "ShuffleAll",
    "Site",
    "Swap",
    "TokenAblator",
    "Unchanged",
    "Zero",
    "apply_interventions",
    "collect",
    "noise_floor",
    "run_variants",
]
