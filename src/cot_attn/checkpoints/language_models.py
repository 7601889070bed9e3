"""Any causal language model becomes one that thinks: nothing of it is trained for that."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from cot_attn.checkpoints.loading import chosen_device, chosen_dtype
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.models.feedback import Feedback, Identity
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template


class LanguageModelOptions(TypedDict, total=False):
    """The options of `load_language_model`."""

    feedback: Feedback | None
    n_thoughts: int
    stop: StopRule | None
    tokenizer: PreTrainedTokenizerBase | str | PathLike[str] | None
    chat_template: bool | str | None
    system: str | None
    bot: str | None
    eot: str
    eos: str | None
    answer_marker: str | None
    name: str | None
    revision: str | None
    dtype: torch.dtype | str
    device: str | torch.device | None


_MARK = "QUESTION"  # where a chat template puts the question


def load_language_model(
    model: str | PathLike[str] | PreTrainedModel,
    *,
    feedback: Feedback | None = None,
    n_thoughts: int = 6,
    stop: StopRule | None = None,
    tokenizer: PreTrainedTokenizerBase | str | PathLike[str] | None = None,
    chat_template: bool | str | None = None,
    system: str | None = None,
    bot: str | None = None,
    eot: str = "The answer is",
    eos: str | None = None,
    answer_marker: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: str | torch.device | None = None,
) -> ModelParts:
    """Read any causal language model as the parts of one that thinks.

    `ContinuousThoughtModel.from_language_model` takes the same arguments and builds the model.

    Parameters
    ----------
    model
        A folder, a hub id, a GGUF file, or a Hugging Face model in memory.
    feedback
        How a thought is made, such as `SoftThinking()`; by default the hidden state itself.
    n_thoughts
        How many thoughts a run has unless it is told otherwise; with `stop`, at most.
    stop
        When a problem has thought enough, such as `EntropyBelow(0.1)`; by default all think the
        same number of thoughts.
    tokenizer
        A tokenizer, or the folder or hub id of one; by default the model's own.
    chat_template
        Whether the question is put into the tokenizer's chat template, or a template (Jinja) to
        put it into. By default the tokenizer's, where it has one.
    system
        What a chat template is given as the system's message, if anything.
    bot
        Text that closes the question; its last token predicts thought 0. By default what the chat
        template puts behind a question, and a line break without one.
    eot
        Text that closes the thoughts; its last token predicts the answer.
    eos
        The token that ends an answer; by default the tokenizer's EOS, where the model's generation
        settings have it, and otherwise the first of theirs.
    answer_marker
        Text after which the answer's value stands, where the model writes one.
    name
        What results call the model.
    revision
        Branch, tag or commit on the hub.
    dtype, device
        As in `load`; a model in memory stays where and as it is.

    Raises
    ------
    FileNotFoundError
        Where there is no such model or tokenizer, or the hub cannot be reached.
    ImportError
        Where a GGUF file is given and the package `gguf` is missing.
    ValueError
        Where the files are damaged, the model has no unembedding, a chat template is asked for and
        there is none, a text has no tokens, or no token ends an answer.
    """
    in_memory = False
    if isinstance(model, PreTrainedModel):
        if model.get_output_embeddings() is None:
            raise ValueError(
                f"{type(model).__name__} has no unembedding, so it predicts no token. Give a "
                "causal language model, such as AutoModelForCausalLM makes of the same files."
            )
        in_memory, language_model, source = True, model, str(model.config.name_or_path)
    else:
        source = str(Path(str(model)).expanduser()) if str(model).startswith("~") else str(model)
        dtype = chosen_dtype(dtype)
        language_model = _model(source, revision, dtype)
        language_model.to(  # type: ignore[call-arg]  # wrapped in transformers
            device=chosen_device(device), dtype=dtype
        )
    words = _tokenizer(tokenizer, source, revision, in_memory)
    template = _template(language_model, words, chat_template, system, bot, eot, eos, answer_marker)
    called = name or Path(source).stem or type(language_model).__name__
    language_model.requires_grad_(False).eval()
    loop = Identity() if feedback is None else feedback
    loop.requires_grad_(False)
    return ModelParts(language_model, words, loop, template, n_thoughts, called, stop=stop)


def _model(source: str, revision: str | None, dtype: torch.dtype) -> PreTrainedModel:
    folder, options = _where(source, revision)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", **options
        )
    except ImportError as error:
        raise ImportError(
            f"{source} needs a package that is missing ({error}). For GGUF: pip install gguf",
            name="gguf",
        ) from error
    except Exception as error:  # readers of damaged files raise anything
        raise _unreadable(source, error) from error
    if "gguf_file" in options:  # dequantised: what is stored from now on is plain
        for settings in ("quantization_config", "_pre_quantization_dtype"):
            if hasattr(model.config, settings):
                delattr(model.config, settings)
        model.is_quantized, model.hf_quantizer = False, None  # type: ignore[assignment]
    return model


def _where(source: str, revision: str | None) -> tuple[str, dict[str, Any]]:
    """Return what transformers is given for a folder, a hub id or a GGUF file."""
    path = Path(source)
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError(f"{path} is no GGUF file: it does not begin with 'GGUF'.")
        return str(path.parent), {**options, "gguf_file": path.name}
    return source, options


def _unreadable(source: str, error: Exception) -> Exception:
    cause = str(error).strip().partition("\n")[0] or type(error).__name__
    path = Path(source)
    if path.is_file():
        return ValueError(
            f"{source} cannot be read: {cause}. Is it complete ({path.stat().st_size} bytes)? "
            "Download it again."
        )
    if path.is_dir():
        return ValueError(
            f"{source} holds no causal language model that can be read: {cause}. Give a folder "
            "that save_pretrained of transformers wrote, a hub id, or a GGUF file."
        )
    return FileNotFoundError(
        f"The language model {source!r} cannot be read: {cause}. Give a folder, a hub id "
        "(owner/name), a GGUF file, or a model in memory."
    )


def _tokenizer(
    choice: PreTrainedTokenizerBase | str | PathLike[str] | None,
    source: str,
    revision: str | None,
    in_memory: bool,
) -> PreTrainedTokenizerBase:
    if isinstance(choice, PreTrainedTokenizerBase):
        return choice
    if choice is None and in_memory and not source:
        raise ValueError("A model in memory does not say its tokenizer. Give tokenizer=.")
    folder, options = _where(source, revision) if choice is None else (str(choice), {})
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise FileNotFoundError(
            f"The tokenizer of {folder} cannot be read: {error}\nGive as tokenizer= one in memory, "
            "a folder or a hub id."
        ) from error
    return tokenizer


def _template(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chat_template: bool | str | None,
    system: str | None,
    bot: str | None,
    eot: str,
    eos: str | None,
    answer_marker: str | None,
) -> Template:
    prefix, behind = "", "\n"
    tokenizer_template = getattr(tokenizer, "chat_template", None)
    if chat_template is True and not tokenizer_template:
        raise ValueError(
            "A chat template was asked for, and the tokenizer has none. Give its text as "
            "chat_template=, or chat_template=False for the bare question."
        )
    if chat_template or (chat_template is None and tokenizer_template):
        text = chat_template if isinstance(chat_template, str) else None
        prefix, behind = _around(tokenizer, text, system)
    elif system is not None:
        raise ValueError("A system message needs a chat template. Leave out system=.")
    return Template(
        bot=_ids("bot", tokenizer, behind if bot is None else bot),
        eot=_ids("eot", tokenizer, eot),
        eos=_eos(model, tokenizer, eos),
        question_prefix=_without_start(tokenizer, prefix),
        answer_marker=answer_marker,
    )


def _around(
    tokenizer: PreTrainedTokenizerBase, template: str | None, system: str | None
) -> tuple[str, str]:
    """Return what a chat template puts before a question and behind it."""
    messages = [{"role": "user", "content": _MARK}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    try:
        text = str(
            tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        )
    except Exception as error:  # Jinja's own errors
        raise ValueError(f"The chat template cannot be filled in: {error}") from error
    if text.count(_MARK) != 1:
        raise ValueError(
            f"The chat template puts the question into the text {text.count(_MARK)} times; it must "
            "be there once."
        )
    prefix, _, behind = text.partition(_MARK)
    if not behind:
        raise ValueError("The chat template puts nothing behind the question. Give bot=.")
    return prefix, behind


def _without_start(tokenizer: PreTrainedTokenizerBase, prefix: str) -> str:
    """Return the prefix without a start token that the tokenizer adds itself."""
    start = tokenizer.bos_token
    if not start or not prefix.startswith(str(start)):
        return prefix
    adds = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return prefix.removeprefix(str(start)) if adds else prefix


def _ids(name: str, tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise ValueError(f"{name} is {text!r}, which has no tokens. Give other text.")
    return tuple(ids)


def _eos(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str | None) -> int:
    if text is not None:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise ValueError(f"eos is {text!r}, which has {len(ids)} tokens. Give one token.")
        return int(ids[0])
    tokenizer_eos = tokenizer.eos_token_id
    settings = getattr(model, "generation_config", None)
    said = getattr(settings, "eos_token_id", None)
    said = model.config.eos_token_id if said is None else said
    ends = [] if said is None else list(said) if isinstance(said, Iterable) else [said]
    if tokenizer_eos is not None and (not ends or tokenizer_eos in ends):
        return int(tokenizer_eos)
    if not ends:
        raise ValueError(
            "Neither model nor tokenizer has an EOS, so no answer would end. Give eos=."
        )
    return int(ends[0])
