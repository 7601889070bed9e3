"""PCCoT's checkpoints, an adapter on a base's own weights, think in passes as a plain loop does."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from cot_attn.checkpoints._base import read_base
from cot_attn.checkpoints._base_weights import with_base_weights
from cot_attn.checkpoints._trained_tokens import with_trained_tokens
from cot_attn.checkpoints._weights import Weights
from cot_attn.models import ContinuousThoughtModel, Identity, Jacobi

WORDS = ["</s>", *(f"w{i}" for i in range(20)), "The", "answer", "is:"]
N_BASE, N_THOUGHTS, N_ITERATIONS = len(WORDS), 5, 3
BOT, EOT, LATENT, PAD = range(N_BASE, N_BASE + 4)
QUESTIONS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11"]


def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="w0"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="w0")


def written(folder: Path) -> tuple[Path, Path, PeftModel]:
    """Write base and checkpoint as training does: the vocabulary grown, adapter and files saved."""
    torch.manual_seed(2)
    config = GPT2Config(
        vocab_size=N_BASE, n_positions=64, n_embd=32, n_layer=2, n_head=4,
        initializer_range=0.15, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    base, trained = folder / "base", folder / "trained"
    hf_model = GPT2LMHeadModel(config)
    hf_model.save_pretrained(base)
    tokenizer().save_pretrained(base)
    hf_model.resize_token_embeddings(N_BASE + 4)
    lora = LoraConfig(
        r=4, lora_alpha=8, target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True,
        trainable_token_indices={"wte": [BOT, EOT, LATENT, PAD, 0]},
    )  # fmt: skip
    wrapped = get_peft_model(hf_model, lora).eval()
    for name, each in wrapped.named_parameters():
        if "lora_B" in name or "trainable_tokens" in name:
            nn.init.normal_(each, std=0.2)
    wrapped.save_pretrained(trained)
    grown = tokenizer()
    grown.add_special_tokens(
        {"additional_special_tokens": ["<pcot.bot>", "<pcot.eot>", "<pcot.latent>"]}
    )
    grown.add_special_tokens({"pad_token": "[PAD]"})
    grown.save_pretrained(trained)
    own = {**config.to_dict(), "model_type": "pccot-gpt2", "num_iterations": N_ITERATIONS}
    (trained / "config.json").write_text(json.dumps(own | {"use_projection": False}))
    said = {"answer_prompt": "The answer is:", "num_latent_tokens": N_THOUGHTS}
    (trained / "pccot_args.json").write_text(json.dumps(said))
    return base, trained, wrapped


@torch.no_grad()
def plain(hf_model: nn.Module, question: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Question, placeholders, passes over all thoughts at once, and the answer's prompt."""
    prompt = [*(WORDS.index(word) for word in question.split()), BOT]
    embed = hf_model.get_input_embeddings()
    before, fed = embed(torch.tensor([prompt])), embed(torch.tensor([[LATENT] * N_THOUGHTS]))
    for _ in range(N_ITERATIONS):
        inputs = torch.cat([before, fed], dim=1)
        hidden = hf_model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[-1]
        fed = hidden[:, len(prompt) - 1 : -1]
    behind = torch.tensor([[EOT, *map(WORDS.index, ("The", "answer", "is:"))]])
    logits = hf_model(inputs_embeds=torch.cat([before, fed, embed(behind)], dim=1)).logits
    return fed[0], logits[0, -1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> tuple[Path, Path, PeftModel]:
    return written(tmp_path_factory.mktemp("pccot"))


@pytest.fixture(scope="module")
def model(checkpoint) -> ContinuousThoughtModel:
    base, trained, _ = checkpoint
    return ContinuousThoughtModel.from_pretrained(trained, base=base, n_thoughts=N_THOUGHTS)


@pytest.mark.slow
def test_it_thinks_as_pefts_own_model_in_a_plain_loop(model, checkpoint):
    run = model.run(QUESTIONS, max_new_tokens=1)
    for row, question in enumerate(QUESTIONS):
        thoughts, logits = plain(checkpoint[2], question)
        torch.testing.assert_close(run.thoughts[row], thoughts, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], logits, atol=1e-4, rtol=1e-4)
    assert model.load_report.family == "pccot"
    assert model.load_report.settings["n_iterations"] == N_ITERATIONS
    assert model.load_report.settings["lora_alpha"] == 8
    assert "read the weights of" in " ".join(model.load_report.notes)
    assert isinstance(model.feedback, Jacobi)
    assert isinstance(model.feedback.loop, Identity)


@pytest.mark.slow
def test_it_is_saved_as_one_folder(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    expected, found = (each.run(QUESTIONS, max_new_tokens=2) for each in (model, again))
    torch.testing.assert_close(found.thoughts, expected.thoughts)
    assert found.answers == expected.answers
    assert again.template == model.template


def test_what_a_checkpoint_holds_itself_stays(checkpoint):
    base, trained, _ = checkpoint
    name = "base_model.model.transformer.ln_f.weight"
    weights = Weights({name: torch.full((32,), 5.0)}, {trained / "adapter_model.safetensors": ""})
    whole = with_base_weights(weights, read_base(base), "").tensors
    assert whole[name].eq(5).all()
    assert whole["base_model.model.transformer.ln_f.bias"].eq(0).all()


def test_trained_rows_are_put_into_and_behind_the_bases_table(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"trainable_token_indices": {"wte": [3, 1, 4]}}')
    weights = Weights({}, {tmp_path / "adapter_model.safetensors": ""})
    table, rows = torch.zeros(3, 2), torch.tensor([[3.0, 3.0], [1.0, 1.0], [4.0, 4.0]])
    tensors = {"x.wte.weight": table, "x.wte.token_adapter.trainable_tokens_delta": rows}
    whole = with_trained_tokens(tensors, weights)
    expected = torch.tensor([0.0, 1.0, 0.0, 3.0, 4.0])[:, None].expand(-1, 2)
    assert set(whole) == {"x.wte.weight"}
    torch.testing.assert_close(whole["x.wte.weight"], expected)
    with pytest.raises(ValueError, match=r"tokens \[3, 4\], and its base ends with token 1"):
        with_trained_tokens(tensors | {"x.wte.weight": table[:2]}, weights)


def changed(folder: Path, name: str, **entries: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


BROKEN = {
    "does not say num_iterations": lambda f: (f / "config.json").unlink(),
    "use_projection=true, which is not read": lambda f: changed(
        f, "config.json", use_projection=True
    ),
    "names 1 tokens": lambda f: changed(f, "adapter_config.json", trainable_token_indices=[3]),
    "does not say of which": lambda f: changed(
        f, "adapter_config.json", trainable_token_indices=None
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_files_that_do_not_belong_together_say_so(what, checkpoint, tmp_path):
    base, trained, _ = checkpoint
    copied = tmp_path / "copied"
    copied.mkdir()
    for each in trained.iterdir():
        (copied / each.name).write_bytes(each.read_bytes())
    BROKEN[what](copied)
    with pytest.raises(ValueError, match=what):
        ContinuousThoughtModel.from_pretrained(copied, base=base, n_thoughts=N_THOUGHTS)
