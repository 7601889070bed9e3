from .models import Answer as Answer
from .models import Close as Close
from .models import ContinuousThoughtModel as ContinuousThoughtModel
from .models import Prompt as Prompt
from .models import Template as Template
from .models import Thought as Thought

__all__ = ["Answer", "Close", "ContinuousThoughtModel", "Prompt", "Template", "Thought"]
