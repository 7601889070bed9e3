"""How wide a text is, and where to break it: known before anything is drawn."""

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """Give the width of a text in points, in the style's font.

    Examples
    --------
    >>> text_width("thought", 12.0) == 2 * text_width("thought", 6.0)
    True
    """
    if not text.strip():
        return 0.3 * size * len(text)
    # Measured large: glyphs are hinted to whole pixels at small sizes.
    path = TextPath((0, 0), text, size=100, prop=FontProperties(family="DejaVu Sans"))
    return float(path.get_extents().x1) * size / 100


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Break a text into lines of at most that width in points; a longer word stands alone.

    Examples
    --------
    >>> wrapped("where the answer looked", size=7.0, width=60.0)
    ['where the', 'answer looked']
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
