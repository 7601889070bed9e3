"""Checkpoints of adaptive latent reasoning answer as the official code does."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cot_attn.models import BinaryHead, ContinuousThoughtModel

HERE = Path(__file__).parent / "conformance" / "adalr_llama"
GOLDEN = json.loads((HERE / "golden.json").read_text())
SETTINGS = "_inserted_LatentThinkingModelSettings"
NAMES = {"<START>": 36, "<|CONTINUE|>": 37, "<END>": 38, "<|STOP|>": 39}
MODES = list(GOLDEN["goldens"])


def written(folder: Path, mode: str, **changed: object) -> Path:
    """Write a checkpoint in the official layout."""
    mode_or_none = None if mode == "None" else mode
    tensors = load_file(HERE / "weights.safetensors")
    chosen = {
        name.removeprefix(f"{mode}/"): tensor
        for name, tensor in tensors.items()
        if "/" not in name or name.startswith(f"{mode}/")
    }
    folder.mkdir(exist_ok=True)
    save_file(chosen, folder / "model.safetensors", metadata={"format": "pt"})
    config = dict(GOLDEN["config"])
    config[SETTINGS] = {**config[SETTINGS], "recurrent_filter_mode": mode_or_none, **changed}
    (folder / "config.json").write_text(json.dumps(config))
    words = {"<s>": 0, "</s>": 1, **{f"w{i}": i for i in range(2, 36)}, **NAMES}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(NAMES))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="w2"
    ).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_it_thinks_and_answers_as_the_official_code(mode, tmp_path):
    model = ContinuousThoughtModel.from_pretrained(written(tmp_path / "c", mode), n_thoughts=12)
    goldens = GOLDEN["goldens"][mode]
    run = model.run([torch.tensor(each["question"]) for each in goldens], max_new_tokens=8)
    assert list(run.n_thoughts) == [each["n_thoughts"] for each in goldens]
    assert len(set(run.n_thoughts)) > 1
    for tokens, each in zip(run.answer_tokens, goldens, strict=True):
        assert tokens == each["answer"][: each["answer"].index(1) if 1 in each["answer"] else None]
    assert model.stop == BinaryHead(go_on=37, stop=39)
    assert model.load_report.family == "adaptive"
    assert model.load_report.settings["stop"] == repr(model.stop)
    assert model.source is not None


@pytest.mark.slow
def test_it_is_saved_with_its_rule(tmp_path):
    model = ContinuousThoughtModel.from_pretrained(written(tmp_path / "c", "linear"), n_thoughts=12)
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    questions = [torch.tensor(each["question"]) for each in GOLDEN["goldens"]["linear"]]
    expected, found = (each.run(questions, max_new_tokens=4) for each in (model, again))
    assert again.stop == model.stop
    assert found.n_thoughts == expected.n_thoughts
    torch.testing.assert_close(found.thoughts, expected.thoughts, equal_nan=True)
    settings = json.loads((tmp_path / "saved" / "cot_attn.json").read_text())
    assert settings["format_version"] == 2  # which a reader without stop rules refuses


@pytest.mark.slow
def test_a_softmax_re_embedding_leaves_out_what_is_no_word(tmp_path):
    how = {"recurrent_filter_mode": "SRE", "unused_token_ids": [30, 31]}
    folder = written(tmp_path / "c", "None", **how)
    model = ContinuousThoughtModel.from_pretrained(folder, n_thoughts=3)
    model.stop = None
    plain = LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).eval()
    stored = load_file(folder / "model.safetensors")
    inner = {name.removeprefix("_base_model."): each for name, each in stored.items()}
    assert plain.load_state_dict(inner, strict=False).missing_keys == ["lm_head.weight"]  # is tied
    question = torch.tensor(GOLDEN["goldens"]["None"][0]["question"])
    table = plain.get_input_embeddings().weight
    fed = table[[*question.tolist(), NAMES["<START>"]]]
    with torch.no_grad():
        for _ in range(3):
            logits = plain(inputs_embeds=fed[None]).logits[0, -1]
            logits[[NAMES["<|CONTINUE|>"], NAMES["<|STOP|>"], 30, 31]] = -torch.inf
            fed = torch.cat([fed, logits.softmax(dim=-1)[None] @ table])
    torch.testing.assert_close(model.think([question]).thoughts[0], fed[-3:])
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.feedback.settings() == {"barred": [30, 31, 37, 39]}


REFUSED = {
    "add_latent_to_end=true": {"add_latent_to_end": True},
    "lora_mode=true": {"lora_mode": True},
    "recurrent_filter_mode is 'SRE', for which": {"recurrent_filter_mode": "SRE"},
    "recurrent_filter_mode is 'GRU', which is not read": {"recurrent_filter_mode": "GRU"},
    "recurrent_filter_mode is None, for which": {"recurrent_filter_mode": None},
    "says start_token_id 35, the tokenizer 36": {"start_token_id": 35},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_read_is_refused_with_its_setting(what, tmp_path):
    folder = written(tmp_path / "c", "MLP", **REFUSED[what])
    with pytest.raises(ValueError, match=what):
        ContinuousThoughtModel.from_pretrained(folder, n_thoughts=12)


def test_a_configuration_without_the_settings_is_refused(tmp_path):
    folder = written(tmp_path / "c", "None")
    config = json.loads((folder / "config.json").read_text())
    del config[SETTINGS]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="lacks the entry '_inserted"):
        ContinuousThoughtModel.from_pretrained(folder, n_thoughts=12)


def test_training_states_are_not_opened_and_say_what_to_do():
    with pytest.raises(ValueError, match=r"known and cannot be loaded.*take the weights out"):
        ContinuousThoughtModel.from_pretrained("AlbertTan/CoLaR")


def test_an_unknown_latent_loop_checkpoint_says_which_families_were_tried(tmp_path):
    save_file({"soft_prompt.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"any of the families codi, coconut, .*adaptive") as error:
        ContinuousThoughtModel.from_pretrained(tmp_path, n_thoughts=6)
    said = str(error.value)
    prefixes = ("'codi.'", "'base_causallm.'", "'_base_model.'", "'lt_head.'", "'latent_policy.'")
    for prefix in ("soft_prompt.weight", *prefixes):
        assert prefix in said
