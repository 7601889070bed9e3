from .feedback import Feedback as Feedback
from .feedback import Identity as Identity
from .feedback import Projection as Projection
from .template import Template as Template

__all__ = ["Feedback", "Identity", "Projection", "Template"]
