"""The models that ship with the package; they are found without PyTorch."""

from importlib.resources import files
from pathlib import Path

SETTINGS = "cot_attn.json"
"""The file that makes a folder a model in the library's own format."""


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that ship with the package, by name.

    Examples
    --------
    >>> list(bundled_models())
    ['toy-gpt2', 'toy-llama']
    """
    folder = Path(str(files("cot_attn.toy") / "bundled"))
    return {each.parent.name: each.parent for each in sorted(folder.glob(f"*/{SETTINGS}"))}
