"""The model that a checkpoint was trained from: its architecture and its tokenizer."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Base:
    """The architecture and the tokenizer of a base model, from a folder or the hub.

    Attributes
    ----------
    source
        Where they were read.
    config
        The Hugging Face configuration.
    tokenizer
        Its tokenizer.
    """

    source: str
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase

    @property
    def n_vocabulary(self) -> int:
        """Number of token ids before any is added."""
        return int(self.config.vocab_size)

    @property
    def eos(self) -> int:
        """The token id that ends an answer."""
        eos = self.tokenizer.eos_token_id
        if not isinstance(eos, int):
            raise ValueError(
                f"The tokenizer of {self.source} has no EOS token, so no answer would ever end. "
                "Give as base= the model that the checkpoint was trained from."
            )
        return eos

    def grown(self, tokens: Sequence[str]) -> "Base":
        """Return the base with tokens added behind the model's last id.

        Where the tokenizer has fewer ids than the model (Qwen pads its embedding) or has one of the
        names already, names would get the wrong ids; then the added ids stay nameless.
        """
        config = copy.deepcopy(self.config)
        config.vocab_size = self.n_vocabulary + len(tokens)
        tokenizer = copy.deepcopy(self.tokenizer)
        taken = tokenizer.get_vocab().keys() & set(tokens)
        if len(tokenizer) == self.n_vocabulary and not taken:
            tokenizer.add_tokens(list(tokens), special_tokens=True)
        return Base(self.source, config, tokenizer)


def read_base(base: str | PathLike[str]) -> Base:
    """Read a base model's configuration and tokenizer, not its weights.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, hub id or file in it, or the hub cannot be reached.
    ValueError
        Where the tokenizer has more tokens than the model.
    """
    source = str(Path(base).expanduser()) if str(base).startswith("~") else str(base)
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"The architecture of base={source!r} cannot be read: {error}\nGive as base= the "
            "folder or hub id of the model that the checkpoint was trained from. Only its "
            "config.json and tokenizer files are needed."
        ) from error
    tokenizer = read_tokenizer(source)
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"The tokenizer of {source} has {len(tokenizer)} tokens, its model "
            f"{config.vocab_size}. Give as base= a folder whose tokenizer and config.json belong "
            "together, as they were before training added tokens."
        )
    return Base(source, config, tokenizer)


def read_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """Read a tokenizer from a folder or the hub; raise where there is none."""
    folder = Path(source)
    if folder.is_dir() and not any(folder.glob("*token*")) and not any(folder.glob("vocab*")):
        raise FileNotFoundError(
            f"{folder} has no tokenizer (tokenizer.json and tokenizer_config.json). Copy the base "
            "model's tokenizer files there."
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(source), local_files_only=folder.is_dir()
        )
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise FileNotFoundError(
            f"The tokenizer of {source} cannot be read: {error}\nCopy the base model's tokenizer "
            "files there again."
        ) from error
    return tokenizer
