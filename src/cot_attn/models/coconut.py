"""Reads Coconut checkpoints (Hao et al. 2024, arXiv:2412.06769), SIM-CoT's among them.

One state dict holds the language model as `base_causallm.*` and its input embedding once more as
`embedding.weight`. The vocabulary has three tokens more than the base: start, end and a
placeholder where a thought is fed. SIM-CoT adds `expainable_llm.*` (so spelt), an auxiliary decoder
that is for training only.
"""

from collections.abc import Iterable

from cot_attn.models.base import Base
from cot_attn.models.converted import Converted
from cot_attn.models.feedback import Identity
from cot_attn.models.inner import Place, read_inner
from cot_attn.models.registry import CheckpointInfo
from cot_attn.models.template import Template
from cot_attn.models.tokens import AddedTokens
from cot_attn.models.weights import Weights

_PLACE = Place(
    family="Coconut",
    prefix="base_causallm.",
    copy="embedding.",
    added=AddedTokens(
        ("<|start-latent|>", "<|end-latent|>", "<|latent|>"),
        bot="<|start-latent|>",
        eot="<|end-latent|>",
    ),
)


def is_coconut(keys: Iterable[str]) -> bool:
    """Whether keys are those of a Coconut checkpoint."""
    return any(key.startswith(_PLACE.prefix) for key in keys)


def convert_coconut(weights: Weights, base: Base, info: CheckpointInfo) -> Converted:
    """Turn a Coconut state dict into a plain language model, its feedback and its template.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from.
    info
        What its files do not say.

    Raises
    ------
    ValueError
        Where the checkpoint does not fit; see `read_inner`.
    """
    inner = read_inner(weights, base, info, _PLACE, {})
    vocabulary = inner.vocabulary
    return Converted(
        language_model=inner.language_model,
        tokenizer=vocabulary.base.tokenizer,
        feedback=Identity(),
        template=Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            question_suffix="\n",
            # Coconut's decoding looks for EOS from the second answer token on.
            stop_at_first=False,
            answer_marker=info.answer_marker,
        ),
        n_tensors=inner.n_tensors,
        repeated=inner.repeated,
        unused=inner.unused,
        settings=inner.settings,
        notes=inner.notes,
    )
