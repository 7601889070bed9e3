from .attention import AttentionRecorder as AttentionRecorder
from .positions import PositionRecorder as PositionRecorder

__all__ = ["AttentionRecorder", "PositionRecorder"]
