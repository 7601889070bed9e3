from .bundled import bundled_models as bundled_models
from .language_models import load_language_model as load_language_model
from .loading import load as load
from .parts import ModelParts as ModelParts
from .pretrained import save as save
from .registry import CheckpointInfo as CheckpointInfo
from .registry import known_checkpoints as known_checkpoints
from .registry import register_checkpoint as register_checkpoint
from .report import LoadReport as LoadReport

__all__ = [
    "CheckpointInfo",
    "LoadReport",
    "ModelParts",
    "bundled_models",
    "known_checkpoints",
    "load",
    "load_language_model",
    "register_checkpoint",
    "save",
]
