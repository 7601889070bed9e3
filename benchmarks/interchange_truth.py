"""Thoughts exchanged between problems of the bundled models, with Hugging Face and PyTorch alone.

`python -m benchmarks.interchange_truth [--problems 40]`

No bridge, no hooks, no cache, one question at a time. The tests hold what `experiments.interchange`
says of the same pairs against this.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig

from cot_attn.checkpoints import bundled_models
from cot_attn.experiments import draw_pairs
from cot_attn.toy import expected_answer, toy_problems

CONFIGS = {"toy-gpt2": GPT2Config, "toy-llama": LlamaConfig}
FEEDBACK = "feedback."
LONGEST = 12


class Plain:
    """A bundled model, read from its files."""

    def __init__(self, folder: Path) -> None:
        card = json.loads((folder / "cot_attn.json").read_text())
        self.template, self.n_thoughts = card["template"], card["n_thoughts"]
        weights = {
            name: each.float() for name, each in load_file(folder / "model.safetensors").items()
        }
        self.made = {
            name.removeprefix(FEEDBACK): each
            for name, each in weights.items()
            if name.startswith(FEEDBACK)
        }
        config = CONFIGS[folder.name](**card["model"])
        self.model: Any = AutoModelForCausalLM.from_config(config).eval()
        own = {
            name.removeprefix("model."): each
            for name, each in weights.items()
            if not name.startswith(FEEDBACK)
        }
        left = self.model.load_state_dict(own, strict=False)
        assert not left.unexpected_keys, left
        assert set(left.missing_keys) <= {"lm_head.weight"}, left  # it is the embedding
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.embed = self.model.get_input_embeddings()

    def fed(self, hidden: Tensor) -> Tensor:
        made = self.made
        wide = gelu(hidden @ made["expand.weight"].T + made["expand.bias"])
        narrow = wide @ made["contract.weight"].T + made["contract.bias"]
        return layer_norm(narrow, narrow.shape[-1:], made["norm.weight"], made["norm.bias"])

    def run(
        self, question: str, exchanged: dict[int, Tensor] | None = None
    ) -> tuple[list[Tensor], str | None]:
        """Return the thoughts, some of which are given, and the number that is answered."""
        bot, eot, eos = (self.template[name] for name in ("bot", "eot", "eos"))
        ids = [*self.tokenizer(question, add_special_tokens=False)["input_ids"], *bot]
        sequence, thoughts = self.embed(torch.tensor([ids])), []
        for index in range(self.n_thoughts):
            output = self.model(inputs_embeds=sequence, output_hidden_states=True)
            own = self.fed(output.hidden_states[-1][0, -1])
            thoughts.append((exchanged or {}).get(index, own))
            sequence = torch.cat([sequence, thoughts[-1][None, None]], dim=1)
        tokens: list[int] = []
        following = list(eot)
        while len(tokens) < LONGEST:
            sequence = torch.cat([sequence, self.embed(torch.tensor([following]))], dim=1)
            logits = self.model(inputs_embeds=sequence).logits[0, -1]
            logits[self.template["suppressed"]] = -torch.inf
            token = int(logits.argmax())
            if token == eos:
                break
            tokens.append(token)
            following = [token]
        numbers = re.findall(r"\d+", self.tokenizer.decode(tokens))
        return thoughts, numbers[-1] if numbers else None


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=40)
    asked = parser.parse_args()
    problems = toy_problems(asked.problems, steps=[4])
    pairs = draw_pairs(problems, n_sources=2)
    for name in CONFIGS:
        plain = Plain(bundled_models()[name])
        clean = {problem.id: plain.run(problem.question) for problem in problems}
        for index in range(plain.n_thoughts):
            hits, own = [], []
            for base, source in pairs:
                predicted, said = expected_answer(base, source, index), clean[base.id][1]
                if predicted != said:
                    thought = clean[source.id][0][index]
                    _, answer = plain.run(base.question, {index: thought})
                    hits.append(answer == predicted)
                    own.append(answer == said)
            shares = [sum(each) / len(each) for each in (hits, own)]
            print(
                f"{name}, thought {index}: of {len(hits)} pairs {shares[0]:.3f} as predicted, "
                f"{shares[1]:.3f} as before",
                flush=True,
            )


if __name__ == "__main__":
    main()
