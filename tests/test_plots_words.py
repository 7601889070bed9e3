"""Tokens of a real vocabulary: spaces, and characters that are not to be seen."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cot_attn import plots
from cot_attn.plots._text import text_width
from simulated_readouts import words
from simulated_results import positions

# As GPT-2 and Llama have them: a space of no width, a soft hyphen, a change of direction.
UNSEEN = {"\u200b": r"\u200b", "\xad": r"\xad", "a\u202eb": r"a\u202eb", " ": "␣"}


@pytest.mark.parametrize(("token", "shown"), UNSEEN.items())
def test_a_token_that_is_not_to_be_seen_is_shown_as_its_escape(token, shown):
    read = words()
    read["token"] = read["token"].copy(data=np.full(read["token"].shape, token, dtype=object))
    ax = plots.top_words(read)
    assert {text.get_text() for text in ax.texts if text.get_text()} >= {shown}
    plt.close(ax.figure)


@pytest.mark.parametrize(("token", "shown"), UNSEEN.items())
def test_so_is_a_word_of_a_question(token, shown):
    asked = positions().sel(layer=1)
    texts = asked["key_text"].values.astype(object)
    texts[asked["key_role"].values == "question"] = token
    asked = asked.assign_coords(key_text=("key", texts))
    ax = plots.one_problem(asked)
    assert shown in [text.get_text() for text in ax.texts]
    plt.close(ax.figure)


@pytest.mark.parametrize("text", ["thought 4", "Wij", "gpt2/layer_3", "12 %", "“quoted” …", "À"])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_a_text_is_as_wide_as_matplotlib_draws_it(text, weight):
    fig = plt.figure(dpi=720)
    size = 20.0
    drawn = fig.text(0, 0, text, size=size, weight=weight, family="DejaVu Sans")
    width = drawn.get_window_extent(fig.canvas.get_renderer()).width / 10
    plt.close(fig)
    assert text_width(text, size, weight) == pytest.approx(width, abs=0.15 * size)


@pytest.mark.parametrize("text", UNSEEN)
def test_what_has_no_outline_takes_no_room_and_breaks_nothing(text):
    assert text_width(text, 10.0) < 20
