"""What holds for GPT-2 and Llama holds for other kinds of attention, or is refused."""

import numpy as np
import pytest
import torch

from conftest import wrap
from cot_attn.interventions import (
    Attention,
    GaussianNoise,
    Hook,
    Intervention,
    KeysValues,
    KnockOut,
    Resample,
    run_variants,
)
from cot_attn.interventions.sites import Site
from cot_attn.models import Identity, _cache, validate
from cot_attn.recording import PositionRecorder
from families import FAMILIES, WITHOUT_CACHE
from plain_loop import N_THOUGHTS, ROUNDING, Twins, divergence

pytestmark = pytest.mark.usefixtures("no_noise_floor")

SITES: list[Site | str] = [
    "input",
    "kv",
    KeysValues(layers=[0], heads=[0]),
    "blocks.0.hook_out",
    Hook("blocks.0.attn.hook_z", heads=[1, 2]),
    "blocks.1.attn.hook_z",  # the last layer's: nothing follows where later inputs are frozen
]
KNOCK_OUTS = [Attention(), Attention(layers=[1]), Attention(queries=["eot"])]
OF_HEADS = [Attention(layers=[0], heads=[2]), Attention(layers=[1], heads=[0, 3])]
ONE_MASK_FOR_ALL_HEADS = "xglm"


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, questions: list[str]) -> Twins:
    return Twins(request.param, questions[:2], n_new=1)


def changes_of(pair: Twins) -> list[Intervention]:
    alike = pair.loop.model.config.model_type == ONE_MASK_FOR_ALL_HEADS
    return [
        *(Intervention(1, GaussianNoise(1.0), site) for site in SITES),
        *(Intervention(0, Resample(), site, "frozen") for site in SITES[:-1]),
        *(Intervention(1, KnockOut(), site) for site in KNOCK_OUTS),
        *(Intervention((0, 2), KnockOut(), site) for site in ([] if alike else OF_HEADS)),
    ]


@pytest.mark.slow
def test_a_change_does_what_it_does_in_a_plain_loop(
    pair: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests copy prompts: this one sees what each kind of attention does with shared ones.
    monkeypatch.setattr(_cache, "WORTH_SHARING", 0)
    changes = changes_of(pair)
    outcomes = ["kl_first", "thought_change"]
    result = run_variants(
        pair.model, pair.problems, changes, outcomes, max_new_tokens=1, only_correct=False
    )
    for change in changes:
        later = sorted({*range(change.thoughts[0] + 1, N_THOUGHTS)} - {*change.thoughts})
        much = []
        for row, problem in enumerate(pair.problems):
            plain, unchanged = pair.changed(row, change), pair.plain[row]
            found = result.sel(problem=problem.id, variant=change.label)
            much.append(divergence(unchanged.logits[0], plain.logits[0]))
            np.testing.assert_allclose(found["kl_first"], much[-1], rtol=0.02, atol=ROUNDING)
            cosine = torch.cosine_similarity(unchanged.thoughts, plain.thoughts, dim=-1)
            moved = (1 - cosine)[later]
            np.testing.assert_allclose(found["thought_change"][later], moved, atol=1e-4)
        assert max(much) > 5 * ROUNDING, f"{change.label} changes nothing"


@pytest.mark.slow
def test_attention_that_is_recorded_is_what_hugging_face_computed(pair: Twins) -> None:
    with PositionRecorder(pair.model, [problem.id for problem in pair.problems]) as recorder:
        pair.model.run(pair.problems, max_new_tokens=1)
    for problem, tokens in zip(pair.problems, pair.tokens, strict=True):
        recorded = recorder.dataset(problem.id).attention.values
        plain = pair.loop.run(tokens, words=[0]).patterns
        n_queries, n_keys = recorded.shape[2:]
        np.testing.assert_allclose(recorded, plain[:, :, -n_queries:, :n_keys], atol=1e-4)


@pytest.mark.slow
def test_a_knock_out_of_single_heads_is_refused_where_one_mask_serves_all() -> None:
    model = Twins(ONE_MASK_FOR_ALL_HEADS, ["w1 w2"]).model
    works = r"Sites that work: 'input', .*'blocks\.1\.hook_out'"
    with pytest.raises(ValueError, match=rf"layer 1, head 2 of .* {works}"):
        Attention(layers=[1], heads=[2]).check(model)
    Attention(layers=[1]).check(model)


@pytest.mark.slow
def test_a_model_that_sees_nothing_of_what_came_before_is_refused() -> None:
    with pytest.raises(ValueError, match="does not see 7 columns before it"):
        validate(wrap(WITHOUT_CACHE(), Identity()))
