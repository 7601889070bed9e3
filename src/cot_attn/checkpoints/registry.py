"""Public checkpoints that are known by name."""

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "codi",
    "coconut",
    "coconut-theory",
    "latent-tts",
    "latent-tts-colar",
    "colar",
    "pccot",
    "adaptive",
]

_CODI_GOLDEN = (
    "the official CODI code (commit 4fd88d4b76f7), on a small GPT-2 of the same format with random "
    "weights"
)
_LLAMA_LOOP = "a plain Hugging Face loop, on a small Llama of the same format with random weights"
_COCONUT_GOLDEN = (
    "the official Coconut code (commit 27273cb8cca4), on a small GPT-2 of the same format with "
    "random weights"
)
_LATENT_TTS = (
    "a plain Hugging Face loop, on made-up files of the layout that its code writes; none of its "
    "own files was seen"
)
_THEORY = (
    "a plain Hugging Face loop, and the official code's table of tokens, on made-up files; none of "
    "its own files was seen"
)
_PCCOT = (
    "a plain Hugging Face loop, on a small GPT-2 with an adapter that peft wrote as the official "
    "code lets it; none of its own files was seen"
)
_ADAPTIVE = (
    "the official code (commit 4e7d7dd), on small Llamas of the same format with random weights; "
    "none of its own files was seen"
)
_SIM_COT_CODI = ("decoder.", "pj_in.", "pj_out.")
_SIM_COT_COCONUT = ("expainable_llm.",)


@dataclass(frozen=True)
class CheckpointInfo:
    """What one needs to know of a checkpoint beside its files.

    Parameters
    ----------
    family
        Whose format it has.
    base
        The hub id or folder of the model that it was trained from: its architecture and
        tokenizer are read from there, its weights are not.
    n_thoughts
        How many thoughts it was trained to have.
    lora_alpha
        LoRA's alpha, where there is LoRA.
    eos_before_bot, eos_after_eot
        Where CODI's training put EOS. Its flag `remove_eos` says neither.
    answer_marker
        Text after which the answer's value stands.
    weights
        The name of the weight file, where it is not a usual one.
    unused
        How keys begin that are known and that running the model does not need.
    verified
        What the format was compared with, and on what.
    use_rslora
        Whether LoRA's scale is alpha / sqrt(rank) (rsLoRA) instead of alpha / rank.
    bot, eot
        The ids of the tokens that open and close the thoughts, where they do not follow the base's
        last id and no file of the tokenizer names them.
    published, reproduced
        Greedy accuracy that its authors publish, and that somebody else measured, as fractions.
    measured_on
        The data set of these accuracies.
    compression
        How many tokens a thought stands for, as CoLaR's prompt asks for it.
    embedding_std
        What CoLaR's training divided embeddings by.

    Examples
    --------
    >>> mine = CheckpointInfo("codi", base="openai-community/gpt2", n_thoughts=8, lora_alpha=16)
    >>> register_checkpoint("me/my-codi", mine)
    """

    family: Family
    base: str
    n_thoughts: int
    lora_alpha: int | float | None = None
    eos_before_bot: bool = False
    eos_after_eot: bool = False
    answer_marker: str | None = None
    weights: str | None = None
    unused: tuple[str, ...] = ()
    verified: str = "nothing"
    use_rslora: bool | None = None
    bot: int | None = None
    eot: int | None = None
    published: float | None = None
    reproduced: float | None = None
    measured_on: str = "GSM8K"
    compression: int | None = None
    embedding_std: float | None = None

    @property
    def remove_eos(self) -> bool:
        """CODI's flag of this name: no EOS before BOT and none after EOT."""
        return not (self.eos_before_bot or self.eos_after_eot)


def _codi(
    base: str,
    verified: str,
    unused: tuple[str, ...] = (),
    *,
    published: float | None = None,
    reproduced: float | None = None,
) -> CheckpointInfo:
    return CheckpointInfo(
        "codi",
        base,
        n_thoughts=6,
        lora_alpha=32,
        unused=unused,
        verified=verified,
        published=published,
        reproduced=reproduced,
    )


_KNOWN: dict[str, CheckpointInfo] = {
    "zen-E/CODI-gpt2": _codi(
        "openai-community/gpt2", _CODI_GOLDEN, published=0.437, reproduced=0.431
    ),
    "zen-E/CODI-llama3.2-1b-Instruct": _codi(
        "meta-llama/Llama-3.2-1B-Instruct", _LLAMA_LOOP, reproduced=0.555
    ),
    "bcywinski/codi_llama1b-answer_only": CheckpointInfo(
        "codi",
        "meta-llama/Llama-3.2-1B-Instruct",
        n_thoughts=6,
        lora_alpha=32,
        eos_before_bot=True,
        verified=_LLAMA_LOOP,
    ),
    "internlm/SIM_COT-LLaMA3-CODI-1B": _codi(
        "meta-llama/Llama-3.2-1B-Instruct",
        _LLAMA_LOOP,
        _SIM_COT_CODI,
        published=0.556,
        reproduced=0.559,
    ),
    "internlm/SIM_COT-LLaMA3-CODI-3B": _codi(
        "meta-llama/Llama-3.2-3B-Instruct",
        _LLAMA_LOOP,
        _SIM_COT_CODI,
        published=0.623,
        reproduced=0.621,
    ),
    "internlm/SIM_COT-LLaMA3-CODI-8B": _codi(
        "meta-llama/Llama-3.1-8B-Instruct",
        _LLAMA_LOOP,
        _SIM_COT_CODI,
        published=0.641,
        reproduced=0.343,
    ),
    "internlm/SIM_COT-GPT2-CODI": _codi("openai-community/gpt2", _CODI_GOLDEN, _SIM_COT_CODI),
    "internlm/SIM_COT-GPT2-Coconut": CheckpointInfo(
        "coconut",
        "openai-community/gpt2",
        n_thoughts=10,  # five stages of two thoughts, as its evaluation settings have it
        answer_marker="###",
        weights="checkpoint_28",
        unused=_SIM_COT_COCONUT,
        verified=_COCONUT_GOLDEN,
    ),
    "connordilgren/gpt2-gsm8k-coconut": CheckpointInfo(
        "coconut",
        "openai-community/gpt2",
        n_thoughts=6,  # three stages of two thoughts
        answer_marker="###",
        weights="checkpoint_33",
        verified=_COCONUT_GOLDEN,
        published=0.331,
    ),
    "blanar/coconut-gsm8k-gpt2": CheckpointInfo(
        "coconut",
        "openai-community/gpt2",
        n_thoughts=8,
        answer_marker="###",
        verified=_COCONUT_GOLDEN + "; none of its own files was seen",
    ),
    "bmarti44/coconut-curriculum-checkpoints": CheckpointInfo(
        "coconut",
        "openai-community/gpt2",
        n_thoughts=6,  # six stages of one thought, on ProsQA
        answer_marker="###",
        weights="coconut/checkpoint_best",
        verified=_COCONUT_GOLDEN + "; `pause_embedding` on made-up files; none of its own was seen",
        published=0.97,
        measured_on="ProsQA",
    ),
    "ModalityDance/latent-tts-codi": CheckpointInfo(
        "latent-tts",
        "openai-community/gpt2",
        n_thoughts=6,
        verified=_LATENT_TTS,
    ),
    "ModalityDance/latent-tts-coconut": CheckpointInfo(
        "latent-tts",
        "openai-community/gpt2",
        n_thoughts=6,
        answer_marker="###",
        verified=_LATENT_TTS,
    ),
    "ModalityDance/latent-tts-colar": CheckpointInfo(
        "latent-tts-colar",
        "ModalityDance/latent-tts-colar",
        n_thoughts=64,  # at most: it stops by itself
        answer_marker="Answer:",
        verified=_LATENT_TTS,
    ),
    "whynlp/pccot-gpt2": CheckpointInfo(
        "pccot",
        "openai-community/gpt2",
        n_thoughts=24,
        verified=_PCCOT,
    ),
    "Shibo-UCSD/coconut-theory": CheckpointInfo(
        "coconut-theory",
        "",  # its architecture and tokenizer are code
        n_thoughts=4,  # its evaluation gives a problem as many as it has steps, 3 or 4
        weights="checkpoint_300",
        verified=_THEORY,
        measured_on="ProsQA in symbols",
    ),
}

_KNOWN |= {
    f"Lapisbird/Llama-adaLR-{name}": CheckpointInfo(
        "adaptive",
        base=f"Lapisbird/Llama-adaLR-{name}",
        n_thoughts=16,  # at most: it stops by itself
        answer_marker="The answer is:",
        verified=_ADAPTIVE,
        measured_on="GSM8K-Aug",
    )
    for name in (
        "model-latent-6",
        "model-latent-6_rl",
        "model-latent-6-by-1",
        "model-latent-6-by-1_rl",
        "appendix-model-codi",
        "appendix-model-codi_intermediate",
        "appendix-model-meaned",
        "appendix-model-meaned_intermediate",
        "appendix-model-meaned_codi",
    )
}

NOT_READ: dict[str, str] = {
    "AlbertTan/CoLaR": (
        "Its files are training states of Lightning, pickled with more than tensors in them, and "
        "opening such a pickle runs what is in it. Where you trust a file, take the weights out: "
        "torch.save(torch.load(file, weights_only=False)['state_dict'], 'pytorch_model.bin'). Load "
        "that with family='colar', n_thoughts=64 and, as base=, the model that it was trained from."
    ),
}
"""Latent-reasoning checkpoints that are known and cannot be loaded, and what they would need."""

# Keys that an unregistered checkpoint may have: those of SIM-CoT's helpers.
KNOWN_UNUSED: dict[Family, tuple[str, ...]] = {
    "codi": _SIM_COT_CODI,
    "coconut": _SIM_COT_COCONUT,
    "coconut-theory": (),
    "latent-tts": (),
    "latent-tts-colar": (),
    "colar": (),
    "pccot": (),
    "adaptive": (),
}


def known_checkpoints() -> dict[str, CheckpointInfo]:
    """Return the checkpoints that load by name alone.

    Examples
    --------
    >>> known_checkpoints()["zen-E/CODI-gpt2"].base
    'openai-community/gpt2'
    """
    return dict(_KNOWN)


def register_checkpoint(name: str, info: CheckpointInfo) -> None:
    """Make a hub id or a local path load by name alone, as the public checkpoints do.

    Raises
    ------
    ValueError
        Where the name is registered with other facts.
    """
    if _KNOWN.setdefault(name, info) != info:
        raise ValueError(f"{name!r} is registered already, as {_KNOWN[name]}.")
