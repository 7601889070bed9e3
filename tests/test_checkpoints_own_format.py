"""A saved model needs nothing else, comes back exactly, and is never read in part."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoint_files import COCONUT, CODI, SAID, Golden
from cot_attn.models import ContinuousThoughtModel

QUESTIONS = Golden(CODI).questions


@pytest.fixture(scope="module", params=[CODI, COCONUT], ids=["codi", "coconut"])
def model(request):
    return ContinuousThoughtModel.from_pretrained(request.param, **SAID[request.param])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "codi"
    ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI]).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def edit(folder, **changes):
    file = folder / "cot_attn.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def rewrite(folder, tensors):
    """Replace the weights as if they had been saved so."""
    import hashlib

    save_file(tensors, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, sha256=digest)


# Round trip -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_saved_checkpoint_comes_back_exactly(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    one, other = (each.run(QUESTIONS, max_new_tokens=12) for each in (model, again))
    assert torch.equal(one.thoughts, other.thoughts)
    assert torch.equal(one.first_logits, other.first_logits)
    assert one.answer_tokens == other.answer_tokens
    assert one.answers == other.answers
    assert again.template == model.template
    assert again.n_thoughts == model.n_thoughts
    assert again.name == model.name
    again.save_pretrained(tmp_path / "twice")
    files = [tmp_path / each / "model.safetensors" for each in ("saved", "twice")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_saved_checkpoint_holds_no_lora_and_no_path(saved):
    names = load_file(saved / "model.safetensors").keys()
    assert not [name for name in names if "lora" in name or "base_layer" in name]
    text = (saved / "cot_attn.json").read_text()
    assert "conformance" not in text


@pytest.mark.slow
def test_half_precision_on_the_disk_rounds_once(folder, tmp_path):
    model = ContinuousThoughtModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    full = load_file(folder / "model.safetensors")
    assert all(torch.equal(stored[name], full[name].bfloat16()) for name in full)
    assert ContinuousThoughtModel.from_pretrained(tmp_path / "half").dtype == torch.float32


@pytest.mark.slow
def test_the_report_of_a_saved_model_names_its_file(saved):
    report = ContinuousThoughtModel.from_pretrained(saved).load_report
    assert report.family == "cot_attn"
    assert list(report.files) == [saved / "model.safetensors"]
    assert len(report.checks) == 5


@pytest.mark.slow
def test_the_number_of_thoughts_can_be_another(saved):
    model = ContinuousThoughtModel.from_pretrained(saved, n_thoughts=2)
    assert model.think(QUESTIONS[:1]).thoughts.shape[1] == 2


@pytest.mark.slow
def test_a_folder_with_something_in_it_is_not_overwritten(saved):
    model = ContinuousThoughtModel.from_pretrained(saved)
    with pytest.raises(FileExistsError, match="is not empty"):
        model.save_pretrained(saved)


def test_what_the_folder_says_itself_cannot_be_said_otherwise(saved):
    with pytest.raises(ValueError, match=r"\['base', 'lora_alpha'\]"):
        ContinuousThoughtModel.from_pretrained(saved, base=CODI / "base", lora_alpha=16)


# Bad folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "advice"), [(3, "Update cot-attn"), (0, "Save the model again"), (None, "again")]
)
def test_another_format_version(folder, version, advice):
    edit(folder, format_version=version)
    with pytest.raises(ValueError, match=f"format version {version}.*{advice}"):
        ContinuousThoughtModel.from_pretrained(folder)


def test_a_version_with_a_stop_rule_has_one(folder):
    edit(folder, format_version=2)
    with pytest.raises(ValueError, match=r"lacks an entry.*'stop'"):
        ContinuousThoughtModel.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "{", "\x00\x01", "[1, 2]"])
def test_settings_that_are_no_json(folder, content):
    (folder / "cot_attn.json").write_text(content)
    with pytest.raises(ValueError, match=r"cot_attn\.json"):
        ContinuousThoughtModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["template", "feedback", "model", "n_thoughts", "sha256", "name"])
def test_settings_that_lack_an_entry(folder, name):
    file = folder / "cot_attn.json"
    settings = json.loads(file.read_text())
    del settings[name]
    file.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"lacks an entry.*{name}"):
        ContinuousThoughtModel.from_pretrained(folder)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_flipped_bit(folder, place):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        ContinuousThoughtModel.from_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 100, 100_000])
def test_truncated_weights(folder, kept):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cannot be read as a weight file"):
        ContinuousThoughtModel.from_pretrained(folder)


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="is missing"):
        ContinuousThoughtModel.from_pretrained(folder)


def test_a_missing_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match="has no tokenizer"):
        ContinuousThoughtModel.from_pretrained(folder)


def test_tensors_that_do_not_fit_the_settings(folder):
    tensors = load_file(folder / "model.safetensors")
    name = "model.transformer.h.1.mlp.c_fc.weight"
    bad = {key: tensor for key, tensor in tensors.items() if key != "feedback.norm.bias"}
    rewrite(folder, bad | {"model.more": torch.ones(1), name: tensors[name].T.contiguous()})
    with pytest.raises(ValueError, match="does not fit") as error:
        ContinuousThoughtModel.from_pretrained(folder)
    for key in ("feedback.norm.bias", "model.more", f"{name}: (128, 32), not (32, 128)"):
        assert key in str(error.value)


def test_numbers_that_are_not_finite(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["feedback.norm.bias"][3] = torch.nan
    rewrite(folder, tensors)
    with pytest.raises(ValueError, match="NaN or infinite"):
        ContinuousThoughtModel.from_pretrained(folder)
