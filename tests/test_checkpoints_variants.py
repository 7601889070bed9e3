"""Checkpoints in every variant of the formats, against a plain Hugging Face loop."""

import re

import pytest
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from checkpoint_files import (
    COCONUT,
    CODI,
    SAID,
    Golden,
    coconut_tensors,
    codi_tensors,
    llama_base,
    llama_config,
    plain_loop,
    projection_from,
)
from cot_attn.models import ContinuousThoughtModel, Identity, Projection

pytestmark = pytest.mark.slow

QUESTIONS = Golden(CODI).questions[:4]
N_NEW = 4
LORA = re.compile(r"codi\.base_model\.model\.(.+)\.lora_A\.default\.weight")


def merged_by_hand(tensors, alpha, *, transposed):
    """W + alpha / rank * B A, under Hugging Face's own names; GPT-2 stores W transposed."""
    plain = {
        key.removeprefix("codi.base_model.model.").replace(".base_layer.", "."): tensor.float()
        for key, tensor in tensors.items()
        if key.startswith("codi.") and ".lora_" not in key
    }
    for key, a in tensors.items():
        if match := LORA.fullmatch(key):
            b = tensors[key.replace("lora_A", "lora_B")]
            delta = alpha / len(a) * (b.double() @ a.double())
            weight = f"{match[1]}.weight"
            plain[weight] = plain[weight] + (delta.T if transposed else delta).float()
    return plain


def hugging_face(tensors, config):
    config.vocab_size = len(next(v for k, v in tensors.items() if "wte" in k or "embed" in k))
    kind = GPT2LMHeadModel if config.model_type == "gpt2" else LlamaForCausalLM
    model = kind(config)
    outcome = model.load_state_dict(tensors, strict=False)
    assert not outcome.unexpected_keys
    return model.eval()


def gpt2(tensors):
    return hugging_face(tensors, GPT2Config.from_pretrained(CODI / "base"))


def assert_like_the_loop(model, hf_model, project, questions, **template):
    run = model.run(questions, max_new_tokens=N_NEW)
    _, tokens = model.encode(questions)
    for row, question in enumerate(tokens):
        plain = plain_loop(
            hf_model,
            project,
            question,
            n_thoughts=model.n_thoughts,
            max_new_tokens=N_NEW,
            **template,
        )
        torch.testing.assert_close(run.thoughts[row], plain.thoughts, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], plain.logits, atol=1e-4, rtol=1e-4)
        assert run.answer_tokens[row] == plain.tokens


# CODI -----------------------------------------------------------------------------------------


def loaded(path, **said):
    """Load without the model's check of itself, which other tests see."""
    return ContinuousThoughtModel.from_pretrained(path, validate=False, **said)


def load_codi(tensors, folder, **said):
    torch.save(tensors, folder / "pytorch_model.bin")
    return loaded(folder, **{**SAID[CODI], **said})


def test_codi_without_lora(tmp_path):
    tensors = codi_tensors()
    merged = merged_by_hand(tensors, 32, transposed=True)
    plain = {f"codi.{key}": tensor for key, tensor in merged.items()}
    plain |= {key: tensor for key, tensor in tensors.items() if key.startswith("prj.")}
    model = load_codi(plain, tmp_path, lora_alpha=None)
    assert model.load_report.settings["lora_rank"] is None
    project = projection_from(tensors)
    assert_like_the_loop(
        model, gpt2(merged), project, QUESTIONS, bot=[201], eot=[202], eos=199, never=[202]
    )


@pytest.mark.parametrize("dropped", ["prj.", "prj.ln."])
def test_codi_without_projection_and_without_its_layer_norm(dropped, tmp_path):
    tensors = {key: t for key, t in codi_tensors().items() if not key.startswith(dropped)}
    model = load_codi(tensors, tmp_path)
    assert isinstance(model.feedback, Identity if dropped == "prj." else Projection)
    project = projection_from(tensors) if dropped == "prj.ln." else lambda hidden: hidden
    hf_model = gpt2(merged_by_hand(tensors, 32, transposed=True))
    assert_like_the_loop(
        model, hf_model, project, QUESTIONS, bot=[201], eot=[202], eos=199, never=[202]
    )


def test_codi_with_eos_before_bot_and_after_eot(tmp_path):
    tensors = codi_tensors()
    model = load_codi(tensors, tmp_path, remove_eos=False)
    hf_model = gpt2(merged_by_hand(tensors, 32, transposed=True))
    assert_like_the_loop(
        model,
        hf_model,
        projection_from(tensors),
        QUESTIONS,
        bot=[199, 201],
        eot=[202, 199],
        eos=199,
        never=[202],
    )


@pytest.mark.parametrize(("alpha", "n_thoughts"), [(16, 3), (8, 0), (128.0, 1)])
def test_alpha_and_the_number_of_thoughts_are_what_the_user_says(alpha, n_thoughts, tmp_path):
    tensors = codi_tensors()
    model = load_codi(tensors, tmp_path, lora_alpha=alpha, n_thoughts=n_thoughts)
    hf_model = gpt2(merged_by_hand(tensors, alpha, transposed=True))
    if n_thoughts:
        assert_like_the_loop(
            model,
            hf_model,
            projection_from(tensors),
            QUESTIONS[:3],
            bot=[201],
            eot=[202],
            eos=199,
            never=[202],
        )
    assert model.think(QUESTIONS[:1]).thoughts.shape == (1, n_thoughts, 32)


def test_sim_cots_decoder_is_reported_and_changes_nothing(tmp_path):
    tensors = codi_tensors()
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    extra = {"decoder.transformer.wte.weight": torch.randn(50, 8), "pj_in.weight": torch.eye(8)}
    with_decoder = load_codi(tensors | extra, tmp_path / "with")
    without = load_codi(tensors, tmp_path / "without")
    assert with_decoder.load_report.unused == tuple(extra)
    assert "decoder.transformer.wte.weight" in str(with_decoder.load_report)
    logits = [model.think(QUESTIONS).first_logits for model in (with_decoder, without)]
    assert torch.equal(*logits)


def test_constants_that_old_transformers_versions_stored_are_reported(tmp_path):
    mask = "codi.base_model.model.transformer.h.0.attn.bias"
    tensors = codi_tensors() | {mask: torch.ones(1, 1, 128, 128).tril().bool()}
    assert load_codi(tensors, tmp_path).load_report.unused == (mask,)


def test_bfloat16_runs_near_float32(tmp_path):
    exact = load_codi(codi_tensors(), tmp_path)
    rough = loaded(tmp_path, dtype="bfloat16", **SAID[CODI])
    assert rough.dtype == rough.feedback.expand.weight.dtype == torch.bfloat16
    one, other = (model.think(QUESTIONS).first_logits for model in (exact, rough))
    assert 0 < (one - other).abs().max() < 0.1 * one.abs().max()


def test_running_twice_gives_the_same_to_the_last_bit(tmp_path):
    """Dropout is gone: the base's own and LoRA's."""
    model = load_codi(codi_tensors(), tmp_path)
    model.bridge.train()
    one, other = (model.think(QUESTIONS).first_logits for _ in range(2))
    assert torch.equal(one, other)


def test_loading_leaves_the_random_numbers_as_they_were(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_codi(codi_tensors(), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_the_checkpoint_hash_depends_on_alpha(tmp_path):
    one = load_codi(codi_tensors(), tmp_path)
    other = load_codi(codi_tensors(), tmp_path, lora_alpha=16)
    assert one.load_report.sha256 == other.load_report.sha256
    assert one.checkpoint != other.checkpoint


# Coconut --------------------------------------------------------------------------------------


def test_sim_cots_explaining_model_is_reported_and_changes_nothing(tmp_path):
    extra = {"expainable_llm.transformer.wte.weight": torch.randn(200, 32)}
    torch.save(coconut_tensors() | extra, tmp_path / "checkpoint_28")
    model = loaded(tmp_path, **SAID[COCONUT])
    assert model.load_report.unused == tuple(extra)
    plain = loaded(COCONUT / "checkpoint_1", **SAID[COCONUT])
    logits = [each.think(QUESTIONS).first_logits for each in (model, plain)]
    assert torch.equal(*logits)


# Llama with grouped-query attention, LoRA on all seven projections, BOS -----------------------

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"]


def llama_tensors(**changes):
    """A CODI checkpoint in bfloat16 with random weights, by the format's key names."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape, scale=0.1):
        return torch.randn(*shape, generator=generator) * scale

    config = llama_config(**changes)
    config.vocab_size = 203
    prefix, tensors = "codi.base_model.model.", {}
    for name, parameter in LlamaForCausalLM(config).state_dict().items():
        module, _, _ = name.rpartition(".")
        if "norm" in name:
            tensors[prefix + name] = 1 + random(*parameter.shape)
        elif module.rpartition(".")[2] in SEVEN:
            n_out, n_in = parameter.shape
            tensors[f"{prefix}{module}.base_layer.weight"] = random(n_out, n_in).bfloat16()
            tensors[f"{prefix}{module}.lora_A.default.weight"] = random(16, n_in)
            tensors[f"{prefix}{module}.lora_B.default.weight"] = random(n_out, 16, scale=0.05)
        else:
            tensors[prefix + name] = random(*parameter.shape, scale=1).bfloat16()
    if changes.get("tie_word_embeddings", True):
        tensors[f"{prefix}lm_head.weight"] = tensors[f"{prefix}model.embed_tokens.weight"]
    tensors |= {"prj.1.weight": random(40, 32), "prj.1.bias": random(40)}
    tensors |= {"prj.3.weight": random(32, 40), "prj.3.bias": random(32)}
    return tensors | {"prj.ln.weight": 1 + random(32), "prj.ln.bias": random(32)}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("remove_eos", [True, False])
def test_llama_with_grouped_queries_gives_what_a_plain_loop_gives(tied, remove_eos, tmp_path):
    tensors = llama_tensors(tie_word_embeddings=tied)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    model = loaded(
        tmp_path,
        family="codi",
        base=llama_base(tmp_path / "base", tie_word_embeddings=tied),
        lora_alpha=32,
        n_thoughts=6,
        remove_eos=remove_eos,
    )
    _, tokens = model.encode(QUESTIONS)
    assert all(question[0] == 198 for question in tokens)
    hf_model = hugging_face(
        merged_by_hand(tensors, 32, transposed=False), llama_config(tie_word_embeddings=tied)
    )
    assert_like_the_loop(
        model,
        hf_model,
        projection_from(tensors),
        QUESTIONS,
        bot=[201] if remove_eos else [199, 201],
        eot=[202] if remove_eos else [202, 199],
        eos=199,
        never=[202],
    )


def test_llama_in_a_batch_gives_what_each_question_gives_alone(tmp_path):
    tensors = llama_tensors()
    save_file({k: v.clone() for k, v in tensors.items()}, tmp_path / "model.safetensors")
    model = loaded(tmp_path, base=llama_base(tmp_path / "base"), lora_alpha=32, n_thoughts=6)
    together = model.run(QUESTIONS, max_new_tokens=N_NEW)
    alone = model.run(QUESTIONS, max_new_tokens=N_NEW, batch_size=1)
    torch.testing.assert_close(together.first_logits, alone.first_logits, atol=1e-4, rtol=0)
    assert together.answer_tokens == alone.answer_tokens


def test_a_tokenizer_that_is_smaller_than_its_model_leaves_the_added_ids_nameless(tmp_path):
    """Qwen pads its embedding: the added ids still follow the model's last."""
    base = llama_base(tmp_path / "base")
    file = base / "config.json"
    file.write_text(file.read_text().replace('"vocab_size": 200', '"vocab_size": 208'))
    tensors = llama_tensors()
    for key, tensor in tensors.items():
        if "embed_tokens" in key or "lm_head" in key:
            tensors[key] = torch.cat([tensor, tensor[:8]])
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    model = loaded(tmp_path, base=base, lora_alpha=32, n_thoughts=6)
    assert (model.template.bot, model.template.eot) == ((209,), (210,))
    assert len(model.tokenizer) == 200


def test_a_tokenizer_that_has_one_of_the_names_leaves_the_added_ids_nameless(tmp_path):
    base = llama_base(tmp_path / "base")
    file = base / "tokenizer.json"
    file.write_text(file.read_text().replace('"w5"', '"[PAD]"'))
    torch.save(llama_tensors(), tmp_path / "pytorch_model.bin")
    model = loaded(tmp_path, base=base, lora_alpha=32, n_thoughts=6)
    assert model.tokenizer.convert_tokens_to_ids("[PAD]") == 5
    assert len(model.tokenizer) == 200
    assert (model.template.bot, model.template.eot) == ((201,), (202,))
