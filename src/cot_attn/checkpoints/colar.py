"""Reads CoLaR checkpoints (Tan et al. 2025, arXiv:2505.16552), and those that LatentTTS stores.

The question stands between "Question: " and " Let's think step by step:(Thinking speed: 5)###",
where the number says how many tokens a thought should stand for. The last `###` opens the thoughts
and another closes them; the model says when. A head beside the language model makes thoughts: two
linear maps with a GELU between, a LayerNorm, and one linear map each for mean and log-std.

The authors keep what was trained alone: LoRA under `llm.base_model.model.*` and the head as
`latent_policy.*`, on a base whose own weights are needed. They draw thoughts, the end of thinking
and the answer's words; here the answer is greedy. LatentTTS (You et al. 2025, arXiv:2510.07745)
stores the whole model as Hugging Face does, with a head `lt_head.*` that has a mean and no log-std,
and takes the likeliest token throughout.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import Tensor

from cot_attn.checkpoints._base import Base
from cot_attn.checkpoints._state_dict import Shape
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints.formats import Format
from cot_attn.checkpoints.registry import CheckpointInfo, Family
from cot_attn.checkpoints.report import Setting
from cot_attn.models.feedback import Feedback
from cot_attn.models.latent_head import LatentHead
from cot_attn.models.stopping import SampledSeparator, Separator, StopRule
from cot_attn.models.template import Template

SEPARATOR = "###"
EMBEDDING_STD = {
    "DeepSeek-R1-Distill-Qwen-1.5B": 0.03,
    "Llama-3.2-1B-Instruct": 0.018,
    "Llama-3.2-3B-Instruct": 0.018,
    "Llama-3.1-8B-Instruct": 0.008,
    "gpt2": 0.12,
}
"""What embeddings are divided by for training, as CoLaR's authors list it by base."""
_LAYERS = {"fc.0": "expand", "fc.2": "inner", "fc.3": "norm", "mean": "mean", "log_std": "log_std"}


class Colar(Format):
    """The format of CoLaR's own checkpoints."""

    family: ClassVar[Family] = "colar"
    title = "CoLaR"
    prefix = "llm."
    added = AddedTokens((), bot=SEPARATOR, eot=SEPARATOR)
    answer_marker = "Answer:"
    on_base = True
    head: ClassVar[str] = "latent_policy."
    usual_compression: ClassVar[int] = 5

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether there is a latent head."""
        return any(key.startswith(self.head) for key in keys)

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        speed = self._compression(info)
        template = Template(
            bot=(vocabulary.bot,),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            answer_marker=info.answer_marker,
            question_prefix="Question: ",
            question_suffix=f" Let's think step by step:(Thinking speed: {speed})",
            special_tokens=False,
        )
        _check_split(vocabulary, template)
        return template

    def stop(self, vocabulary: Vocabulary) -> StopRule:
        """Return the rule that draws the next token and looks for the separator."""
        return SampledSeparator(vocabulary.eot)

    def feedback_shapes(self, tensors: Mapping[str, Tensor], d_model: int) -> dict[str, Shape]:
        """Return the keys and shapes of the head."""
        bias = tensors.get(f"{self.head}fc.0.bias")
        width = len(bias) if bias is not None and bias.ndim == 1 else d_model
        shapes: dict[str, tuple[int, ...]] = {
            "fc.0.weight": (width, d_model),
            "fc.2.weight": (width, width),
            "fc.3.weight": (width,),
            "mean.weight": (d_model, width),
        }
        if any(key.startswith(f"{self.head}log_std.") for key in tensors):
            shapes["log_std.weight"] = (d_model, width)
        biases = {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
        return {self.head + name: shape for name, shape in (shapes | biases).items()}

    def feedback(
        self, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, info: CheckpointInfo
    ) -> Feedback:
        """Return the head that the tensors hold."""
        found = {
            f"{_LAYERS[layer]}.{parameter}": tensor
            for key, tensor in tensors.items()
            if key.startswith(self.head)
            for layer, _, parameter in [key.removeprefix(self.head).rpartition(".")]
        }
        d_hidden, d_model = found["expand.weight"].shape
        draws = "log_std.weight" in found
        head = LatentHead(d_model, d_hidden, self._scale(vocabulary.base, info), draws=draws)
        head.load_state_dict(found)
        return head.requires_grad_(False)

    def settings(self, info: CheckpointInfo, feedback: Feedback) -> dict[str, Setting]:
        """Return the compression that is asked for, and the head's scale."""
        scale = feedback.scale if isinstance(feedback, LatentHead) else None
        return {"compression": self._compression(info), "embedding_std": scale}

    def _compression(self, info: CheckpointInfo) -> int:
        return self.usual_compression if info.compression is None else info.compression

    def _scale(self, base: Base, info: CheckpointInfo) -> float:
        listed = EMBEDDING_STD.get(base.source.rstrip("/").rpartition("/")[2])
        scale = listed if info.embedding_std is None else info.embedding_std
        if scale is None:
            raise ValueError(
                "No file of a CoLaR checkpoint says by what embeddings were divided for training. "
                f"Its authors list that for {', '.join(EMBEDDING_STD)}; the base is {base.source}. "
                "Register the checkpoint with CheckpointInfo(..., embedding_std=)."
            )
        return scale


class LatentTtsColar(Colar):
    """The format of CoLaR's checkpoints as LatentTTS stores them."""

    family = "latent-tts-colar"
    title = "LatentTTS' CoLaR"
    prefix = ""
    on_base = False
    head = "lt_head."
    usual_compression = 2

    def stop(self, vocabulary: Vocabulary) -> StopRule:
        """Return the rule that looks whether the separator is the likeliest token."""
        return Separator(vocabulary.eot)

    def _scale(self, base: Base, info: CheckpointInfo) -> float:
        scale = getattr(base.config, "latent_embedding_std", info.embedding_std)
        if scale is None:
            raise ValueError(
                f"The config.json of {base.source} lacks the entry 'latent_embedding_std', by "
                "which embeddings were divided for training. Leave base= out: it stands beside the "
                "weights."
            )
        return float(scale)


def _check_split(vocabulary: Vocabulary, template: Template) -> None:
    """Raise where the separator is no token of its own behind a question."""
    tokenizer, text = vocabulary.base.tokenizer, template.text("1?")
    whole, apart = (
        tokenizer(each, add_special_tokens=False)["input_ids"] for each in (text + SEPARATOR, text)
    )
    if whole != [*apart, vocabulary.bot]:
        raise ValueError(
            f"The tokenizer of {vocabulary.base.source} does not read {SEPARATOR!r} as one token "
            "behind a question, which is where CoLaR's thoughts begin. Give as base= the model "
            "that the checkpoint was trained from."
        )
