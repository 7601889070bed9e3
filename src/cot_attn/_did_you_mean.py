"""The hint that ends an error about a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 3


def did_you_mean(unknown: str, accepted: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a sentence with the accepted names that look like the unknown one, or no text.

    Upper and lower case are the same.

    Parameters
    ----------
    unknown
        What was given.
    accepted
        What could have been meant.
    cutoff
        How alike two names must be, from 0 to 1 (the same); see `difflib.get_close_matches`.

    Returns
    -------
    str
        It begins with a space, to stand behind the sentence that says what is wrong.

    Examples
    --------
    >>> did_you_mean("gms8k", ["toy", "gsm8k"])
    " Did you mean 'gsm8k'?"
    >>> did_you_mean("imagenet", ["toy", "gsm8k"])
    ''
    """
    spelled = {name.lower(): name for name in accepted}
    near = get_close_matches(unknown.lower(), spelled, n=MOST, cutoff=cutoff)
    return f" Did you mean {' or '.join(repr(spelled[name]) for name in near)}?" if near else ""
