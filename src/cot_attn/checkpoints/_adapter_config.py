"""The strength of LoRA: what `adapter_config.json`, the user and the registry say of it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cot_attn.checkpoints._lora import Lora
from cot_attn.checkpoints.registry import CheckpointInfo

NAME = "adapter_config.json"

# What matters for training alone, or shows in the tensors anyway. peft itself sets
# `fan_in_fan_out` right for the kind of a layer, whatever the file says.
_OF_NO_MATTER = {
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}
_READ = {
    "alpha_pattern",
    "lora_alpha",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
}


@dataclass(frozen=True)
class AdapterConfig:
    """What peft's `adapter_config.json` says about plain LoRA.

    Attributes
    ----------
    file
        Where it is.
    rank, alpha
        What a module has unless a pattern says otherwise.
    rank_pattern, alpha_pattern
        Ranks and alphas by a pattern of the modules' names, as in peft.
    use_rslora
        Whether the scale is alpha / sqrt(rank) instead of alpha / rank.
    targets
        The names or the pattern of the adapted modules, or None where it does not say.
    """

    file: Path
    rank: int
    alpha: int | float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, int | float]
    use_rslora: bool
    targets: tuple[str, ...] | str | None

    def rank_of(self, module: str) -> int:
        """Return the rank of a module."""
        return _first_match(self.rank_pattern, module, self.rank)

    def alpha_of(self, module: str) -> int | float:
        """Return the alpha of a module."""
        return _first_match(self.alpha_pattern, module, self.alpha)

    def targeted(self, module: str) -> bool:
        """Whether it says that a module is adapted."""
        if self.targets is None or self.targets == "all-linear":
            return True
        if isinstance(self.targets, str):
            return re.fullmatch(self.targets, module) is not None
        return any(f".{module}".endswith(f".{target}") for target in self.targets)


TRAINED_TOKENS = "trainable_token_indices"
"""What it calls the tokens whose embeddings were trained."""


def read_adapter_config(folder: Path, *, trained_tokens: bool = False) -> AdapterConfig | None:
    """Read the `adapter_config.json` of a folder; None where there is none or it is empty.

    Parameters
    ----------
    folder
        The folder.
    trained_tokens
        Whether embeddings of single tokens were read, if it says that there are any.

    Raises
    ------
    ValueError
        Where it is damaged, or says that more or other than plain LoRA was trained.
    """
    file = folder / NAME
    if not file.is_file() or not file.read_bytes().strip():
        return None
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        kind = str(settings.get("peft_type", "LORA"))
        config = AdapterConfig(
            file=file,
            rank=_number(settings, "r", int),
            alpha=_number(settings, "lora_alpha", int, float),
            rank_pattern=_pattern(settings, "rank_pattern", int),
            alpha_pattern=_pattern(settings, "alpha_pattern", int, float),
            use_rslora=bool(settings.get("use_rslora")),
            targets=_targets(settings),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is not a configuration of LoRA as peft writes it ({error!r}). Copy it again, "
            "or remove it and give lora_alpha= and use_rslora= yourself."
        ) from error
    if kind != "LORA":
        raise ValueError(f"{file} says peft_type={kind!r}; only LoRA is read. {_ADVICE}")
    expected = {TRAINED_TOKENS} if trained_tokens else set()
    beyond = {
        name: value
        for name, value in settings.items()
        if value and name not in _READ | _OF_NO_MATTER | expected
    }
    if beyond:
        listed = ", ".join(f"{name}={value!r}" for name, value in beyond.items())
        raise ValueError(f"{file} says {listed}; only plain LoRA is read. {_ADVICE}")
    return config


_T = TypeVar("_T")

_ADVICE = (
    "Merge the adapter where it was trained, with peft's `merge_and_unload()`, save the whole "
    f"state dict again, and leave {NAME} out."
)


@dataclass(frozen=True)
class Strength:
    """How strong LoRA is.

    Attributes
    ----------
    alphas
        LoRA's alpha in every adapted module.
    use_rslora
        Whether the scale is alpha / sqrt(rank) instead of alpha / rank.
    """

    alphas: Mapping[str, int | float]
    use_rslora: bool

    def scales(self, lora: Lora) -> dict[str, float]:
        """Return what B A is multiplied with in every adapted module."""
        return {
            name: self.alphas[name] / (math.sqrt(rank) if self.use_rslora else rank)
            for name, rank in lora.ranks.items()
        }


def find_strength(
    lora: Lora, config: AdapterConfig | None, info: CheckpointInfo, where: str
) -> Strength:
    """Return how strong LoRA is.

    Parameters
    ----------
    lora
        What the tensors show.
    config
        What the file beside them says.
    info
        What the user says, or the registry.
    where
        The weight file.

    Raises
    ------
    ValueError
        Where nothing says it, or two of the three contradict each other.
    """
    if config is not None:
        _check_agreement(lora, config, info, where)
        return Strength({name: config.alpha_of(name) for name in lora.ranks}, config.use_rslora)
    _check_one_rank(lora, where)
    if info.lora_alpha is None:
        rank = next(iter(lora.ranks.values()))
        raise ValueError(
            f"{where} has LoRA of rank {rank}, and no file says its alpha. Give lora_alpha=; "
            f"CODI's own scripts train with 32. peft's {NAME} beside the weights says it too."
        )
    return Strength(dict.fromkeys(lora.ranks, info.lora_alpha), bool(info.use_rslora))


def check_no_adapter(config: AdapterConfig | None, where: str) -> None:
    """Raise where a file describes LoRA that the weights do not have."""
    if config is not None:
        raise ValueError(
            f"{config.file} describes LoRA, and {where} has none. If it is merged already, leave "
            f"{NAME} out; otherwise save the whole state dict, with both halves of LoRA."
        )


def _check_agreement(lora: Lora, config: AdapterConfig, info: CheckpointInfo, where: str) -> None:
    for name, value, read in (
        ("lora_alpha", info.lora_alpha, config.alpha),
        ("use_rslora", info.use_rslora, config.use_rslora),
    ):
        if value is not None and value != read:
            raise ValueError(
                f"{config.file} says {name}={read}, where {name}={value} was given or registered. "
                f"Leave {name} out, or remove the file if it belongs to other weights."
            )
    for module, rank in lora.ranks.items():
        if rank != config.rank_of(module):
            raise ValueError(
                f"{config.file} says that {module} has LoRA of rank {config.rank_of(module)}; in "
                f"{where} it has rank {rank}. The file seems to belong to other weights."
            )
        if not config.targeted(module):
            raise ValueError(
                f"{where} has LoRA on {module}, which is none of the target_modules of "
                f"{config.file}: {config.targets}. The file seems to belong to other weights."
            )


def _check_one_rank(lora: Lora, where: str) -> None:
    examples = {rank: module for module, rank in lora.ranks.items()}
    if len(examples) > 1:
        listed = ", ".join(f"{examples[rank]}: {rank}" for rank in sorted(examples))
        raise ValueError(
            f"{where} has LoRA of different ranks ({listed}), as peft's rank_pattern makes it. "
            "Mostly an alpha_pattern goes with it, so one lora_alpha= is not enough. Put peft's "
            f"{NAME} beside the weights, which says both."
        )


def _first_match(patterns: Mapping[str, _T], module: str, otherwise: _T) -> _T:
    """Return the value of the first pattern that the end of a module's name matches, as in peft."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise


def _number(settings: Mapping[str, Any], name: str, *kinds: type) -> Any:
    return _checked(name, settings[name], kinds)


def _pattern(settings: Mapping[str, Any], name: str, *kinds: type) -> dict[str, Any]:
    pattern = settings.get(name) or {}
    return {key: _checked(f"{name}[{key!r}]", value, kinds) for key, value in pattern.items()}


def _checked(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    if type(value) not in kinds or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}")
    return value


def _targets(settings: Mapping[str, Any]) -> tuple[str, ...] | str | None:
    targets = settings.get("target_modules")
    if settings.get("ensure_weight_tying"):  # then modules have LoRA that no target names
        return None
    return targets if isinstance(targets, str) else tuple(targets) if targets else None
