"""Tiny models that every test can use; nothing here needs a network.

What takes seconds to import is imported where it is used: the process that only hands tests out to
`pytest -n` reads this file too, and so do tests that need no model.
"""

from __future__ import annotations

import gc
import os
import re
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Workers and the programs that tests start would fight for the cores with a thread for each.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import type_checks

if TYPE_CHECKING:
    from transformers import (
        GPT2LMHeadModel,
        LlamaForCausalLM,
        PreTrainedModel,
        PreTrainedTokenizerFast,
    )

    from cot_attn.data import Problem
    from cot_attn.models import ContinuousThoughtModel, Feedback, Template

type_checks.make_affordable()
# Where nobody watches, the same examples each time; at a desk, new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what is imported, a million objects: not now and never again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark docstrings' examples that load or build a model: they take seconds.

    Tests that wait for other processes come first: at the end, a worker would wait with them.
    """
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            lines = "".join(example.source for example in item.dtest.examples)
            if re.search(r"from_pretrained\(|handmade_model\(|run_study\(", lines):
                item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def fonts_without_what_a_pdf_has_no_use_for() -> None:
    """Leave tables out that lay text out: to find what they need takes most of a PDF's time."""
    from fontTools.subset import Options

    Options._drop_tables_default = [*Options._drop_tables_default, "GDEF", "GPOS", "GSUB"]


@pytest.fixture(autouse=True)
def checkpoints_known_to_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test leave a checkpoint registered that another one would then know."""
    from cot_attn.checkpoints import registry

    monkeypatch.setattr(registry, "_KNOWN", dict(registry._KNOWN))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--read-anew",
        action="store_true",
        help="read bundled models from their files each time, as all tests must pass too",
    )


@contextmanager
def not_laid_out() -> Generator[None, None, None]:
    """Leave figures' layout out where nothing is said of it; it takes most of their time."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        yield


@pytest.fixture
def figures_not_laid_out() -> Generator[None, None, None]:
    with not_laid_out():
        yield


@contextmanager
def noise_floor_left_out() -> Generator[None, None, None]:
    """Measure no noise floor where nothing is said of it; it takes as long as some variants."""
    from cot_attn.interventions import variants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "measured_floor", lambda *_, **__: {})
        yield


@pytest.fixture(scope="module")
def no_noise_floor() -> Generator[None, None, None]:
    with noise_floor_left_out():
        yield


class Lender:
    """Lends bundled models to tests and doctests, and lets those marked `reads` read them anew."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if "cot_attn.models.continuous" in sys.modules:
            from lent_models import LENT

            anew = item.config.getoption("--read-anew") or item.get_closest_marker("reads")
            LENT.lend(not anew)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Lender())  # a hook in this file would not see doctests


VOCABULARY = 60
EOS, BOT, EOT = VOCABULARY - 3, VOCABULARY - 2, VOCABULARY - 1


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word: w0 .. w29, then the numbers 0 .. 26."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [f"w{i}" for i in range(30)] + [str(i) for i in range(VOCABULARY - 33)]
    vocabulary = {word: i for i, word in enumerate([*words, "<eos>", "<bot>", "<eot>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<eos>", "<bot>", "<eot>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", unk_token="w0"
    )


def tiny_gpt2(n_layer: int = 3) -> GPT2LMHeadModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=96,
        n_embd=32,
        n_layer=n_layer,
        n_head=4,
        initializer_range=0.15,
        bos_token_id=None,
        eos_token_id=EOS,
    )
    return GPT2LMHeadModel(config).eval()


def tiny_llama(n_layer: int = 3) -> LlamaForCausalLM:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=n_layer,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        initializer_range=0.15,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config).eval()


def wrap(
    hf_model: PreTrainedModel,
    feedback: Feedback,
    n_thoughts: int = 4,
    template: Template | None = None,
) -> ContinuousThoughtModel:
    from transformer_lens.model_bridge import TransformerBridge

    from cot_attn.models import ContinuousThoughtModel, Template

    tokenizer = tiny_tokenizer()
    bridge = TransformerBridge.boot_transformers(
        "tiny", hf_model=hf_model, tokenizer=tokenizer, device="cpu"
    )
    template = template or Template(bot=(BOT,), eot=(EOT,), eos=EOS, suppressed=(BOT, EOT))
    return ContinuousThoughtModel(bridge, feedback, template, n_thoughts, tokenizer=tokenizer)


BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {"gpt2": tiny_gpt2, "llama": tiny_llama}


@pytest.fixture(scope="session", params=["gpt2-projection", "gpt2-identity", "llama-projection"])
def tiny(request: pytest.FixtureRequest) -> ContinuousThoughtModel:
    """A random model of every architecture and feedback."""
    import torch

    from cot_attn.models import Identity, Projection

    architecture, feedback = request.param.split("-")
    torch.manual_seed(7)
    hf_model = BUILDERS[architecture]()
    return wrap(hf_model, Projection(32, 40) if feedback == "projection" else Identity())


@pytest.fixture(scope="session")
def tiny_gpt2_model() -> ContinuousThoughtModel:
    """One random GPT-2 with a projection, where the architecture does not matter."""
    import torch

    from cot_attn.models import Projection

    torch.manual_seed(7)
    return wrap(tiny_gpt2(), Projection(32, 40))


@pytest.fixture(scope="session")
def questions() -> list[str]:
    """Questions of mixed lengths."""
    import torch

    generator = torch.Generator().manual_seed(3)
    lengths = [3, 11, 1, 7, 19, 5, 7, 2]
    return [
        " ".join(f"w{int(i)}" for i in torch.randint(0, 30, (length,), generator=generator))
        for length in lengths
    ]


@pytest.fixture(scope="session")
def problems(tiny: ContinuousThoughtModel, questions: list[str]) -> list[Problem]:
    """Problems whose gold answer is what the model says; where it says nothing, it is wrong."""
    from cot_attn.data import Problem

    run = tiny.run(questions, max_new_tokens=6)
    return [
        Problem(f"p{i}", question, answer or "w0", answer_type="text", difficulty=1 + i % 3)
        for i, (question, answer) in enumerate(zip(questions, run.answers, strict=True))
    ]
