"""Small checkpoints for the tests, and a plain Hugging Face loop to compare with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

CONFORMANCE = Path(__file__).parent / "conformance"
CODI = CONFORMANCE / "codi_gpt2"
COCONUT = CONFORMANCE / "coconut_gpt2"

# What the checkpoints' files do not say.
SAID = {
    CODI: {"base": CODI / "base", "lora_alpha": 32, "n_thoughts": 6, "remove_eos": True},
    COCONUT: {"base": COCONUT / "base", "n_thoughts": 6},
}


class Golden:
    """The official implementation's numbers for eight questions."""

    def __init__(self, folder: Path) -> None:
        self.arrays = np.load(folder / "golden.npz")
        facts = json.loads((folder / "golden.json").read_text())
        self.questions: list[str] = facts["questions"]
        self.eos: int = facts["ids"]["eos"]

    def __call__(self, question: int, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[f"q{question}.{name}"])

    def answer_tokens(self, question: int) -> list[int]:
        """The answer's ids; an EOS in the last place ends it and is no part of it."""
        ids: list[int] = self(question, "answer_ids").tolist()
        return ids[:-1] if ids[-1] == self.eos else ids


def codi_tensors() -> dict[str, Tensor]:
    return dict(torch.load(CODI / "pytorch_model.bin", weights_only=True))


def coconut_tensors() -> dict[str, Tensor]:
    return dict(torch.load(COCONUT / "checkpoint_1", weights_only=True))


def save_shards(tensors: dict[str, Tensor], folder: Path, n_shards: int = 3) -> None:
    """Write tensors as safetensors shards with an index."""
    keys = sorted(tensors)
    shards = [keys[start::n_shards] for start in range(n_shards)]
    places = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{n_shards:05d}.safetensors"
        save_file({key: tensors[key].clone() for key in shard}, folder / name)
        places |= dict.fromkeys(shard, name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@dataclass
class PlainRun:
    """What the plain loop computed for one question."""

    thoughts: Tensor
    logits: Tensor
    tokens: list[int]


@torch.no_grad()
def plain_loop(
    model: PreTrainedModel,
    project: Callable[[Tensor], Tensor],
    question: Sequence[int],
    *,
    bot: Sequence[int],
    eot: Sequence[int],
    eos: int,
    n_thoughts: int,
    max_new_tokens: int,
    never: Sequence[int] = (),
) -> PlainRun:
    """One question through a Hugging Face model: prompt, thoughts, EOT, greedy answer."""
    cache = DynamicCache()

    def step(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        output = model(**inputs, past_key_values=cache, output_hidden_states=True)
        return output.hidden_states[-1][:, -1], output.logits[0, -1]

    hidden, _ = step(input_ids=torch.tensor([[*question, *bot]]))
    thoughts = []
    for _ in range(n_thoughts):
        thoughts.append(project(hidden))
        hidden, _ = step(inputs_embeds=thoughts[-1][:, None])
    _, logits = step(input_ids=torch.tensor([[*eot]]))
    first, tokens = logits, []
    for _ in range(max_new_tokens):
        allowed = logits.clone()
        allowed[list(never)] = -torch.inf
        token = int(allowed.argmax())
        if token == eos:
            break
        tokens.append(token)
        _, logits = step(input_ids=torch.tensor([[token]]))
    return PlainRun(torch.cat(thoughts), first, tokens)


def projection_from(tensors: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """CODI's projection, from its keys."""

    def project(hidden: Tensor) -> Tensor:
        t = {key: tensor.float() for key, tensor in tensors.items() if key.startswith("prj.")}
        inner = nn.functional.gelu(hidden @ t["prj.1.weight"].T + t["prj.1.bias"])
        out = inner @ t["prj.3.weight"].T + t["prj.3.bias"]
        if "prj.ln.weight" not in t:
            return out
        return nn.functional.layer_norm(out, out.shape[-1:], t["prj.ln.weight"], t["prj.ln.bias"])

    return project


def llama_config(**changes: Any) -> LlamaConfig:
    """A small Llama with grouped queries and rotary scaling."""
    return LlamaConfig(
        vocab_size=200,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        bos_token_id=198,
        eos_token_id=199,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        **{"tie_word_embeddings": True, **changes},
    )


def llama_base(folder: Path, **changes: Any) -> Path:
    """A base folder whose tokenizer puts BOS in front."""
    vocabulary = {f"w{i}": i for i in range(198)} | {"<bos>": 198, "<eos>": 199}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 198)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>"
    ).save_pretrained(folder)
    llama_config(**changes).save_pretrained(folder)
    return folder
