"""Why a checkpoint most likely does not fit."""

from collections.abc import Collection

from cot_attn.checkpoints._state_dict import Shape, StateDictDiff


def mismatch_hint(
    diff: StateDictDiff, keys: Collection[str], embedding: str, n_base: int, n_added: int
) -> str:
    """Return a sentence about what most likely went wrong.

    Parameters
    ----------
    diff
        The keys at fault.
    keys
        All keys of the checkpoint.
    embedding
        The key of the input embedding.
    n_base, n_added
        Number of token ids that the base has, and that the family adds.
    """
    at_fault = [*diff.missing, *diff.unexpected, *diff.misshapen]
    if any(".lora_" in key for key in keys) and not any(".base_layer." in key for key in keys):
        return (
            "The likely cause: a LoRA file without its base. A CODI checkpoint holds the base "
            "model's tensors as well (`.base_layer`); save the whole state dict."
        )
    if all(".lora_" in key for key in at_fault):
        return (
            "The likely cause: LoRA halves that do not belong together, or a damaged file. Every "
            "adapted module needs both halves, of one rank."
        )
    if all(key.startswith("prj.") for key in at_fault):
        return "The likely cause: a projection of another form, or a damaged file."
    if (shapes := diff.misshapen.get(embedding)) and _only_rows(diff, *shapes):
        return (
            "The likely cause: the wrong base, or another number of added tokens. The checkpoint "
            f"knows {shapes[0][0]} token ids; the base has {n_base}, and this family adds "
            f"{n_added}. If its embedding was padded or grown by other tokens as well, put its "
            "added_tokens.json beside it, or give bot= and eot=, the ids of the tokens that open "
            "and close the thoughts."
        )
    n_expected = len(set(keys)) - len(diff.unexpected)
    if n_expected == 0:
        return "The likely cause: the wrong family; none of the keys is known."
    return (
        "The likely cause: another base model, or another size of it; give the right one as base=."
    )


def _only_rows(diff: StateDictDiff, got: Shape, want: Shape) -> bool:
    """Whether all that is wrong is the number of token ids."""
    return (
        not diff.missing
        and not diff.unexpected
        and got[1:] == want[1:]
        and all(
            len(one) == len(other)
            and all(a == b or (a, b) == (got[0], want[0]) for a, b in zip(one, other, strict=True))
            for one, other in diff.misshapen.values()
        )
    )
