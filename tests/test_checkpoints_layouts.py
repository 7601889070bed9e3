"""More layouts of latent-loop checkpoints, on made-up files, against a plain Hugging Face loop."""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from checkpoint_files import (
    COCONUT,
    CODI,
    Golden,
    coconut_tensors,
    llama_base,
    plain_loop,
    projection_from,
)
from cot_attn.checkpoints import known_checkpoints
from cot_attn.models import Constant, ContinuousThoughtModel, Projection

QUESTIONS = Golden(CODI).questions[:4]
N_NEW = 6


def base_config(base=CODI / "base") -> GPT2Config:
    return GPT2Config.from_pretrained(base)


def assert_like_the_loop(model, hf_model, project, questions=QUESTIONS) -> None:
    run = model.run(questions, max_new_tokens=N_NEW)
    _, tokens = model.encode(questions)
    for row, question in enumerate(tokens):
        expected = plain_loop(
            hf_model,
            project,
            question,
            bot=model.template.bot,
            eot=model.template.eot,
            eos=model.template.eos,
            n_thoughts=model.n_thoughts,
            max_new_tokens=N_NEW,
            never=model.template.suppressed,
        )
        torch.testing.assert_close(run.thoughts[row], expected.thoughts, rtol=1e-3, atol=5e-5)
        torch.testing.assert_close(run.first_logits[row], expected.logits, rtol=1e-3, atol=1e-4)


def latent_tts(folder, *, projector: bool) -> tuple[GPT2LMHeadModel, dict[str, Tensor]]:
    """Hugging Face's own names, a projector beside them, ids in the tokenizer's files."""
    torch.manual_seed(1)
    config = base_config()
    n_base, d_model = config.vocab_size, config.n_embd
    config.vocab_size = n_base + 3
    model = GPT2LMHeadModel(config).eval()
    tensors = {
        name: t.clone() for name, t in model.state_dict().items() if name != "lm_head.weight"
    }
    if projector:
        layers = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(d_model, 24), nn.GELU(), nn.Linear(24, d_model),
            nn.LayerNorm(d_model),
        )  # fmt: skip
        tensors |= {f"projector.{name}": t.clone() for name, t in layers.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    names = ["<|latent|>", "<|start-latent|>", "<|end-latent|>"]
    added = {name: n_base + place for place, name in enumerate(names)}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "config.json").write_text(json.dumps({"model_type": "codi-gpt2"}))
    return model, tensors


@pytest.mark.slow
def test_latent_tts_with_a_projector(tmp_path):
    hf_model, tensors = latent_tts(tmp_path, projector=True)
    model = ContinuousThoughtModel.from_pretrained(tmp_path, base=CODI / "base", n_thoughts=6)
    n_base = base_config().vocab_size
    assert (model.template.bot, model.template.eot) == ((n_base + 1,), (n_base + 2,))
    assert model.load_report.family == "latent-tts"
    assert isinstance(model.feedback, Projection)
    renamed = {"projector.1": "prj.1", "projector.3": "prj.3", "projector.4": "prj.ln"}
    of_codi = {
        f"{renamed[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": tensor
        for key, tensor in tensors.items()
        if key.startswith("projector.")
    }
    assert_like_the_loop(model, hf_model, projection_from(of_codi))


@pytest.mark.slow
def test_latent_tts_without_a_projector_is_named(tmp_path):
    hf_model, _ = latent_tts(tmp_path, projector=False)
    with pytest.raises(ValueError, match=r"latent-tts.*from_language_model"):
        ContinuousThoughtModel.from_pretrained(tmp_path, base=CODI / "base", n_thoughts=6)
    model = ContinuousThoughtModel.from_pretrained(
        tmp_path, family="latent-tts", base=CODI / "base", n_thoughts=6
    )
    assert model.template.question_suffix == "\n"
    assert_like_the_loop(model, hf_model, lambda hidden: hidden)


def test_a_projector_that_lacks_a_tensor_is_named(tmp_path):
    _, tensors = latent_tts(tmp_path, projector=True)
    del tensors["projector.4.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"projector\.4\.bias"):
        ContinuousThoughtModel.from_pretrained(tmp_path, base=CODI / "base", n_thoughts=6)


def hugging_face_coconut(tensors) -> GPT2LMHeadModel:
    config = base_config(COCONUT / "base")
    inner = {
        key.removeprefix("base_causallm."): tensor.float()
        for key, tensor in tensors.items()
        if key.startswith("base_causallm.")
    }
    config.vocab_size = len(inner["transformer.wte.weight"])
    model = GPT2LMHeadModel(config)
    assert not model.load_state_dict(inner, strict=False).unexpected_keys
    return model.eval()


@pytest.mark.slow
def test_a_control_with_a_pause_embedding(tmp_path):
    tensors = coconut_tensors()
    hf_model = hugging_face_coconut(tensors)
    torch.manual_seed(2)
    pause = torch.randn(hf_model.config.n_embd)
    torch.save({**tensors, "pause_embedding": pause}, tmp_path / "checkpoint_best")
    model = ContinuousThoughtModel.from_pretrained(
        tmp_path / "checkpoint_best", base=COCONUT / "base", n_thoughts=6
    )
    assert isinstance(model.feedback, Constant)
    assert_like_the_loop(model, hf_model, lambda hidden: pause.expand(hidden.shape))
    # In one pass it is the same as in several.
    question = model.encode(QUESTIONS[:1])[1][0]
    embed = hf_model.get_input_embeddings()
    parts = [
        embed(torch.tensor([[*question, *model.template.bot]])),
        pause.expand(1, 6, -1),
        embed(torch.tensor([list(model.template.eot)])),
    ]
    with torch.no_grad():
        logits = hf_model(inputs_embeds=torch.cat(parts, dim=1)).logits[0, -1]
    found = model.think(QUESTIONS[:1]).first_logits[0]
    torch.testing.assert_close(found, logits, rtol=1e-3, atol=1e-4)


def test_a_pause_embedding_of_another_width_does_not_load(tmp_path):
    torch.save({**coconut_tensors(), "pause_embedding": torch.ones(3)}, tmp_path / "checkpoint_1")
    with pytest.raises(ValueError, match="pause_embedding"):
        ContinuousThoughtModel.from_pretrained(
            tmp_path / "checkpoint_1", base=COCONUT / "base", n_thoughts=6
        )


@pytest.mark.slow
@pytest.mark.parametrize("n_thoughts", [8])
def test_coconut_with_eight_thoughts(n_thoughts, tmp_path):
    tensors = coconut_tensors()
    torch.save(tensors, tmp_path / "checkpoint_1")
    model = ContinuousThoughtModel.from_pretrained(
        tmp_path, base=COCONUT / "base", n_thoughts=n_thoughts
    )
    assert_like_the_loop(model, hugging_face_coconut(tensors), lambda hidden: hidden)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Qwen2", "Mistral"])
@pytest.mark.parametrize("family", ["coconut", "codi"])
def test_other_bases(kind, family, tmp_path):
    """Biases on queries, keys and values (Qwen) and windows (Mistral) are the base's business."""
    torch.manual_seed(4)
    base = llama_base(tmp_path / "base")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=208, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=198, eos_token_id=199, initializer_range=0.1, tie_word_embeddings=False,
    )  # fmt: skip
    config.save_pretrained(base)
    config.vocab_size += 3
    hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    prefix = {"coconut": "base_causallm.", "codi": "codi."}[family]
    tensors = {prefix + name: tensor.clone() for name, tensor in hf_model.state_dict().items()}
    projection = nn.Sequential(nn.Dropout(), nn.Linear(32, 24), nn.GELU(), nn.Linear(24, 32))
    if family == "codi":
        tensors |= {f"prj.{name}": t.clone() for name, t in projection.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    model = ContinuousThoughtModel.from_pretrained(tmp_path, base=base, n_thoughts=4)
    project = projection_from(tensors) if family == "codi" else lambda hidden: hidden
    assert_like_the_loop(model, hf_model, project, ["w1 w2 w3", "w4"])


def test_the_registry_says_what_was_seen():
    for name in ("ModalityDance/latent-tts-codi", "blanar/coconut-gsm8k-gpt2"):
        assert "none of its own files was seen" in known_checkpoints()[name].verified
    eight = known_checkpoints()["internlm/SIM_COT-LLaMA3-CODI-8B"]
    assert (eight.published, eight.reproduced) == (0.641, 0.343)
