"""A model runs with the weights that it was trained with, and its hash is that of those it has."""

import copy

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from checkpoint_files import COCONUT, CODI, SAID, Golden
from cot_attn import AttentionRecorder, Problem, TokenAblator, run_variants
from cot_attn.interventions import Intervention, Zero
from cot_attn.models import ContinuousThoughtModel, validate
from cot_attn.models._bridge import every_module
from cot_attn.models._weight_hash import checksum, stored_tensors

QUESTIONS = Golden(CODI).questions
FOLDED = "the final norm is folded into the unembedding"


def load(folder=CODI):
    return ContinuousThoughtModel.from_pretrained(folder, validate=False, **SAID[folder])


@pytest.fixture
def model():
    return load()


def again(folder):
    return ContinuousThoughtModel.from_pretrained(folder, validate=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "codi"
    load().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint_of_saved(saved):
    return again(saved).checkpoint


# Folded weights -------------------------------------------------------------------------------


def compatible(bridge):
    bridge.enable_compatibility_mode(disable_warnings=True)


def unprocessed_but_compatible(bridge):
    bridge.enable_compatibility_mode(disable_warnings=True, no_processing=True)


def process(bridge):
    bridge.process_weights()


def fold_alone(bridge):
    bridge.process_weights(center_writing_weights=False, center_unembed=False)


FOLDS = [compatible, unprocessed_but_compatible, process, fold_alone]


@pytest.mark.slow
@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("folder", [CODI, COCONUT], ids=["codi", "coconut"])
def test_a_bridge_whose_weights_were_folded_does_not_run(folder, fold, tmp_path):
    model = load(folder)
    fold(model.bridge)
    problems = [Problem("p", QUESTIONS[0], "w0", answer_type="text")]
    doors = {
        "run": lambda: model.run(QUESTIONS[:1], max_new_tokens=1),
        "generate": lambda: model.generate(QUESTIONS[:1], max_new_tokens=1),
        "think": lambda: model.think(QUESTIONS[:1]),
        "rollout": lambda: model.rollout(problems, [[1]], 2),
        "validate": lambda: validate(model),
        "variants": lambda: run_variants(model, problems, [Intervention(0, Zero())], ["answer"]),
        "ablator": lambda: TokenAblator(model, [Zero()]).run(problems),
        "provenance": model.provenance,
        "save": lambda: model.save_pretrained(tmp_path / "saved"),
    }
    for name, door in doors.items():
        with pytest.raises(ValueError, match=FOLDED):
            pytest.fail(f"{name} gave {door()}")
    assert not (tmp_path / "saved").exists()


@pytest.mark.slow
def test_a_recorder_refuses_a_bridge_whose_weights_were_folded_while_it_records(model):
    with AttentionRecorder(model) as recorder:
        model.run(QUESTIONS[:1], max_new_tokens=1)
        compatible(model.bridge)
        with pytest.raises(ValueError, match=FOLDED):
            model.run(QUESTIONS[1:2], max_new_tokens=1)
    with pytest.raises(ValueError, match=FOLDED):
        recorder.dataset()


@pytest.mark.slow
@pytest.mark.parametrize("fold", FOLDS)
def test_a_bridge_whose_weights_were_folded_cannot_be_wrapped(model, fold):
    fold(model.bridge)
    with pytest.raises(ValueError, match=r"Load the\s+model again"):
        ContinuousThoughtModel(model.bridge, model.feedback, model.template, 6)


# The hash of the weights ----------------------------------------------------------------------


def attention_weight(model):
    return model.bridge.original_model.transformer.h[1].attn.c_attn.weight


def in_place(model):
    with torch.no_grad():
        attention_weight(model)[3, 5] += 0.25


def data(model):
    """An edit that PyTorch's version counters do not see."""
    attention_weight(model).data[3, 5] += 0.25


def numpy(model):
    """Nor this one."""
    attention_weight(model).detach().numpy()[3, 5] += 0.25


def last_bit(model):
    attention_weight(model).data.view(torch.int32)[-1, -1] ^= 1


def swap_columns(model):
    weight = attention_weight(model).data
    weight[:, [0, 7]] = weight[:, [7, 0]]


def swap_rows(model):
    weight = attention_weight(model).data
    weight[[0, 7]] = weight[[7, 0]]


def swap_two_numbers(model):
    flat = attention_weight(model).data.view(-1)
    flat[[10, 2000]] = flat[[2000, 10]]


def another_tensor(model):
    owner = model.bridge.original_model.transformer.h[1].mlp.c_fc
    owner.weight = torch.nn.Parameter(owner.weight * 1.01)


def swap_layers(model):
    one, other = (model.bridge.original_model.transformer.h[i].ln_1.weight for i in (0, 1))
    one.data, other.data = other.data.clone(), one.data.clone()


def final_norm(model):
    model.bridge.original_model.transformer.ln_f.weight.data.neg_()


def projection(model):
    model.feedback.norm.bias.data[0] += 1


def another_projection(model):
    model.feedback = copy.deepcopy(model.feedback)
    model.feedback.norm.bias.data[0] += 1


def a_step(model):
    weight = attention_weight(model).requires_grad_(True)
    (weight**2).sum().backward()
    torch.optim.AdamW([weight], lr=1e-3).step()
    weight.requires_grad_(False)


CHANGES = [
    in_place,
    data,
    numpy,
    last_bit,
    swap_columns,
    swap_rows,
    swap_two_numbers,
    another_tensor,
    swap_layers,
    final_norm,
    projection,
    another_projection,
    a_step,
]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_changed_have_another_hash(change, model):
    before = model.provenance()["checkpoint"]
    change(model)
    after = model.provenance()["checkpoint"]
    assert before != after
    assert len(after) == 12


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_changed_before_anybody_asked_have_another_hash(
    change, saved, checkpoint_of_saved
):
    """Right after loading a file's own hash is known and nothing was compared yet."""
    model = again(saved)
    change(model)
    changed = model.checkpoint
    assert changed != checkpoint_of_saved
    change(model)
    assert model.checkpoint != changed


@pytest.mark.slow
def test_the_old_numbers_have_the_old_hash(saved):
    model = again(saved)
    before = model.checkpoint
    weight = attention_weight(model)
    kept = weight.clone()
    weight.data.zero_()
    assert model.checkpoint != before
    weight.data.copy_(kept)
    assert model.checkpoint == before
    another_tensor(model)
    assert model.checkpoint != before


@pytest.mark.slow
def test_running_and_hooks_leave_the_hash_as_it_was(model):
    before = model.checkpoint
    with model.hooks([("feedback.hook_out", lambda fed, hook: 0 * fed)]):
        model.run(QUESTIONS, max_new_tokens=3)
    assert model.checkpoint == before


@pytest.mark.slow
def test_a_bridge_that_was_changed_by_hand_before_it_was_wrapped_has_its_own_hash(model):
    before = model.checkpoint
    bridge: TransformerBridge = model.bridge
    final_norm(model)
    wrapped = ContinuousThoughtModel(
        bridge, model.feedback, model.template, 6, tokenizer=model.tokenizer
    )
    assert wrapped.checkpoint == model.checkpoint != before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("shape", [(), (3,), (7, 11), (40, 333), (2, 3, 4096)])
def test_a_change_of_any_one_number_changes_the_checksum(shape, dtype):
    torch.manual_seed(0)
    tensor = (100 * torch.randn(shape)).to(dtype)
    before = checksum([tensor])
    flat = tensor.view(-1)
    for place in {0, len(flat) // 3, len(flat) - 1}:
        kept = flat[place].clone()
        flat[place] += 1
        assert checksum([tensor]) != before
        flat[place] = kept
        assert checksum([tensor]) == before
    assert checksum([tensor.clone()]) == before


def test_the_checksum_of_a_part_of_a_larger_storage():
    whole = torch.arange(9000, dtype=torch.float32)
    assert checksum([whole[1:]]) == checksum([whole[1:].clone()])


def test_the_checksum_is_over_all_that_a_state_dict_has(tiny_gpt2_model):
    roots = (tiny_gpt2_model.bridge.original_model, tiny_gpt2_model.feedback)
    looked_at = {(each.data_ptr(), each.shape) for each in stored_tensors(*roots)}
    for root in roots:
        assert set(root.modules()) <= set(every_module(*roots))
        for name, tensor in root.state_dict().items():
            assert (tensor.data_ptr(), tensor.shape) in looked_at, name
