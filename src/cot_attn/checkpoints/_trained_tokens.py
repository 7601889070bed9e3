"""Embeddings of single tokens that peft trained, put into their places."""

import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cot_attn.checkpoints._adapter_config import NAME, TRAINED_TOKENS
from cot_attn.checkpoints._weights import Weights

TOKENS = ".token_adapter."
"""What peft puts into the names of these."""
_ROWS, _TABLE = f"{TOKENS}trainable_tokens_delta", f"{TOKENS}base_layer.weight"


def with_trained_tokens(tensors: Mapping[str, Tensor], weights: Weights) -> dict[str, Tensor]:
    """Return tensors with each embedding whole, where peft keeps the rows that it trained apart.

    Parameters
    ----------
    tensors
        What a checkpoint and its base hold, by name.
    weights
        The checkpoint, whose `adapter_config.json` says which tokens' rows they are.

    Raises
    ------
    ValueError
        Where that file does not say it, or says other tokens than there are rows.
    """
    whole = dict(tensors)
    for key in [each for each in tensors if _ROWS in each]:
        module = key.partition(_ROWS)[0]
        rows, name = whole.pop(key), f"{module}.weight"
        tokens = _tokens(weights, module.rpartition(".")[2])
        table = whole.pop(module + _TABLE, whole.get(name))
        if table is None or len(tokens) != len(rows) or rows.shape[1:] != table.shape[1:]:
            raise ValueError(
                f"{weights.where} has {len(rows)} rows of trained tokens for {module}, and {NAME} "
                f"names {len(tokens)} tokens, or they are of another width. Copy both again."
            )
        added = sorted(token for token in tokens if token >= len(table))
        if added != list(range(len(table), len(table) + len(added))):
            raise ValueError(
                f"{weights.where} holds embeddings of the tokens {added}, and its base ends with "
                f"token {len(table) - 1}: those between have none. Give as base= the model that it "
                "was trained from."
            )
        grown = torch.cat([table.float(), rows.new_zeros(len(added), rows.shape[1]).float()])
        grown[tokens] = rows.float()
        whole[name] = grown
    return whole


def _tokens(weights: Weights, module: str) -> Sequence[int]:
    """Return the tokens whose rows of a module were trained, in their order."""
    file = weights.folder / NAME
    try:
        said = json.loads(file.read_text(encoding="utf-8"))[TRAINED_TOKENS]
        # The unembedding that is tied to the embedding has the same rows, and no entry.
        listed = said if isinstance(said, list) else said.get(module) or next(iter(said.values()))
        return [int(token) for token in listed]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(
            f"{weights.where} holds embeddings of trained tokens, and {file} does not say of which "
            f"({error!r}). Copy it again, as peft wrote it."
        ) from error
