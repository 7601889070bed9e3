"""Names: the known checkpoints, those of a user, the hub's cache, and what is none of them."""

import dataclasses
import hashlib
import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from checkpoint_files import COCONUT, CODI, SAID, Golden, coconut_tensors, codi_tensors
from cot_attn.checkpoints import CheckpointInfo, _hub, known_checkpoints, register_checkpoint
from cot_attn.checkpoints import registry as registry_module
from cot_attn.models import ContinuousThoughtModel

COMMIT = "0123456789abcdef0123456789abcdef01234567"

load = ContinuousThoughtModel.from_pretrained


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is forgotten."""
    monkeypatch.setattr(registry_module, "_KNOWN", dict(registry_module._KNOWN))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache; tests never have a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(cache, name, files):
    """Store files in the hub's cache as huggingface_hub does; large ones under their SHA-256."""
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / COMMIT
    for folder in (snapshot, repo / "refs", repo / "blobs"):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    for file, content in files.items():
        blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / file).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


# What is known --------------------------------------------------------------------------------


built_in = set(known_checkpoints())  # before an example in a docstring registers another


def test_the_public_checkpoints_are_known():
    assert built_in == {
        "zen-E/CODI-gpt2",
        "zen-E/CODI-llama3.2-1b-Instruct",
        "bcywinski/codi_llama1b-answer_only",
        "internlm/SIM_COT-LLaMA3-CODI-1B",
        "internlm/SIM_COT-LLaMA3-CODI-3B",
        "internlm/SIM_COT-LLaMA3-CODI-8B",
        "internlm/SIM_COT-GPT2-CODI",
        "internlm/SIM_COT-GPT2-Coconut",
        "connordilgren/gpt2-gsm8k-coconut",
        "blanar/coconut-gsm8k-gpt2",
        "bmarti44/coconut-curriculum-checkpoints",
        "ModalityDance/latent-tts-codi",
        "ModalityDance/latent-tts-coconut",
        "ModalityDance/latent-tts-colar",
        "Shibo-UCSD/coconut-theory",
        "whynlp/pccot-gpt2",
        "Lapisbird/Llama-adaLR-model-latent-6",
        "Lapisbird/Llama-adaLR-model-latent-6_rl",
        "Lapisbird/Llama-adaLR-model-latent-6-by-1",
        "Lapisbird/Llama-adaLR-model-latent-6-by-1_rl",
        "Lapisbird/Llama-adaLR-appendix-model-codi",
        "Lapisbird/Llama-adaLR-appendix-model-codi_intermediate",
        "Lapisbird/Llama-adaLR-appendix-model-meaned",
        "Lapisbird/Llama-adaLR-appendix-model-meaned_intermediate",
        "Lapisbird/Llama-adaLR-appendix-model-meaned_codi",
    }


@pytest.mark.slow
def test_a_registered_path_loads_by_name_alone():
    path = str(CODI / "pytorch_model.bin")
    register_checkpoint(path, CheckpointInfo("codi", str(CODI / "base"), 6, lora_alpha=32))
    tokens = load(path).run(Golden(CODI).questions, max_new_tokens=16).answer_tokens
    assert tokens == [Golden(CODI).answer_tokens(question) for question in range(8)]


@pytest.mark.slow
def test_what_the_user_says_goes_before_what_is_known():
    info = CheckpointInfo("codi", str(CODI / "base"), 6, lora_alpha=1, eos_before_bot=True)
    register_checkpoint(str(CODI), info)
    assert load(CODI).template.bot == (199, 201)
    assert load(CODI).template.eot == (202,)
    model = load(CODI, lora_alpha=32, remove_eos=True, n_thoughts=3)
    assert (model.template.bot, model.template.eot, model.n_thoughts) == ((201,), (202,), 3)
    assert model.load_report.settings["lora_alpha"] == 32


def test_a_name_cannot_be_registered_twice_with_different_facts():
    known = known_checkpoints()["zen-E/CODI-gpt2"]
    register_checkpoint("zen-E/CODI-gpt2", known)
    with pytest.raises(ValueError, match="is registered already"):
        register_checkpoint("zen-E/CODI-gpt2", dataclasses.replace(known, n_thoughts=7))


def test_a_decoder_in_a_checkpoint_that_is_known_to_have_none(tmp_path):
    tensors = codi_tensors() | {"decoder.weight": torch.ones(1)}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    register_checkpoint(str(tmp_path), CheckpointInfo("codi", str(CODI / "base"), 6, 32))
    with pytest.raises(ValueError, match=r"decoder\.weight"):
        load(tmp_path)


# The hub --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_known_name_loads_from_the_hubs_cache_without_a_network(cache):
    put(cache, "zen-E/CODI-gpt2", {"pytorch_model.bin": (CODI / "pytorch_model.bin").read_bytes()})
    model = load("zen-E/CODI-gpt2", base=CODI / "base")
    tokens = model.run(Golden(CODI).questions, max_new_tokens=16).answer_tokens
    assert tokens == [Golden(CODI).answer_tokens(question) for question in range(8)]
    assert model.name == "CODI-gpt2"
    assert model.load_report.revision == COMMIT
    assert "official CODI code" in model.load_report.verified


@pytest.mark.slow
def test_the_known_file_of_several_epochs_is_read(cache):
    content = (COCONUT / "checkpoint_1").read_bytes()
    files = {"checkpoint_33": content, "checkpoint_9": b"another epoch", "config.json": b"{}"}
    put(cache, "connordilgren/gpt2-gsm8k-coconut", files)
    model = load("connordilgren/gpt2-gsm8k-coconut", base=COCONUT / "base")
    tokens = model.run(Golden(COCONUT).questions, max_new_tokens=16).answer_tokens
    assert tokens == [Golden(COCONUT).answer_tokens(question) for question in range(8)]


@pytest.mark.slow
def test_sim_cots_coconut_loads_with_its_ten_thoughts(cache, tmp_path):
    extra = {"expainable_llm.transformer.wte.weight": torch.ones(200, 32)}
    torch.save(coconut_tensors() | extra, tmp_path / "file")
    files = {"checkpoint_28": (tmp_path / "file").read_bytes(), "config.json": b"{}"}
    put(cache, "internlm/SIM_COT-GPT2-Coconut", files)
    model = load("internlm/SIM_COT-GPT2-Coconut", base=COCONUT / "base")
    assert model.think(Golden(COCONUT).questions).thoughts.shape == (8, 10, 32)


@pytest.mark.slow
def test_an_unknown_hub_id_loads_with_what_the_user_says(cache):
    put(cache, "me/mine", {"model.safetensors": (CODI / "model.safetensors").read_bytes()})
    model = load("me/mine", **SAID[CODI])
    assert model.load_report.source == "me/mine"


@pytest.mark.slow
def test_a_saved_model_loads_from_the_hub(cache, tmp_path):
    load(CODI, **SAID[CODI]).save_pretrained(tmp_path / "saved")
    put(cache, "me/saved", {f.name: f.read_bytes() for f in (tmp_path / "saved").iterdir()})
    assert load("me/saved").template.bot == (201,)


def test_a_damaged_file_in_the_cache_shows_by_its_name(cache):
    snapshot = put(
        cache, "me/mine", {"model.safetensors": (CODI / "model.safetensors").read_bytes()}
    )
    blob = (snapshot / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1000] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ValueError, match="where the hub has"):
        load("me/mine", **SAID[CODI])


@pytest.mark.parametrize("name", ["zen-E/CODI-gpt2", "me/my-own"])
def test_a_hub_id_without_a_network(cache, name):
    with pytest.raises(FileNotFoundError, match="cannot be downloaded") as error:
        load(name, **SAID[CODI])
    assert name in str(error.value)


def test_a_hub_id_whose_weights_are_not_in_the_cache(cache):
    put(cache, "me/mine", {"config.json": b"{}"})
    with pytest.raises(FileNotFoundError, match="has no weight file"):
        load("me/mine", **SAID[CODI])


# Neither --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["./nowhere", "/no/where", "~/nowhere-at-all", "a/b/c"])
def test_a_path_where_nothing_is(path):
    with pytest.raises(FileNotFoundError, match="There is no folder or file"):
        load(path)


def test_a_name_that_nobody_knows():
    with pytest.raises(ValueError, match="There is no model named 'gpt5'"):
        load("gpt5")


def test_a_file_that_is_named_and_not_there():
    with pytest.raises(FileNotFoundError, match="has no file 'checkpoint_99'"):
        load(COCONUT, weights="checkpoint_99", **SAID[COCONUT])


@pytest.mark.parametrize("dtype", ["float31", "int8", torch.int64, "nn"])
def test_a_type_that_no_model_runs_in(dtype):
    with pytest.raises(ValueError, match="dtype is"):
        load(CODI, dtype=dtype, **SAID[CODI])


# What is downloaded ---------------------------------------------------------------------------


class Hub:
    """Stands in for `snapshot_download`: a repository, and what was asked of it."""

    def __init__(self, folder, names):
        self.folder, self.names = folder / COMMIT, names
        self.folder.mkdir()
        self.asked = []

    def __call__(self, name, *, revision, allow_patterns=None, dry_run=False):
        if dry_run:
            return [SimpleNamespace(filename=each) for each in self.names]
        self.asked.append((revision, allow_patterns))
        return str(self.folder)


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (["pytorch_model.bin", "model.safetensors"], None, ["model.safetensors"]),
        (["model-00001-of-00001.safetensors"], None, ["model-00001-of-00001.safetensors"]),
        (["pytorch_model.bin", "optimizer.pt", "README.md"], None, ["pytorch_model.bin"]),
        (["checkpoint_3", "checkpoint_28"], "checkpoint_28", ["checkpoint_28"]),
        (
            ["a.bin.index.json", "a-00001-of-00002.bin", "a-00002-of-00002.bin"],
            None,
            ["a.bin.index.json", "a-00001-of-00002.bin", "a-00002-of-00002.bin"],
        ),
    ],
)
def test_one_set_of_weights_is_downloaded_of_one_commit(
    names, wanted, expected, tmp_path, monkeypatch
):
    fake = Hub(tmp_path, names)
    monkeypatch.setattr(_hub, "snapshot_download", fake)
    folder, file = _hub.download("me/mine", revision="v2", weights=wanted)
    assert (folder, file) == (fake.folder, expected[0])
    (first, _), (second, patterns) = fake.asked
    assert (first, second, patterns) == ("v2", COMMIT, expected)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GatedRepoError, "is gated. Accept its licence at https://huggingface.co/me/mine"),
        (RepositoryNotFoundError, "The hub has no model 'me/mine'"),
    ],
)
def test_what_the_hub_refuses(error, words, monkeypatch):
    def refuse(*args, **options):
        raise error("no", response=MagicMock())

    monkeypatch.setattr(_hub, "snapshot_download", refuse)
    with pytest.raises(FileNotFoundError, match=words):
        load("me/mine", **SAID[CODI])


def test_a_revision_of_a_local_folder():
    with pytest.raises(ValueError, match="a revision is for models on the hub"):
        load(CODI, revision="main", **SAID[CODI])
