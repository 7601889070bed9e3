"""Colours can be told apart: by everybody, and in grey."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cot_attn.plots import thought_colour
from cot_attn.plots.colours import ATTENTION, DIRECT, IMPORTANCE, SERIES, thought_marker

# Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color
# vision deficiency", severity 1.0, on linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
    "none": np.eye(3),
}  # fmt: skip


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(colour, blindness="none"):
    """CIE L*a*b*, under D65, of a colour as somebody sees it."""
    seen = np.clip(np.array(BLINDNESS[blindness]) @ linear(colour), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_thoughts_get_lighter_by_even_steps():
    steps = np.diff([lab(thought_colour(thought))[0] for thought in range(6)])
    assert steps.min() > 10
    assert steps.max() < 20


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_that_meet_in_a_figure_are_told_apart_with_any_colour_vision(blindness):
    thoughts = [thought_colour(thought) for thought in range(6)]
    for group in (thoughts, [IMPORTANCE, ATTENTION], [IMPORTANCE, DIRECT]):
        seen = [lab(colour, blindness) for colour in group]
        apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(apart) > 12


def test_paired_bars_are_told_apart_in_grey():
    for other in (ATTENTION, DIRECT):
        assert lab(other)[0] - lab(IMPORTANCE)[0] > 25


def test_lines_are_told_apart_without_any_colour():
    assert len({(look.linestyle, look.marker) for look in SERIES}) == len(SERIES)


def test_a_thought_has_the_same_colour_however_many_there_are():
    assert thought_colour(6) == thought_colour(0)
    assert len({(thought_colour(i), thought_marker(i)) for i in range(6)}) == 6
