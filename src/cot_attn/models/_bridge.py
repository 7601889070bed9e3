"""A TransformerLens bridge round a language model, whose weights stay as they were trained."""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.activations import GELUTanh, NewGELUActivation


def bridged(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
) -> TransformerBridge:
    """Return a bridge round a model, where it is and in its type.

    TransformerLens changes the tokenizer that it is given, so it gets a copy. It reads one that has
    a start token again from its files; one that was made in memory has none.
    """
    _fuse_activations(model)
    copied = copy.deepcopy(tokenizer)
    if "name_or_path" not in copied.init_kwargs:
        copied.bos_token = None
    _let_read_anything(copied)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        return TransformerBridge.boot_transformers(
            name, hf_model=model, tokenizer=copied, dtype=model.dtype, device=model.device
        )


def _let_read_anything(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer of few words, which refuses others, a token for those.

    TransformerLens tries a tokenizer out on a word of its own.
    """
    try:
        tokenizer("a")
    except Exception:  # the tokenizers library raises bare Exceptions
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise
        tokenizer.backend_tokenizer.model.unk_token = next(iter(tokenizer.get_vocab()))


def _fuse_activations(model: PreTrainedModel) -> None:
    """Compute GPT-2's GELU in one step in place of eight; it is the same function.

    Below float32 each of the eight rounds, so that there it is not the same.
    """
    if model.dtype not in (torch.float32, torch.float64):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is NewGELUActivation:
                setattr(module, name, GELUTanh())


def every_module(*roots: nn.Module) -> Iterator[nn.Module]:
    """Yield modules and all that is in them, each once.

    A bridge has hundreds, in one another several times; PyTorch's own `modules` also works out
    their names, which takes longer than a small model's step.
    """
    seen: set[int] = set()
    waiting: list[nn.Module | None] = list(roots)
    while waiting:
        module = waiting.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        waiting.extend(module._modules.values())


def check_unprocessed(bridge: TransformerBridge) -> None:
    """Raise where TransformerLens has folded weights of a bridge into one another.

    Its compatibility mode and `process_weights` fold the final norm into the unembedding: logits
    stay, but the hidden state that becomes a thought is another vector.

    Raises
    ------
    ValueError
        Where it has.
    """
    done = [
        what
        for flag, what in (
            ("compatibility_mode", "is in TransformerLens' compatibility mode"),
            ("_weights_processed", "has weights that `process_weights` has changed"),
        )
        if getattr(bridge, flag, False)
    ]
    if done:
        raise ValueError(
            f"The bridge {' and '.join(done)}: the final norm is folded into the unembedding, so "
            "what it would feed back is not the thought that the model was trained with. Load the "
            "model again, and use it without enable_compatibility_mode() and process_weights(); "
            "a second copy can be used with them for other work."
        )
