"""Reads Coconut checkpoints (Hao et al. 2024, arXiv:2412.06769), SIM-CoT's among them.

One state dict holds the language model as `base_causallm.*` and its input embedding once more as
`embedding.weight`. The vocabulary has three tokens more than the base: start, end and a
placeholder where a thought is fed. SIM-CoT adds `expainable_llm.*` (so spelt), an auxiliary decoder
that is for training only.
"""

from collections.abc import Iterable

from cot_attn.models.base import Base
from cot_attn.models.build import blank_model, embedding_name, language_model, tied_names
from cot_attn.models.causes import likely_cause
from cot_attn.models.converted import Converted
from cot_attn.models.feedback import Identity
from cot_attn.models.keys import check_finite, compare, take_known, take_repeats
from cot_attn.models.registry import CheckpointInfo
from cot_attn.models.template import Template
from cot_attn.models.weights import Weights

ADDED_TOKENS = ("<|start-latent|>", "<|end-latent|>", "<|latent|>")

_PREFIX = "base_causallm."


def is_coconut(keys: Iterable[str]) -> bool:
    """Whether keys are those of a Coconut checkpoint."""
    return any(key.startswith(_PREFIX) for key in keys)


def convert_coconut(weights: Weights, base: Base, info: CheckpointInfo) -> Converted:
    """Turn a Coconut state dict into a plain language model, its feedback and its template.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    base
        The model that it was trained from, before tokens were added.
    info
        What its files do not say.

    Raises
    ------
    ValueError
        Where a key is missing, not expected, or of the wrong shape, a number is not finite, or two
        copies of a tied tensor differ.
    """
    grown = base.grown(ADDED_TOKENS)
    blank = blank_model(grown.config)
    given = dict(weights.tensors)
    ties = tied_names(blank)
    embedding = _PREFIX + embedding_name(blank)
    repeats = {_PREFIX + name: _PREFIX + first for name, first in ties.items()}

    unused = take_known(given, info.unused)
    repeated = take_repeats(given, {**repeats, "embedding.weight": embedding}, weights.where)
    untied = {name: _PREFIX + name for name in blank.state_dict() if name not in ties}
    wanted = {key: tuple(blank.state_dict()[name].shape) for name, key in untied.items()}
    if misfit := compare(wanted, given):
        cause = likely_cause(misfit, given, embedding, base.n_vocabulary, len(ADDED_TOKENS))
        raise misfit.error(weights.where, f"a Coconut model on the base {base.source}", cause)
    check_finite(given, weights.where)
    return Converted(
        language_model=language_model(
            grown.config, {name: given[key] for name, key in untied.items()}
        ),
        tokenizer=grown.tokenizer,
        feedback=Identity(),
        template=_template(base, info),
        n_tensors=len(wanted),
        repeated=repeated,
        unused=unused,
        settings={},
    )


def _template(base: Base, info: CheckpointInfo) -> Template:
    start, end = base.n_vocabulary, base.n_vocabulary + 1
    return Template(
        bot=(start,),
        eot=(end,),
        eos=base.eos,
        question_suffix="\n",
        # Coconut's decoding looks for EOS from the second answer token on.
        stop_at_first=False,
        answer_marker=info.answer_marker,
    )
