"""Reads PCCoT checkpoints (Wu et al. 2025, arXiv:2506.18582): all thoughts at once, in passes.

They are what peft keeps of training: LoRA under `base_model.model.*` and the embeddings of the
tokens that were added, on a base whose own weights are needed. `config.json` says how many passes
there are, `pccot_args.json` what text stands behind the token that closes the thoughts. In the
first pass one more token stands in the place of every thought.

In the authors' padded batches thoughts attend to the padding too, since their passes are given no
mask; here they never do, which is what their code gives for one question at a time.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cot_attn.checkpoints._base import Base, read_base
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints._weights import Weights
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.checkpoints.report import Setting
from cot_attn.models.feedback import Feedback, Identity
from cot_attn.models.jacobi import Jacobi
from cot_attn.models.template import Template

PLACEHOLDER = "<pcot.latent>"
_SETTINGS = "pccot"
_FILES = {"config.json": ("num_iterations",), "pccot_args.json": ("answer_prompt",)}


class Pccot(Format):
    """The format of PCCoT's checkpoints."""

    family = "pccot"
    title = "PCCoT"
    prefix = ""
    added = AddedTokens(
        ("<pcot.bot>", "<pcot.eot>", PLACEHOLDER, "[PAD]"), bot="<pcot.bot>", eot="<pcot.eot>"
    )
    on_base = True

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether there are trained tokens beside LoRA; without, it looks like any adapter."""
        return any(key.startswith("base_model.") and ".token_adapter." in key for key in keys)

    def accepts(self, keys: Iterable[str]) -> bool:
        """Whether keys can be those of such a checkpoint when the user says so."""
        return any(key.startswith("base_model.model.") for key in keys)

    def base(self, source: str, weights: Weights) -> Base:
        """Return the base, with what the checkpoint's own files say beside its configuration."""
        base = read_base(source)
        config = copy.deepcopy(base.config)
        setattr(config, _SETTINGS, _said(weights.folder))
        return Base(base.source, config, base.tokenizer)

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        tokenizer = vocabulary.base.tokenizer
        words = tokenizer(_settings(vocabulary)["answer_prompt"], add_special_tokens=False)
        return Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot, *words["input_ids"]),
            eos=vocabulary.base.eos,
            answer_marker=info.answer_marker,
        )

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return nothing: the hidden state is fed back as it is."""
        return {}

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the passes over the hidden states."""
        names = vocabulary.base.tokenizer.get_vocab()
        if PLACEHOLDER not in names:
            raise ValueError(
                f"The added tokens of this checkpoint have not the ids that PCCoT's training "
                f"gives, so that the one of {PLACEHOLDER} is not known. Give as base= the model "
                "that it was trained from, as it was before tokens were added."
            )
        return Jacobi(Identity(), _settings(vocabulary)["num_iterations"], names[PLACEHOLDER])

    def settings(self, info: CheckpointInfo, feedback: Feedback) -> dict[str, Setting]:
        """Return the number of passes."""
        return {"n_iterations": feedback.n_iterations if isinstance(feedback, Jacobi) else None}


def _settings(vocabulary: Vocabulary) -> dict[str, Any]:
    found: dict[str, Any] = getattr(vocabulary.base.config, _SETTINGS)
    return found


def _said(folder: Path) -> dict[str, Any]:
    """Return what the files beside a checkpoint say of its passes and of the answer."""
    said: dict[str, Any] = {}
    for name, wanted in _FILES.items():
        file = folder / name
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.get("use_projection"):
                raise ValueError(
                    f"{file} says use_projection=true, which is not read: the public checkpoint "
                    "has none, so that nothing is known of how its tensors are stored."
                )
            said |= {each: content[each] for each in wanted}
        except (OSError, json.JSONDecodeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{file} does not say {' and '.join(wanted)} ({error!r}). Copy it again, as "
                "PCCoT's training wrote it."
            ) from error
    return said
