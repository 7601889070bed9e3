from .continuous import ContinuousThoughtModel as ContinuousThoughtModel
from .decoding import greedy as greedy
from .feedback import Feedback as Feedback
from .feedback import Identity as Identity
from .feedback import Projection as Projection
from .loading import bundled_models as bundled_models
from .loading import load as load
from .pretrained import save as save
from .questions import Question as Question
from .registry import CheckpointInfo as CheckpointInfo
from .registry import known_checkpoints as known_checkpoints
from .registry import register_checkpoint as register_checkpoint
from .report import LoadReport as LoadReport
from .rollout import Rollout as Rollout
from .run import Run as Run
from .stages import Answer as Answer
from .stages import Close as Close
from .stages import Layout as Layout
from .stages import Prompt as Prompt
from .stages import Role as Role
from .stages import Stage as Stage
from .stages import Thought as Thought
from .template import Template as Template
from .validation import validate as validate

__all__ = [
    "Answer",
    "CheckpointInfo",
    "Close",
    "ContinuousThoughtModel",
    "Feedback",
    "Identity",
    "Layout",
    "LoadReport",
    "Projection",
    "Prompt",
    "Question",
    "Role",
    "Rollout",
    "Run",
    "Stage",
    "Template",
    "Thought",
    "bundled_models",
    "greedy",
    "known_checkpoints",
    "load",
    "register_checkpoint",
    "save",
    "validate",
]
