"""All thoughts at once, in several passes, each made from the thoughts of the pass before."""

from numbers import Integral
from typing import Any

from torch import Tensor

from cot_attn.models.feedback import Feedback, Hidden, Moment


class Jacobi(Feedback):
    """Makes all thoughts at once, and again from what they became, several times.

    Parallel Continuous Chain-of-Thought (PCCoT; Wu et al. 2025, arXiv:2506.18582) solves what a
    loop demands of all thoughts together by Jacobi iteration. In pass 0 a placeholder token stands
    at every thought's place. In each later pass thought i is made from the hidden state in front of
    it, BOT's or that of thought i - 1, as the pass before had it; thought 0 stays what it is. After
    as many passes as there are thoughts nothing moves any more: what is fed is what `loop` alone
    would feed.

    A run is the last pass: its stages, its attention, and whatever is changed in it. Earlier passes
    are stages of their own, `Thought(i, iteration=t)`. Attention goes backwards only, so each pass
    is run thought by thought and gives the numbers that it would give at once.

    Parameters
    ----------
    loop
        What makes a thought from a hidden state.
    n_iterations
        How many passes follow pass 0, 1 or more.
    placeholder
        The id of the token that stands at the thoughts' places in pass 0.

    Examples
    --------
    >>> import cot_attn
    >>> toy = cot_attn.ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = cot_attn.load_problems("toy", n=20)
    >>> for n_iterations in (1, 6):
    ...     model = cot_attn.ContinuousThoughtModel(
    ...         toy.bridge, Jacobi(toy.feedback, n_iterations, placeholder=1), toy.template, 6,
    ...         tokenizer=toy.tokenizer,
    ...     )
    ...     print(sum(a.endswith(p.answer) for a, p in zip(model.generate(problems), problems)))
    4
    20
    """

    def __init__(self, loop: Feedback, n_iterations: int, placeholder: int) -> None:
        super().__init__()
        if isinstance(loop, Jacobi):
            raise TypeError("loop is a Jacobi loop itself; give what makes one thought.")
        counts: tuple[tuple[str, object, int], ...] = (
            ("n_iterations", n_iterations, 1),
            ("placeholder", placeholder, 0),
        )
        for name, value, least in counts:
            if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
                raise ValueError(f"{name} is {value!r}; give a whole number from {least} on.")
        self.loop, self.n_iterations, self.placeholder = loop, n_iterations, placeholder

    def transform(self, hidden: Hidden) -> Hidden:
        """Map hidden states to input embeddings, as the loop does."""
        return self.loop.transform(hidden)

    def make(self, hidden: Hidden, moment: Moment | None) -> Tensor:
        """Make thoughts from hidden states, as the loop does."""
        return self.loop.make(hidden, moment)

    def settings(self) -> dict[str, Any]:
        """Return the loop, the number of passes and the placeholder."""
        return {
            "loop": self.loop,
            "n_iterations": self.n_iterations,
            "placeholder": self.placeholder,
        }

    def extra_repr(self) -> str:
        """Show number of passes and placeholder."""
        return f"n_iterations={self.n_iterations}, placeholder={self.placeholder}"
