from . import checkpoints as checkpoints
from . import data as data
from . import experiments as experiments
from . import interventions as interventions
from . import models as models
from . import plots as plots
from . import readouts as readouts
from . import recording as recording
from . import stats as stats
from . import toy as toy
from .check import check_model as check_model
from .checkpoints import bundled_models as bundled_models
from .data import Problem as Problem
from .data import grade as grade
from .data import load_problems as load_problems
from .data import save_problems as save_problems
from .interventions import CCTA as CCTA
from .interventions import Intervention as Intervention
from .interventions import TokenAblator as TokenAblator
from .interventions import noise_floor as noise_floor
from .interventions import run_variants as run_variants
from .models import Answer as Answer
from .models import Close as Close
from .models import ContinuousThoughtModel as ContinuousThoughtModel
from .models import Prompt as Prompt
from .models import Run as Run
from .models import Template as Template
from .models import Thought as Thought
from .recording import AttentionRecorder as AttentionRecorder
from .recording import PositionRecorder as PositionRecorder
from .recording import StateRecorder as StateRecorder
from .study import Study as Study
from .study import compare as compare
from .study import run_study as run_study

__all__ = [
    "CCTA",
    "Answer",
    "AttentionRecorder",
    "Close",
    "ContinuousThoughtModel",
    "Intervention",
    "PositionRecorder",
    "Problem",
    "Prompt",
    "Run",
    "StateRecorder",
    "Study",
    "Template",
    "Thought",
    "TokenAblator",
    "bundled_models",
    "check_model",
    "checkpoints",
    "compare",
    "data",
    "experiments",
    "grade",
    "interventions",
    "load_problems",
    "models",
    "noise_floor",
    "plots",
    "readouts",
    "recording",
    "run_study",
    "run_variants",
    "save_problems",
    "stats",
    "toy",
]
