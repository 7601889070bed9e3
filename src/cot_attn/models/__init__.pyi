import cot_attn.checkpoints

from .continuous import ContinuousThoughtModel as ContinuousThoughtModel
from .decoding import greedy as greedy
from .feedback import Feedback as Feedback
from .feedback import Identity as Identity
from .feedback import Moment as Moment
from .feedback import Projection as Projection
from .hooks import HookedModel as HookedModel
from .jacobi import Jacobi as Jacobi
from .latent_head import LatentHead as LatentHead
from .layout import Layout as Layout
from .layout import Role as Role
from .loops import Constant as Constant
from .loops import Linear as Linear
from .loops import LinearRms as LinearRms
from .loops import Noisy as Noisy
from .loops import Rescaled as Rescaled
from .questions import Question as Question
from .reembedding import SoftmaxReembedding as SoftmaxReembedding
from .rollout import Rollout as Rollout
from .run import Run as Run
from .soft_thinking import MixtureOfInputs as MixtureOfInputs
from .soft_thinking import ReadingFeedback as ReadingFeedback
from .soft_thinking import Sampled as Sampled
from .soft_thinking import SoftThinking as SoftThinking
from .stages import Answer as Answer
from .stages import Close as Close
from .stages import Prompt as Prompt
from .stages import Stage as Stage
from .stages import Thought as Thought
from .stopping import BinaryHead as BinaryHead
from .stopping import EntropyBelow as EntropyBelow
from .stopping import SampledSeparator as SampledSeparator
from .stopping import Separator as Separator
from .stopping import StopRule as StopRule
from .template import Template as Template
from .validation import validate as validate

CheckpointInfo = cot_attn.checkpoints.CheckpointInfo
LoadReport = cot_attn.checkpoints.LoadReport
bundled_models = cot_attn.checkpoints.bundled_models
known_checkpoints = cot_attn.checkpoints.known_checkpoints
load = ContinuousThoughtModel.from_pretrained
register_checkpoint = cot_attn.checkpoints.register_checkpoint
save = ContinuousThoughtModel.save_pretrained

__all__ = [
    "Answer",
    "BinaryHead",
    "Close",
    "Constant",
    "ContinuousThoughtModel",
    "EntropyBelow",
    "Feedback",
    "HookedModel",
    "Identity",
    "Jacobi",
    "LatentHead",
    "Layout",
    "Linear",
    "LinearRms",
    "MixtureOfInputs",
    "Moment",
    "Noisy",
    "Projection",
    "Prompt",
    "Question",
    "ReadingFeedback",
    "Rescaled",
    "Role",
    "Rollout",
    "Run",
    "Sampled",
    "SampledSeparator",
    "Separator",
    "SoftThinking",
    "SoftmaxReembedding",
    "Stage",
    "StopRule",
    "Template",
    "Thought",
    "greedy",
    "validate",
]
