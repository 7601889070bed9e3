"""CoLaR's checkpoints, as its authors keep them and as LatentTTS does, think as a plain loop."""

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cot_attn.checkpoints import CheckpointInfo, register_checkpoint
from cot_attn.models import ContinuousThoughtModel, LatentHead, Moment, SampledSeparator, Separator
from cot_attn.models.seeds import generator

D_MODEL, D_HIDDEN, MOST = 32, 24, 6
AROUND = ["Question:", "Let's", "think", "step", "by", "step:", "(Thinking", "speed:"]
WORDS = ["<s>", "</s>", "###", *AROUND, *"0123456789)", *(f"w{i}" for i in range(18))]
QUESTIONS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "w12 w13", "w14 w0 w3", "w9 w9"]
SEPARATOR, START, EOS = 2, 0, 1


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, digits and `###` apart, and a start token before what does without."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="w0"))
    split = r"###|w\d+|\d|\)|\(Thinking|[^\s\d()]+"
    core.pre_tokenizer = pre_tokenizers.Split(Regex(split), "removed", invert=True)
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", START)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="w0")


def llama(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=D_MODEL,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        initializer_range=0.12,
        tie_word_embeddings=True,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config).eval()


class Head(nn.Module):
    """The head as a paper would write it down."""

    def __init__(self, *, draws: bool) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(D_MODEL, D_HIDDEN),
            nn.GELU(),
            nn.Linear(D_HIDDEN, D_HIDDEN),
            nn.LayerNorm(D_HIDDEN),
        )
        self.mean = nn.Linear(D_HIDDEN, D_MODEL)
        if draws:
            self.log_std = nn.Linear(D_HIDDEN, D_MODEL)


@torch.no_grad()
def plain(hf_model, question: str, speed: int, made, ends) -> tuple[Tensor, Tensor]:
    """Thoughts until the loop ends, then the logits behind the closing separator."""
    text = f"Question: {question} Let's think step by step:(Thinking speed: {speed})###"
    ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
    inputs, thoughts = hf_model.get_input_embeddings()(torch.tensor([ids])), []
    while len(thoughts) < MOST:
        output = hf_model(inputs_embeds=inputs, output_hidden_states=True)
        if ends(output.logits[0, -1], len(thoughts)):
            break
        thoughts.append(made(output.hidden_states[-1][0, -1], len(thoughts)))
        inputs = torch.cat([inputs, thoughts[-1][None, None]], dim=1)
    closing = hf_model.get_input_embeddings()(torch.tensor([[SEPARATOR]]))
    logits = hf_model(inputs_embeds=torch.cat([inputs, closing], dim=1)).logits[0, -1]
    return torch.stack(thoughts) if thoughts else torch.zeros(0, D_MODEL), logits


def assert_alike(model, hf_model, speed, made, ends) -> None:
    run = model.run(QUESTIONS, max_new_tokens=2)
    assert len(set(run.n_thoughts)) > 1
    for row, question in enumerate(QUESTIONS):
        name = run.problems[row].id
        thoughts, logits = plain(
            hf_model, question, speed, partial(made, name=name), partial(ends, name=name)
        )
        assert run.n_thoughts[row] == len(thoughts)
        torch.testing.assert_close(
            run.thoughts[row, : len(thoughts)], thoughts, atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(run.first_logits[row], logits, atol=1e-4, rtol=1e-4)


def of_latent_tts(folder: Path) -> tuple[LlamaForCausalLM, Head]:
    hf_model = llama(seed=6)
    head = Head(draws=False).eval()
    # A separator that is neither never nor always the likeliest, though it was just read.
    hf_model.lm_head.weight.data[SEPARATOR] *= -1
    tensors = {k: t.clone() for k, t in hf_model.state_dict().items() if k != "lm_head.weight"}
    tensors |= {f"lt_head.{name}": each.clone() for name, each in head.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    hf_model.config.latent_embedding_std = 0.05
    hf_model.config.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return hf_model, head


@pytest.mark.slow
def test_latent_tts_colar_feeds_the_mean_until_the_separator_is_likeliest(tmp_path):
    hf_model, head = of_latent_tts(tmp_path)
    model = ContinuousThoughtModel.from_pretrained(tmp_path, n_thoughts=MOST)
    assert model.load_report.family == "latent-tts-colar"
    assert model.stop == Separator(SEPARATOR)

    def made(hidden, index, name):
        return 0.05 * head.mean(head.fc(hidden))

    def ends(logits, index, name):
        return bool(logits.argmax() == SEPARATOR)

    assert_alike(model, hf_model, 2, made, ends)


def of_colar(folder: Path) -> tuple[Path, LlamaForCausalLM, Head]:
    """LoRA and head alone, as its authors keep them, and the base that they belong to."""
    from peft import LoraConfig, get_peft_model

    base, trained = folder / "Llama-3.2-1B-Instruct", folder / "trained"
    hf_model = llama(seed=4)
    hf_model.save_pretrained(base)
    tokenizer().save_pretrained(base)
    wrapped = get_peft_model(hf_model, LoraConfig(r=4, lora_alpha=8))
    for name, each in wrapped.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(each, std=0.3)
    head = Head(draws=True).eval()
    tensors = {f"llm.{k}": p.data for k, p in wrapped.named_parameters() if p.requires_grad}
    tensors |= {f"latent_policy.{name}": each for name, each in head.state_dict().items()}
    trained.mkdir()
    torch.save({k: t.clone() for k, t in tensors.items()}, trained / "pytorch_model.bin")
    return trained, wrapped.merge_and_unload(), head


@pytest.mark.slow
def test_colar_draws_thoughts_and_their_end_on_the_weights_of_its_base(tmp_path):
    file, hf_model, head = of_colar(tmp_path)
    base = tmp_path / "Llama-3.2-1B-Instruct"
    model = ContinuousThoughtModel.from_pretrained(
        file, base=base, n_thoughts=MOST, lora_alpha=8, compression=3
    )
    assert model.load_report.family == "colar"
    assert model.load_report.settings["compression"] == 3
    assert model.stop == SampledSeparator(SEPARATOR)
    model.stop = SampledSeparator(SEPARATOR, temperature=4.0)  # random logits are far apart

    def made(hidden, index, name):
        read = head.fc(hidden)
        noise = torch.randn(D_MODEL, generator=generator(0, "latent head", name, index))
        return 0.018 * (head.mean(read) + head.log_std(read).exp() * noise)

    def ends(logits, index, name):
        chance = (logits / 4.0).softmax(dim=-1)[SEPARATOR]
        drawn = torch.rand(1, generator=generator(0, "separator", name, index))
        return index > 0 and bool(drawn < chance)

    assert_alike(model, hf_model, 3, made, ends)
    model.feedback.temperature = 0.0
    model.stop = None
    thoughts = model.think(QUESTIONS[:1]).thoughts[0]

    def never(logits, index):
        return False

    expected, _ = plain(
        hf_model, QUESTIONS[0], 3, lambda h, i: 0.018 * head.mean(head.fc(h)), never
    )
    torch.testing.assert_close(thoughts, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_it_is_saved_with_its_head_and_its_rule(tmp_path):
    of_latent_tts(tmp_path)
    model = ContinuousThoughtModel.from_pretrained(tmp_path, n_thoughts=MOST, compression=4)
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.stop == model.stop
    assert again.template == model.template
    assert "(Thinking speed: 4)" in again.template.question_suffix
    assert again.feedback.settings() == model.feedback.settings()
    expected, found = (each.run(QUESTIONS, max_new_tokens=2) for each in (model, again))
    assert found.n_thoughts == expected.n_thoughts
    torch.testing.assert_close(found.thoughts, expected.thoughts, equal_nan=True)


def test_a_latent_head_draws_by_problem_and_thought_alone():
    hf_model = llama(seed=0)
    head, hidden = LatentHead(4, 6, 0.5), torch.randn(2, 4)
    together = head(hidden, Moment(hf_model, ("a", "b"), 1))
    turned = head(hidden.flip(0), Moment(hf_model, ("b", "a"), 1))
    torch.testing.assert_close(turned.flip(0), together)
    assert not torch.allclose(head(hidden, Moment(hf_model, ("a", "b"), 2)), together)
    with pytest.raises(TypeError, match="needs to know the problem"):
        head(hidden)


def test_a_separator_is_drawn_as_often_as_it_is_likely():
    hf_model, n = llama(seed=0), 4000
    hidden = 4 * hf_model.lm_head.weight[[SEPARATOR]].detach()  # so that it is likely
    chance = (hf_model.lm_head(hidden)[0] / 3).softmax(dim=-1)[SEPARATOR].item()
    assert 0.02 < chance < 0.95
    rule, names = SampledSeparator(SEPARATOR, temperature=3.0), tuple(map(str, range(n)))
    stopped = rule.stops(hidden.expand(n, -1), Moment(hf_model, names, 1))
    assert abs(stopped.float().mean() - chance) < 4 * (chance * (1 - chance) / n) ** 0.5
    assert not rule.stops(hidden.expand(n, -1), Moment(hf_model, names, 0)).any()


@pytest.mark.slow
def test_what_is_not_said_is_asked_for(tmp_path):
    file, _, _ = of_colar(tmp_path)
    base = tmp_path / "Llama-3.2-1B-Instruct"
    how = {"base": base, "n_thoughts": MOST, "lora_alpha": 8}
    for bad in (0, True):
        with pytest.raises(ValueError, match="compression is"):
            ContinuousThoughtModel.from_pretrained(file, **how, compression=bad)
    other = base.rename(tmp_path / "another")
    with pytest.raises(ValueError, match=r"CheckpointInfo\(\.\.\., embedding_std=\)"):
        ContinuousThoughtModel.from_pretrained(file, **how | {"base": other})
    info = CheckpointInfo("colar", str(other), MOST, lora_alpha=8, embedding_std=0.07)
    register_checkpoint(str(file), info)
    model = ContinuousThoughtModel.from_pretrained(str(file), validate=False)
    assert model.feedback.scale == 0.07
    (other / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds what was trained alone, and the weights"):
        ContinuousThoughtModel.from_pretrained(file, **how | {"base": other})
    with pytest.raises(ValueError, match="compression= is of CoLaR's prompt; CODI has none"):
        ContinuousThoughtModel.from_pretrained(
            Path(__file__).parent / "conformance" / "codi_gpt2", n_thoughts=6, compression=2
        )
