"""LoRA in a checkpoint gives what peft itself computes, or an error that says what it is."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoraConfig, get_peft_model
from safetensors.torch import save_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from checkpoint_files import (
    COCONUT,
    CODI,
    Golden,
    codi_tensors,
    llama_base,
    plain_loop,
    projection_from,
)
from cot_attn.checkpoints import CheckpointInfo, load, register_checkpoint
from cot_attn.checkpoints import registry as registry_module
from cot_attn.models import ContinuousThoughtModel

# peft warns of tied tensors and of the layers that it sets right itself.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:peft")

QUESTIONS = Golden(CODI).questions[:2]
N_NEW = 2
MARKERS = {"codi": ("codi.", 201, 202, [202]), "coconut": ("base_causallm.", 200, 201, [])}
GPT2 = ["c_attn", "c_proj", "c_fc"]
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is forgotten."""
    monkeypatch.setattr(registry_module, "_KNOWN", dict(registry_module._KNOWN))


@dataclass
class Trained:
    """A model with an adapter as it stands at the end of training, and what it computes."""

    family: str
    base: str
    net: Any
    project: Callable[[torch.Tensor], torch.Tensor]
    beside: dict[str, torch.Tensor]

    def tensors(self):
        prefix = MARKERS[self.family][0]
        tensors = {prefix + key: tensor.clone() for key, tensor in self.net.state_dict().items()}
        if self.family == "coconut":
            inner = self.net.base_model.model.get_input_embeddings().state_dict()
            tensors |= {f"embedding.{key}": tensor.clone() for key, tensor in inner.items()}
        return tensors | self.beside

    def config(self, **changes):
        """What peft writes as `adapter_config.json`."""
        said = self.net.peft_config["default"].to_dict()
        said = {key: list(v) if isinstance(v, set) else v for key, v in said.items()}
        return json.loads(json.dumps(said, default=str)) | changes

    def save(self, folder, *, with_config=False, **changes):
        torch.save(self.tensors(), folder / "pytorch_model.bin")
        if with_config or changes:
            (folder / "adapter_config.json").write_text(json.dumps(self.config(**changes)))
        return folder

    def load(self, folder, **said):
        return ContinuousThoughtModel.from_pretrained(folder, validate=False, **self.said(**said))

    def parts(self, folder, **said):
        """What is loaded without a bridge round it, which takes as long again."""
        return load(folder, **self.said(**said))

    def said(self, **said):
        return {"base": self.base, "n_thoughts": 3} | said

    def plain(self, question, net=None, project=None):
        """A plain loop through peft's own model, or through another."""
        _, bot, eot, never = MARKERS[self.family]
        return plain_loop(
            net or self.net,
            project or self.project,
            question,
            bot=[bot],
            eot=[eot],
            eos=199,
            n_thoughts=3,
            max_new_tokens=N_NEW,
            never=never,
        )

    def assert_like_peft(self, model):
        """Thoughts, logits and answers are those of a plain loop through peft's own model."""
        run = model.run(QUESTIONS, max_new_tokens=N_NEW)
        _, questions = model.encode(QUESTIONS)
        for row, question in enumerate(questions):
            plain = self.plain(question)
            tokens = run.answer_tokens[row]
            torch.testing.assert_close(run.thoughts[row], plain.thoughts, atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(run.first_logits[row], plain.logits, atol=2e-4, rtol=1e-4)
            # Coconut goes on after an EOS in the first place.
            first = [199] if self.family == "coconut" and not plain.tokens else plain.tokens
            assert tokens[: len(first)] == first
            assert len(tokens) == len(first) or first == [199]

    def assert_parts_like_peft(self, parts):
        """The same of the parts that were loaded, in the same plain loop."""
        _, bot, eot, never = MARKERS[self.family]
        template = parts.template
        assert (template.bot[-1], template.eot[0], template.eos) == (bot, eot, 199)
        assert set(never) <= set(template.suppressed)
        for question in QUESTIONS:
            tokens = parts.tokenizer(question)["input_ids"]
            own = self.plain(tokens, parts.language_model, parts.feedback.transform)
            plain = self.plain(tokens)
            torch.testing.assert_close(own.thoughts, plain.thoughts, atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(own.logits, plain.logits, atol=2e-4, rtol=1e-4)
            assert own.tokens == plain.tokens


def random_model(base, seed=0, n_rows=203, **changes):
    config = AutoConfig.from_pretrained(base)
    config.update({"vocab_size": n_rows} | changes)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.1)
    return model


@pytest.fixture(scope="module")
def gpt2_base(tmp_path_factory):
    """The folder of a GPT-2 of three layers, as the small Llama has."""
    folder = shutil.copytree(CODI / "base", tmp_path_factory.mktemp("gpt2") / "base")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 3}))
    return folder


@pytest.fixture(scope="module")
def trained(gpt2_base, tmp_path_factory):
    """Trains: wraps a random model as peft does and gives the adapter random numbers."""

    def train(base="gpt2", family="codi", kind=LoraConfig, adapter="default", tied=True, **lora):
        where = gpt2_base
        if base == "llama":
            folder = tmp_path_factory.mktemp("llama") / "base"
            where = llama_base(folder, tie_word_embeddings=tied)
        options = {"r": 4, **({"lora_alpha": 8} if kind is LoraConfig else {})} | lora
        net = get_peft_model(random_model(where), kind(**options), adapter_name=adapter).eval()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if re.search(r"\.(lora_|hada_)", name) and "magnitude" not in name:
                    parameter.normal_(0, 0.15)
        beside = {}
        if family == "codi":
            beside = {key: t for key, t in codi_tensors().items() if key.startswith("prj.")}
        project = projection_from(beside) if beside else (lambda hidden: hidden)
        return Trained(family, str(where), net, project, beside)

    return train


@pytest.fixture(scope="module")
def with_lora(trained):
    """GPT-2 with LoRA in its matrices, by family, for all tests that leave it as it is."""
    return cache(lambda family="codi": trained(family=family, target_modules=GPT2))


# What peft computes ---------------------------------------------------------------------------


TARGETS = [
    ("gpt2", GPT2),
    ("gpt2", ["lm_head"]),
    ("gpt2", ["c_attn", "lm_head"]),
    ("gpt2", ["wte"]),
    ("gpt2", ["wte", "wpe", "c_fc"]),
    ("gpt2", ["wte", "lm_head"]),
    ("gpt2", [*GPT2, "wte", "wpe", "lm_head"]),
    ("llama", LLAMA),
    ("llama", ["lm_head"]),
    ("llama", ["q_proj", "v_proj", "lm_head"]),
    ("llama", ["embed_tokens"]),
    ("llama", ["embed_tokens", "lm_head", "down_proj"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["codi", "coconut"])
@pytest.mark.parametrize(("base", "targets"), TARGETS)
def test_every_set_of_targets_gives_what_peft_computes(base, targets, family, trained, tmp_path):
    """Among them one or both of two tied tensors: then the two are no longer one."""
    made = trained(base, family, target_modules=targets)
    parts = made.parts(made.save(tmp_path), lora_alpha=8)
    made.assert_parts_like_peft(parts)
    untied = bool({"wte", "embed_tokens", "lm_head"} & set(targets))
    assert parts.language_model.config.tie_word_embeddings is not untied
    assert bool(parts.report.notes) is untied


@pytest.mark.slow
@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_lora_on_embeddings_that_are_not_tied(targets, trained, tmp_path):
    made = trained("llama", target_modules=targets, tied=False)
    model = made.load(made.save(tmp_path), lora_alpha=8)
    made.assert_like_peft(model)
    assert model.load_report.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize("targets", [["lm_head"], ["wte"], ["wte", "lm_head"]])
def test_peft_may_tie_the_adapters_as_well(targets, trained, tmp_path):
    made = trained(target_modules=targets, ensure_weight_tying=True)
    made.assert_like_peft(made.load(made.save(tmp_path), lora_alpha=8))
    made.assert_parts_like_peft(made.parts(made.save(tmp_path, with_config=True)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "targets"), [("gpt2", ["lm_head"]), ("gpt2", ["wte"]), ("llama", ["lm_head"])]
)
def test_an_untied_model_comes_back_exactly_from_its_own_folder(base, targets, trained, tmp_path):
    made = trained(base, target_modules=targets)
    model = made.load(made.save(tmp_path), lora_alpha=8)
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    one, other = (each.run(QUESTIONS, max_new_tokens=4) for each in (model, again))
    assert torch.equal(one.thoughts, other.thoughts)
    assert torch.equal(one.first_logits, other.first_logits)
    made.assert_like_peft(again)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["lm_head.base_layer.weight", "transformer.wte.weight"])
def test_either_of_two_tied_names_is_enough_beside_lora(kept, trained, tmp_path):
    """safetensors stores a tensor that two names share once."""
    made = trained(target_modules=["c_attn", "lm_head"])
    tensors = made.tensors()
    for name in ("lm_head.base_layer.weight", "transformer.wte.weight"):
        if name != kept:
            del tensors[f"codi.base_model.model.{name}"]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    made.assert_like_peft(made.load(tmp_path, lora_alpha=8))


@pytest.mark.slow
def test_what_safetensors_writes_of_a_tied_model_with_lora_on_its_head(trained, tmp_path):
    made = trained(target_modules=["c_attn", "lm_head"])
    whole = nn.Module()
    whole.codi = made.net
    whole.prj = nn.Module()
    for name, tensor in made.beside.items():
        _, part, parameter = name.split(".")
        if part not in dict(whole.prj.named_children()):
            whole.prj.add_module(part, nn.Module())
        whole.prj.get_submodule(part).register_parameter(parameter, nn.Parameter(tensor))
    save_model(whole, str(tmp_path / "model.safetensors"))
    made.assert_like_peft(made.load(tmp_path, lora_alpha=8))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["codi", "my-adapter", "0"])
def test_an_adapter_may_have_any_name(name, trained, tmp_path):
    made = trained(adapter=name, target_modules=["c_attn", "wte"])
    parts = made.parts(made.save(tmp_path), lora_alpha=8)
    made.assert_parts_like_peft(parts)
    assert parts.report.settings["adapter"] == name


@pytest.mark.slow
def test_an_adapters_name_may_be_left_out(trained, tmp_path):
    """As peft's own files do."""
    made = trained(target_modules=["c_attn", "wte"])
    tensors = {key.replace(".default", ""): tensor for key, tensor in made.tensors().items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    made.assert_parts_like_peft(made.parts(tmp_path, lora_alpha=8))


# The strength ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["codi", "coconut"])
@pytest.mark.parametrize(("rank", "alpha"), [(4, 8), (9, 1), (16, 32)])
def test_rslora_as_the_user_says(rank, alpha, family, trained, tmp_path):
    made = trained(
        family=family, target_modules=["c_attn"], r=rank, lora_alpha=alpha, use_rslora=True
    )
    parts = made.parts(made.save(tmp_path), lora_alpha=alpha, use_rslora=True)
    made.assert_parts_like_peft(parts)
    assert parts.report.settings["use_rslora"] is True


PATTERNS = [
    {},
    {"use_rslora": True},
    {"lora_alpha": 3},
    {"rank_pattern": {"c_proj": 2}},
    {"rank_pattern": {"h.1.attn.c_proj": 2, "c_proj": 7}, "use_rslora": True},
    {"alpha_pattern": {"mlp.c_fc": 1}},
    {"alpha_pattern": {"c_fc": 24, r"h\.[01]\..*": 2}},
    {"rank_pattern": {"mlp.c_proj": 6}, "alpha_pattern": {"attn.c_proj": 20}, "use_rslora": True},
    {"rank_pattern": {"^h.0.attn.c_attn": 3}},
    {"target_modules": r".*h\.[02]\..*c_(fc|attn)"},
    {"target_modules": "all-linear"},
    {"layers_to_transform": [1, 2]},
    {"fan_in_fan_out": True},
    {"fan_in_fan_out": False},
    {"bias": "all"},
    {"init_lora_weights": "gaussian"},
    {"target_modules": ["wte", "lm_head", "c_attn"], "alpha_pattern": {"wte": 30}},
]


# What stands before the keys is off them before LoRA is looked for: Coconut's needs a few alone.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "lora"),
    [("codi", each) for each in PATTERNS] + [("coconut", each) for each in PATTERNS[:5]],
    ids=str,
)
def test_the_strength_is_what_the_adapters_configuration_says(family, lora, trained, tmp_path):
    made = trained(family=family, **{"target_modules": GPT2} | lora)
    parts = made.parts(made.save(tmp_path, with_config=True))
    made.assert_parts_like_peft(parts)
    assert "adapter_config.json" in str(parts.report)


@pytest.mark.slow
def test_the_configuration_that_peft_itself_writes(trained, tmp_path):
    made = trained("llama", target_modules=LLAMA, rank_pattern={"q_proj": 8}, use_rslora=True)
    made.net.save_pretrained(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    parts = made.parts(made.save(tmp_path))
    made.assert_parts_like_peft(parts)
    assert parts.report.settings["lora_rank"] == "4, 8"


@pytest.mark.slow
def test_what_the_user_says_may_repeat_the_configuration(trained, tmp_path):
    made = trained(target_modules=GPT2, use_rslora=True)
    folder = made.save(tmp_path, with_config=True)
    made.assert_parts_like_peft(made.parts(folder, lora_alpha=8, use_rslora=True))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"lora_alpha": 32}, "lora_alpha=8, where lora_alpha=32"),
        ({"use_rslora": True}, "use_rslora=False, where use_rslora=True"),
    ],
)
def test_what_the_user_says_against_the_configuration(said, words, with_lora, tmp_path):
    made = with_lora()
    folder = made.save(tmp_path, with_config=True)
    with pytest.raises(ValueError, match=words):
        made.load(folder, **said)


def test_what_is_registered_against_the_configuration(with_lora, tmp_path):
    made = with_lora()
    folder = made.save(tmp_path, with_config=True)
    register_checkpoint(str(folder), CheckpointInfo("codi", made.base, 3, lora_alpha=32))
    with pytest.raises(ValueError, match="lora_alpha=8, where lora_alpha=32"):
        ContinuousThoughtModel.from_pretrained(str(folder))


@pytest.mark.slow
def test_a_registered_checkpoint_with_rslora(trained, tmp_path):
    made = trained(target_modules=GPT2, use_rslora=True)
    info = CheckpointInfo("codi", made.base, 3, lora_alpha=8, use_rslora=True)
    register_checkpoint(str(made.save(tmp_path)), info)
    made.assert_like_peft(ContinuousThoughtModel.from_pretrained(str(tmp_path), validate=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r": 16}, r"LoRA of rank 16; in .* it has rank 4"),
        ({"rank_pattern": {"c_fc": 2}}, r"mlp\.c_fc has LoRA of rank 2"),
        ({"target_modules": ["c_attn", "c_proj"]}, "none of the target_modules"),
        ({"target_modules": "c_(attn|proj)"}, "none of the target_modules"),
        ({"use_dora": True}, "use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"target_parameters": ["c_fc.weight"]}, "target_parameters"),
        ({"lora_bias": True}, "lora_bias"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"an_option_of_tomorrow": 1}, "an_option_of_tomorrow"),
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"r": 0}, "not a configuration of LoRA"),
        ({"r": "4"}, "not a configuration of LoRA"),
        ({"lora_alpha": None}, "not a configuration of LoRA"),
        ({"lora_alpha": float("nan")}, "not a configuration of LoRA"),
        ({"rank_pattern": {"c_fc": "8"}}, "not a configuration of LoRA"),
        ({"alpha_pattern": [8]}, "not a configuration of LoRA"),
    ],
)
def test_a_configuration_that_does_not_fit(changes, words, with_lora, tmp_path):
    made = with_lora()
    folder = made.save(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        made.load(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"{}", b"null"])
def test_a_damaged_configuration(content, with_lora, tmp_path):
    made = with_lora()
    (made.save(tmp_path) / "adapter_config.json").write_bytes(content)
    with pytest.raises(ValueError, match="not a configuration of LoRA"):
        made.load(tmp_path, lora_alpha=8)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_configuration_is_none(content, with_lora, tmp_path):
    made = with_lora()
    (made.save(tmp_path) / "adapter_config.json").write_bytes(content)
    made.assert_parts_like_peft(made.parts(tmp_path, lora_alpha=8))
    with pytest.raises(ValueError, match="Give lora_alpha="):
        made.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["codi", "coconut"])
def test_a_configuration_beside_weights_without_lora(family, trained, tmp_path):
    """The LoRA may lie in a file that is not read."""
    made = trained(family=family, target_modules=GPT2)
    config = made.config()
    made.net = made.net.merge_and_unload()
    tensors = made.tensors() if family == "codi" else None
    if tensors is None:
        tensors = {f"base_causallm.{key}": tensor for key, tensor in made.net.state_dict().items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"describes LoRA, and .* has none"):
        made.load(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    made.assert_parts_like_peft(made.parts(tmp_path))


# What is no plain LoRA ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["codi", "coconut"])
@pytest.mark.parametrize(
    ("lora", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"use_dora": True, "target_modules": ["wte"]}, "DoRA"),
        ({"modules_to_save": ["wte"]}, "modules_to_save"),
        ({"modules_to_save": ["lm_head", "ln_f"]}, "modules_to_save"),
        ({"trainable_token_indices": [1, 2]}, "trainable tokens"),
        ({"trainable_token_indices": {"wte": [201]}}, "trainable tokens"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"rank_pattern": {"c_fc": 2}}, "rank_pattern"),
        ({"rank_pattern": {"h.0.attn.c_attn": 16, "c_fc": 2}}, "rank_pattern"),
        ({"kind": LoHaConfig, "target_modules": ["lm_head"]}, "another method than LoRA"),
    ],
    ids=str,
)
def test_what_peft_has_besides_is_called_by_its_name(family, lora, words, trained, tmp_path):
    made = trained(family=family, **{"target_modules": GPT2} | lora)
    with pytest.raises(ValueError, match=words) as error:
        made.load(made.save(tmp_path), lora_alpha=8)
    advice = "adapter_config.json" if words == "rank_pattern" else "merge_and_unload()"
    assert advice in str(error.value)


def test_several_adapters(trained, tmp_path):
    made = trained(target_modules=["c_attn"])
    made.net.add_adapter("second", LoraConfig(r=2, target_modules=["c_attn"]))
    with pytest.raises(ValueError, match=r"several LoRA adapters, \['default', 'second'\]"):
        made.load(made.save(tmp_path), lora_alpha=8)


def test_quantised_weights(trained, tmp_path):
    made = trained(target_modules=["c_attn"])
    key = "codi.base_model.model.transformer.h.0.attn.c_attn.base_layer.weight"
    tensors = made.tensors() | {f"{key}.absmax": torch.ones(3), f"{key}.quant_map": torch.ones(16)}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="quantised weights"):
        made.load(tmp_path, lora_alpha=8)


@pytest.mark.slow
def test_the_advice_for_dora_works(trained, tmp_path):
    """Merged where it was trained, it loads and gives what it gave before."""
    made = trained(target_modules=GPT2, use_dora=True)
    merged = trained(target_modules=GPT2, use_dora=True)
    merged.net = merged.net.merge_and_unload()
    made.assert_like_peft(merged.load(merged.save(tmp_path)))


# Wrappers -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["codi", "coconut"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda key: f"module.{key}",
        lambda key: f"_orig_mod.{key}",
        lambda key: f"module._orig_mod.{key}",
        lambda key: f"_orig_mod.module.{key}",
        lambda key: f"module.module.{key}",
        lambda key: f"_fsdp_wrapped_module.{key}",
        lambda key: key.replace("h.1.", "h.1._checkpoint_wrapped_module._fsdp_wrapped_module."),
        lambda key: re.sub(r"^(codi|base_causallm)\.", r"\1._orig_mod.", key),
        lambda key: re.sub(r"^(codi|base_causallm)\.", r"\1.module.", key),
    ],
    ids=[
        "DDP",
        "compile",
        "DDP(compile)",
        "compile(DDP)",
        "DDP(DP)",
        "FSDP",
        "FSDP inside",
        "compile inside",
        "DDP inside",
    ],
)
def test_the_names_of_wrappers_are_taken_off(family, wrap, with_lora, tmp_path):
    made = with_lora(family)
    tensors = {wrap(key): tensor for key, tensor in made.tensors().items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    loaded = made.parts(tmp_path, lora_alpha=8)
    made.assert_parts_like_peft(loaded)
    parts = {part for key in tensors for part in key.split(".")} & {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
    }
    assert len(loaded.report.notes) == len(parts) > 0
    assert all(f"took '{part}.' out of" in str(loaded.report) for part in parts)


def test_a_key_with_and_without_the_name_of_a_wrapper(with_lora, tmp_path):
    made = with_lora()
    torch.save(
        made.tensors() | {"module.prj.1.bias": torch.ones(48)}, tmp_path / "pytorch_model.bin"
    )
    with pytest.raises(ValueError, match=r"'prj\.1\.bias' twice"):
        made.load(tmp_path, lora_alpha=8)


@pytest.mark.parametrize("folder", [CODI, COCONUT], ids=["codi", "coconut"])
def test_nothing_is_noted_of_a_plain_checkpoint(folder):
    said = {"base": folder / "base", "lora_alpha": 32, "n_thoughts": 6, "validate": False}
    model = ContinuousThoughtModel.from_pretrained(folder, **said)
    assert model.load_report.notes == ()
