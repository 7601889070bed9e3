"""Reads checkpoints of adaptive latent reasoning (arXiv:2511.21581), which stop by themselves.

They are stored as Hugging Face stores a language model, under `_base_model.`, with what stands
between hidden state and thought beside it in `recurrent_filter.*`: nothing, a linear map with an
RMSNorm and a bias behind it, one with a LayerNorm, or an MLP; a softmax re-embedding has no
tensors. `config.json` says which, and the ids of four tokens. START closes the question and END the
thoughts; before each thought, the logits of CONTINUE and STOP decide, greedily, whether there is
one. Answers never have the last three.

The authors' evaluation gives the question as it is, though training put "Question: " before it; so
does this.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from cot_attn.checkpoints._feedback import projection_of
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.models.feedback import Feedback, Identity
from cot_attn.models.loops import Linear, LinearRms
from cot_attn.models.reembedding import SoftmaxReembedding
from cot_attn.models.stopping import BinaryHead, StopRule
from cot_attn.models.template import Template

SETTINGS = "_inserted_LatentThinkingModelSettings"
_FILTER = "recurrent_filter."
_MLP = {"input_layer": "expand", "output_layer": "contract", "norm": "norm"}
_MODES: dict[str | None, frozenset[str]] = {
    None: frozenset(),
    "SRE": frozenset(),
    "linear": frozenset({"linear_layer.weight", "linear_layer.bias", "norm.weight", "bias"}),
    "linear_ln": frozenset(
        {"linear_layer.weight", "linear_layer.bias", "norm.weight", "norm.bias"}
    ),
    "MLP": frozenset(f"{layer}.{part}" for layer in _MLP for part in ("weight", "bias")),
}
_MODES["linear_ECF"] = _MODES["linear"]  # begun otherwise, and the same since


class Adaptive(Format):
    """The format of adaptive latent reasoning's checkpoints."""

    family = "adaptive"
    title = "adaptive latent reasoning"
    prefix = "_base_model."
    added = AddedTokens(
        ("<START>", "<END>", "<|CONTINUE|>", "<|STOP|>"), bot="<START>", eot="<END>"
    )
    answer_marker = "The answer is:"

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        said = _settings(vocabulary)
        never = (said["continue_token_id"], said["stop_token_id"], said["end_token_id"])
        return Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            suppressed=never,
            answer_marker=info.answer_marker,
        )

    def stop(self, vocabulary: Vocabulary) -> StopRule:
        """Return the head that decides between CONTINUE and STOP."""
        said = _settings(vocabulary)
        return BinaryHead(go_on=said["continue_token_id"], stop=said["stop_token_id"])

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the keys and shapes of what stands between hidden state and thought."""
        return {
            f"{_FILTER}{name}": (d_model, d_model) if "layer.weight" in name else (d_model,)
            for name in _MODES[_mode(tensors)]
        }

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return what the tensors hold, or the identity where there are none."""
        mode = _mode(tensors)
        found = {
            name.removeprefix(_FILTER): tensor
            for name, tensor in tensors.items()
            if name.startswith(_FILTER)
        }
        if mode is None:
            said = _settings(vocabulary)
            no_words = (said["continue_token_id"], said["stop_token_id"])
            if said["recurrent_filter_mode"] == "SRE":
                return SoftmaxReembedding([*no_words, *said.get("unused_token_ids", ())])
            return Identity()
        if mode == "MLP":
            return projection_of(found, _MLP)
        d_model = len(found["linear_layer.bias"])
        linear = LinearRms(d_model) if mode == "linear" else Linear(d_model, layer_norm=True)
        linear.load_state_dict(
            {name.replace("linear_layer.", "map."): each for name, each in found.items()}
        )
        return linear.requires_grad_(False)

    def check(self, vocabulary: Vocabulary, tensors: Iterable[str]) -> None:
        """Raise where the settings ask for what is not read here, or are not those of the tensors.

        Raises
        ------
        ValueError
            With the setting, and what it would need.
        """
        said = _settings(vocabulary)
        mode = said["recurrent_filter_mode"]
        if mode not in _MODES:
            raise ValueError(
                f"The checkpoint's recurrent_filter_mode is {mode!r}, which is not read. Read are "
                f"{', '.join(map(repr, _MODES))}."
            )
        names = {each.removeprefix(_FILTER) for each in tensors if each.startswith(_FILTER)}
        if names != _MODES[mode]:
            raise ValueError(
                f"The checkpoint's recurrent_filter_mode is {mode!r}, for which there are to be "
                f"{sorted(_MODES[mode])} under {_FILTER!r}; there are {sorted(names)}. Copy it "
                "again."
            )
        for name in ("add_latent_to_end", "lora_mode"):
            if said.get(name):
                raise ValueError(
                    f"The checkpoint has {name}=true, which is not read. With lora_mode, call the "
                    "authors' lora_mode_disable() and save it again; with add_latent_to_end, END "
                    "is fed with a thought added to it, for which there is no place here."
                )
        ids = {"start_token_id": vocabulary.bot, "end_token_id": vocabulary.eot}
        for name, token in ids.items():
            if said[name] != token:
                raise ValueError(
                    f"config.json says {name} {said[name]}, the tokenizer {token}. Leave bot= and "
                    "eot= out, and copy the tokenizer's files again."
                )


def _mode(tensors: Iterable[str]) -> str | None:
    """Return what the names of tensors look like."""
    names = {each.removeprefix(_FILTER) for each in tensors if each.startswith(_FILTER)}
    if not names:
        return None
    if "input_layer.weight" in names:
        return "MLP"
    return "linear_ln" if "norm.bias" in names else "linear"


def _settings(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what the checkpoint's configuration says of its thoughts."""
    found = getattr(vocabulary.base.config, SETTINGS, None)
    wanted = {f"{each}_token_id" for each in ("start", "continue", "end", "stop")}
    wanted.add("recurrent_filter_mode")
    if not isinstance(found, dict) or not wanted <= found.keys():
        raise ValueError(
            f"The config.json of {vocabulary.base.source} lacks the entry {SETTINGS!r} or some of "
            f"{sorted(wanted)} in it. Leave base= out: it stands beside the weights."
        )
    return dict(found)
