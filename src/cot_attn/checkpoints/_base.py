"""The model that a checkpoint was trained from: its architecture and its tokenizer."""

import copy
from collections.abc import Mapping
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

    def check_tokenizer(self) -> None:
        """Raise where the tokenizer has more tokens than the model."""
        if len(self.tokenizer) > self.n_vocabulary:
            raise ValueError(
                f"The tokenizer of {self.source} has {len(self.tokenizer)} tokens, its model "
                f"{self.n_vocabulary}. Give as base= a folder whose tokenizer and config.json "
                "belong together, as they were before training added tokens."
            )

    def grown(self, n_rows: int, tokens: Mapping[str, int]) -> "Base":
        """Return the base with another number of token ids and with names for added tokens.

        Where the tokenizer would give the names other ids (Qwen's has fewer ids than the model) or
        has one of them already, the added ids stay nameless.
        """
        config = copy.deepcopy(self.config)
        config.vocab_size = n_rows
        tokenizer = copy.deepcopy(self.tokenizer)
        names = sorted(tokens, key=lambda name: tokens[name])
        ids = range(len(tokenizer), len(tokenizer) + len(names))
        if [tokens[name] for name in names] == list(ids) and not (
            tokenizer.get_vocab().keys() & set(names)
        ):
            tokenizer.add_tokens(names, special_tokens=True)
        return Base(self.source, config, tokenizer)


def read_base(base: str | PathLike[str]) -> Base:
    """Read a base model's configuration and tokenizer, not its weights.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, hub id or file in it, or the hub cannot be reached.
    """
    source = str(Path(base).expanduser()) if str(base).startswith("~") else str(base)
    file = Path(source) / "config.json"
    if file.is_file() and not file.read_bytes().strip():
        raise FileNotFoundError(
            f"{file} is empty. Give as base= the folder or hub id of the model that the checkpoint "
            "was trained from."
        )
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"The architecture of base={source!r} cannot be read: {error}\nGive as base= the "
            "folder or hub id of the model that the checkpoint was trained from. Only its "
            "config.json and tokenizer files are needed."
        ) from error
    return Base(source, config, read_tokenizer(source))


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
