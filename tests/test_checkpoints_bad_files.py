"""Bad files end in an error that says what is wrong, and nothing is loaded in part."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from checkpoint_files import (
    COCONUT,
    CODI,
    SAID,
    coconut_tensors,
    codi_tensors,
    save_shards,
)
from cot_attn.models import ContinuousThoughtModel

PREFIX = "codi.base_model.model."
WTE, HEAD = f"{PREFIX}transformer.wte.weight", f"{PREFIX}lm_head.weight"
LORA_B = f"{PREFIX}transformer.h.2.mlp.c_fc.lora_B.default.weight"


def load(path, **said):
    return ContinuousThoughtModel.from_pretrained(path, **{**SAID[CODI], **said})


def load_tensors(tensors, folder, **said):
    torch.save(tensors, folder / "pytorch_model.bin")
    return load(folder, **said)


# Files that cannot be read --------------------------------------------------------------------


@pytest.fixture(params=["pytorch_model.bin", "model.safetensors"])
def file(request, tmp_path):
    return shutil.copy(CODI / request.param, tmp_path / request.param)


def test_an_empty_file(file):
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        load(file)


@pytest.mark.parametrize("kept", [20, 1000, 200_000])
def test_a_truncated_file(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cannot be read as a weight file"):
        load(file)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_a_pytorch_file(place, tmp_path):
    content = bytearray((CODI / "pytorch_model.bin").read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a weight file"):
        load(tmp_path)


def test_a_flipped_bit_in_the_header_of_a_safetensors_file(tmp_path):
    content = bytearray((CODI / "model.safetensors").read_bytes())
    content[0] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a weight file"):
        load(tmp_path)


@pytest.mark.slow
def test_a_flipped_bit_in_the_tensors_of_a_safetensors_file_shows_in_its_sha256(tmp_path):
    """The format has no checksum; the digest that the user gives is one."""
    good = load(CODI / "model.safetensors").load_report.sha256
    content = bytearray((CODI / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=f"not {good}"):
        load(tmp_path, sha256=good)
    assert load(CODI / "model.safetensors", sha256=good.upper()).load_report.sha256 == good


def test_a_flipped_bit_shows_where_the_same_weights_lie_beside(tmp_path):
    content = bytearray((CODI / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    shutil.copy(CODI / "pytorch_model.bin", tmp_path)
    with pytest.raises(ValueError, match="hold different weights"):
        load(tmp_path)


class Trap:
    """A pickle of this makes a folder when it is run."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_does_not_run(zipped, tmp_path):
    content = codi_tensors() | {"codi.extra": Trap(tmp_path / "it ran")}
    torch.save(content, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="Nothing in it was run"):
        load(tmp_path)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Access denied</body></html>", "web page"),
        (b"\n  <html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS"),
        (b"hello, I am no weight file at all", "neither PyTorch's nor safetensors'"),
    ],
)
def test_something_else_saved_as_a_weight_file(content, words, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load(tmp_path)


def test_a_pickle_of_something_else_than_a_state_dict(tmp_path):
    torch.save({"epoch": 3, "model": codi_tensors()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="accepted is a state dict"):
        load(tmp_path)


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weight file"):
        load(tmp_path)


@pytest.mark.slow
def test_two_files_that_disagree(tmp_path):
    tensors = codi_tensors()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    other = {key: tensor.clone() for key, tensor in tensors.items() if key != HEAD}
    other["prj.1.bias"] = other["prj.1.bias"] + 0.5
    save_file(other, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"different weights: \['prj.1.bias'\] differ"):
        load(tmp_path)
    assert load(tmp_path / "pytorch_model.bin") is not None


def test_one_of_two_files_lacks_a_tensor(tmp_path):
    tensors = codi_tensors()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    other = {key: t.clone() for key, t in tensors.items() if key not in (HEAD, "prj.ln.bias")}
    save_file(other, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"only one has 'prj\.ln\.bias'"):
        load(tmp_path)


@pytest.mark.slow
def test_several_epochs_in_a_folder(tmp_path):
    for epoch in (3, 12):
        shutil.copy(COCONUT / "checkpoint_1", tmp_path / f"checkpoint_{epoch}")
    with pytest.raises(ValueError, match="several checkpoints: checkpoint_12, checkpoint_3"):
        ContinuousThoughtModel.from_pretrained(tmp_path, **SAID[COCONUT])
    model = ContinuousThoughtModel.from_pretrained(
        tmp_path, weights="checkpoint_3", **SAID[COCONUT]
    )
    assert [file.name for file in model.load_report.files] == ["checkpoint_3"]


@pytest.mark.slow
def test_what_a_trainer_leaves_beside_the_weights_is_not_read(tmp_path):
    shutil.copy(CODI / "pytorch_model.bin", tmp_path)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (tmp_path / name).write_bytes(b"no weights")
    assert len(load(tmp_path).load_report.files) == 1


# Shards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [True, False])
def test_a_shard_that_is_not_there(index, tmp_path):
    save_shards(codi_tensors(), tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    if not index:
        (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003"):
        load(tmp_path)


def test_a_shard_that_the_index_does_not_name(tmp_path):
    save_shards(codi_tensors(), tmp_path)
    save_file({"codi.more": torch.ones(2)}, tmp_path / "model-00004-of-00004.safetensors")
    with pytest.raises(ValueError, match="model-00004-of-00004"):
        load(tmp_path)


def test_a_tensor_that_is_not_in_the_shard_where_the_index_says(tmp_path):
    save_shards(codi_tensors(), tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["prj.1.bias"] = "model-00001-of-00003.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"prj\.1\.bias"):
        load(tmp_path)


def test_an_index_that_is_none(tmp_path):
    save_shards(codi_tensors(), tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="not the index"):
        load(tmp_path)


# Tensors that do not fit ----------------------------------------------------------------------


def test_the_wrong_family():
    with pytest.raises(ValueError, match="of the family 'codi', not 'coconut'"):
        load(CODI, family="coconut")
    with pytest.raises(ValueError, match="of the family 'coconut', not 'codi'"):
        load(COCONUT, family="codi")


def test_a_plain_language_model(tmp_path):
    torch.save({"transformer.wte.weight": torch.ones(3, 4)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="a plain language model"):
        load(tmp_path)


def base_with(folder, **changes):
    shutil.copytree(CODI / "base", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize("changes", [{"n_layer": 3}, {"n_layer": 5}, {"n_embd": 64}])
def test_the_wrong_base(changes, tmp_path):
    with pytest.raises(ValueError, match="another base model") as error:
        load(CODI / "pytorch_model.bin", base=base_with(tmp_path / "base", **changes))
    assert "transformer.h." in str(error.value)
    assert "pytorch_model.bin" in str(error.value)


@pytest.mark.parametrize("folder", [CODI, COCONUT], ids=["codi", "coconut"])
@pytest.mark.parametrize("rows", [200, 202, 204])
def test_another_number_of_added_tokens(folder, rows, tmp_path):
    tensors = codi_tensors() if folder == CODI else coconut_tensors()
    for key, tensor in tensors.items():
        if len(tensor) == 203:
            tensors[key] = tensor.repeat(2, 1)[:rows]
    torch.save(tensors, tmp_path / "checkpoint_1")
    with pytest.raises(ValueError, match=f"knows {rows} token ids; the base has 200"):
        ContinuousThoughtModel.from_pretrained(tmp_path, **SAID[folder])


def test_a_vocabulary_off_by_one(tmp_path):
    base = base_with(tmp_path / "base", vocab_size=201)
    with pytest.raises(ValueError, match="knows 203 token ids; the base has 201"):
        load(CODI, base=base)


def test_a_tokenizer_with_more_tokens_than_its_model(tmp_path):
    with pytest.raises(ValueError, match="has 200 tokens, its model 199"):
        load(CODI, base=base_with(tmp_path / "base", vocab_size=199))


def test_a_missing_half_of_lora(tmp_path):
    tensors = codi_tensors()
    del tensors[LORA_B]
    with pytest.raises(ValueError, match="LoRA halves that do not belong together") as error:
        load_tensors(tensors, tmp_path)
    assert LORA_B in str(error.value)


def test_lora_halves_of_different_rank(tmp_path):
    tensors = codi_tensors()
    tensors[LORA_B] = tensors[LORA_B][:, :4]
    with pytest.raises(ValueError, match=r"\(128, 4\), not \(128, 8\)"):
        load_tensors(tensors, tmp_path)


def test_lora_without_its_base(tmp_path):
    tensors = {key: t for key, t in codi_tensors().items() if ".base_layer." not in key}
    with pytest.raises(ValueError, match="a LoRA file without its base"):
        load_tensors(tensors, tmp_path)


def test_an_adapter_file(tmp_path):
    tensors = {
        key.removeprefix("codi."): tensor
        for key, tensor in codi_tensors().items()
        if ".lora_" in key
    }
    with pytest.raises(ValueError, match="a LoRA file without its base"):
        load_tensors(tensors, tmp_path)


def test_lora_of_which_nobody_says_the_alpha():
    with pytest.raises(ValueError, match="Give lora_alpha="):
        load(CODI, lora_alpha=None)


def test_a_number_of_thoughts_that_nobody_says():
    with pytest.raises(ValueError, match="Give n_thoughts="):
        load(CODI, n_thoughts=None)


def test_half_a_projection(tmp_path):
    tensors = codi_tensors()
    del tensors["prj.3.weight"]
    with pytest.raises(ValueError, match=r"missing \(1\):\s+prj\.3\.weight"):
        load_tensors(tensors, tmp_path)


def test_a_key_that_nobody_knows(tmp_path):
    with pytest.raises(ValueError, match=r"not expected \(1\):\s+halting_head\.weight"):
        load_tensors(codi_tensors() | {"halting_head.weight": torch.ones(2)}, tmp_path)


def test_of_many_keys_the_first_twenty_are_listed(tmp_path):
    extra = {f"other.{number:02d}": torch.ones(1) for number in range(33)}
    with pytest.raises(ValueError, match=r"not expected \(33\)") as error:
        load_tensors(codi_tensors() | extra, tmp_path)
    assert "other.19" in str(error.value)
    assert "other.20" not in str(error.value)
    assert "and 13 more" in str(error.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite(value, tmp_path):
    tensors = codi_tensors()
    tensors[LORA_B][3, 2] = value
    with pytest.raises(ValueError, match="NaN or infinite") as error:
        load_tensors(tensors, tmp_path)
    assert LORA_B in str(error.value)


def test_tied_embeddings_that_differ(tmp_path):
    tensors = codi_tensors()
    tensors[HEAD] = tensors[HEAD] + 1
    with pytest.raises(ValueError, match="with different numbers"):
        load_tensors(tensors, tmp_path)


def test_coconuts_repeated_embedding_that_differs(tmp_path):
    tensors = coconut_tensors()
    tensors["embedding.weight"] = tensors["embedding.weight"] + 1
    torch.save(tensors, tmp_path / "checkpoint_1")
    with pytest.raises(ValueError, match=r"embedding\.weight' with different numbers"):
        ContinuousThoughtModel.from_pretrained(tmp_path, **SAID[COCONUT])


# The base -------------------------------------------------------------------------------------


def test_a_base_without_a_tokenizer(tmp_path):
    shutil.copy(CODI / "base" / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match="has no tokenizer"):
        load(CODI, base=tmp_path)


def test_a_damaged_tokenizer(tmp_path):
    base = base_with(tmp_path / "base")
    (base / "tokenizer.json").chmod(0o644)
    (base / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        load(CODI, base=base)


def test_a_tokenizer_without_eos(tmp_path):
    base = base_with(tmp_path / "base")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (base / name).chmod(0o644)
    (base / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    (base / "special_tokens_map.json").write_text("{}")
    with pytest.raises(ValueError, match="has no EOS token"):
        load(CODI, base=base)


def test_a_base_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="Give as base="):
        load(CODI, base=tmp_path / "nowhere")


def test_weights_without_any_base(tmp_path):
    shutil.copy(CODI / "pytorch_model.bin", tmp_path)
    with pytest.raises(ValueError, match="Give as base="):
        load(tmp_path, base=None)
