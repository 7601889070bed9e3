from .attention import AttentionRecorder as AttentionRecorder
from .positions import PositionRecorder as PositionRecorder
from .states import StateRecorder as StateRecorder

__all__ = ["AttentionRecorder", "PositionRecorder", "StateRecorder"]
