"""A model that comes from files and goes to files, and is told from others by its weights."""

import contextlib
from dataclasses import replace
from os import PathLike
from typing import Any, TypeVar, Unpack

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cot_attn.checkpoints.language_models import LanguageModelOptions, load_language_model
from cot_attn.checkpoints.loading import load
from cot_attn.checkpoints.parts import ModelParts
from cot_attn.checkpoints.pretrained import save
from cot_attn.checkpoints.registry import Family
from cot_attn.checkpoints.report import LoadReport
from cot_attn.models import validation
from cot_attn.models._bridge import bridged, check_unprocessed
from cot_attn.models._gaps import check_gaps
from cot_attn.models._weight_hash import WeightHash
from cot_attn.models.feedback import Feedback, Identity, Projection
from cot_attn.models.hooks import HookedModel
from cot_attn.models.jacobi import Jacobi
from cot_attn.models.questions import check_adds_nothing, check_count
from cot_attn.models.stopping import StopRule
from cot_attn.models.template import Template

Kind = TypeVar("Kind", bound="PretrainedModel")


class PretrainedModel(HookedModel):
    """A hooked model with a tokenizer, which can say what it is made of and be made of that again.

    `ContinuousThoughtModel` is one, and says what the parameters are.
    """

    def __init__(
        self,
        bridge: TransformerBridge,
        feedback: Feedback,
        template: Template,
        n_thoughts: int,
        *,
        stop: StopRule | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        name: str | None = None,
        checkpoint: str | None = None,
        load_report: LoadReport | None = None,
    ) -> None:
        check_count("n_thoughts", n_thoughts)
        super().__init__(bridge, feedback, template, name or str(bridge.cfg.model_name))
        self.n_thoughts = n_thoughts
        if tokenizer is None:
            check_adds_nothing(bridge.tokenizer)
        self.tokenizer: PreTrainedTokenizerBase = tokenizer or bridge.tokenizer
        self.load_report = load_report
        self._weight_hash = WeightHash()
        if checkpoint is not None:
            self._weight_hash.remember(self.bridge, self.feedback, checkpoint)
        self.stop = stop

    @property
    def stop(self) -> StopRule | None:
        """When a problem has thought enough; None where all think `n_thoughts` thoughts.

        A rule can be set, and taken away by setting None.

        Raises
        ------
        TypeError
            Where what is set is no stop rule.
        ValueError
            Where the model counts columns, and so cannot pass over those of a problem that has
            stopped.
        """
        return self._stop

    @stop.setter
    def stop(self, rule: StopRule | None) -> None:
        argument: object = rule  # a user may give anything
        if not (argument is None or isinstance(argument, StopRule)):
            raise TypeError(
                f"stop is {argument!r}; give an instance of a StopRule, such as EntropyBelow(0.5), "
                "or None."
            )
        if rule is not None:
            if isinstance(self.feedback, Jacobi):
                raise ValueError(
                    f"{self.name} makes all thoughts at once (Jacobi), so none can be the last. "
                    "Leave stop out, and give n_thoughts for fewer."
                )
            check_gaps(self)
        self._stop = rule

    @property
    def checkpoint(self) -> str:
        """First twelve hex digits of the SHA-256 of the weights, as they are now."""
        return self._weight_hash(self.bridge, self.feedback)

    @property
    def source(self) -> dict[str, Any] | None:
        """What `from_pretrained` makes this model from again, or None where it was made in memory.

        `name_or_path`, and every other argument that is not its default. A model with another stop
        rule than it was loaded with cannot be made from files.
        """
        read = self.load_report
        if read is None or read.settings.get("stop") != (self.stop and repr(self.stop)):
            return None
        made = {"name_or_path": read.source, **read.options}
        same = read.settings.get("n_thoughts") == self.n_thoughts
        return made if same else {**made, "n_thoughts": self.n_thoughts}

    def provenance(self) -> dict[str, str]:
        """Return what a result says about the model that it came from.

        Of a loop that is more than its weights (which the checkpoint's hash tells) also how it is
        set, as `feedback`, and as `stop` the rule by which problems stop, where there is one.
        """
        made = {"model": self.name, "checkpoint": self.checkpoint, "dtype": str(self.dtype)}
        if self.stop is not None:
            made["stop"] = repr(self.stop)
        if type(self.feedback) in (Identity, Projection):
            return made
        with contextlib.suppress(TypeError):  # a class of one's own that does not say
            return {
                **made,
                "feedback": f"{type(self.feedback).__name__} {self.feedback.settings()}",
            }
        return {**made, "feedback": type(self.feedback).__name__}

    @property
    def parts(self) -> ModelParts:
        """What the model is made of, as `cot_attn.checkpoints.save` writes it."""
        check_unprocessed(self.bridge)
        return ModelParts(
            self.bridge.original_model,
            self.tokenizer,
            self.feedback,
            self.template,
            self.n_thoughts,
            self.name,
            self.load_report,
            stop=self.stop,
        )

    @classmethod
    def from_pretrained(
        cls: type[Kind],
        name_or_path: str | PathLike[str],
        *,
        family: Family | None = None,
        base: str | PathLike[str] | None = None,
        n_thoughts: int | None = None,
        lora_alpha: int | float | None = None,
        use_rslora: bool | None = None,
        remove_eos: bool | None = None,
        bot: int | None = None,
        eot: int | None = None,
        compression: int | None = None,
        weights: str | None = None,
        sha256: str | None = None,
        revision: str | None = None,
        dtype: torch.dtype | str = torch.float32,
        device: str | torch.device | None = None,
        validate: bool = True,
    ) -> Kind:
        """Load a bundled model, a hub id, a local folder or a weight file.

        All parameters but one are those of `cot_attn.checkpoints.load`.

        Parameters
        ----------
        validate
            Whether the model checks itself once; see `cot_attn.models.validate`.
        """
        parts = load(
            name_or_path,
            family=family,
            base=base,
            n_thoughts=n_thoughts,
            lora_alpha=lora_alpha,
            use_rslora=use_rslora,
            remove_eos=remove_eos,
            bot=bot,
            eot=eot,
            compression=compression,
            weights=weights,
            sha256=sha256,
            revision=revision,
            dtype=dtype,
            device=device,
        )
        report = parts.report
        assert report is not None
        model = cls._of(parts)
        if validate:
            model.load_report = replace(report, checks=validation.validate(model))
        else:
            model.load_report = replace(report, options={**report.options, "validate": False})
        return model

    @classmethod
    def from_language_model(
        cls: type[Kind],
        model: str | PathLike[str] | PreTrainedModel,
        *,
        validate: bool = True,
        **options: Unpack[LanguageModelOptions],
    ) -> Kind:
        """Let any causal language model think: training-free methods, and loops of one's own.

        Parameters
        ----------
        model
            A folder, a hub id, a GGUF file, or a Hugging Face model in memory.
        validate
            Whether the model checks itself once; see `cot_attn.models.validate`.
        **options
            Those of `cot_attn.checkpoints.load_language_model`: `feedback`, `n_thoughts`,
            `tokenizer`, `chat_template`, `eot`, ...

        Examples
        --------
        >>> from cot_attn.checkpoints import load
        >>> from cot_attn.models import ContinuousThoughtModel, SoftThinking
        >>> parts = load("toy-gpt2")
        >>> model = ContinuousThoughtModel.from_language_model(
        ...     parts.language_model, tokenizer=parts.tokenizer, feedback=SoftThinking(top_k=5),
        ...     n_thoughts=2, bot="+", eot="The answer is", name="soft"
        ... )
        >>> model.think(["3 + 4"])
        Run(1 problems, thoughts 1x2x96, answers ['']...)
        """
        parts = load_language_model(model, **options)
        made = cls._of(parts)
        if validate:
            validation.validate(made)
        return made

    @classmethod
    def _of(cls: type[Kind], parts: ModelParts) -> Kind:
        """Put a bridge round the parts of a model."""
        return cls(
            bridged(parts.language_model, parts.tokenizer, parts.name),
            parts.feedback,
            parts.template,
            parts.n_thoughts,
            tokenizer=parts.tokenizer,
            name=parts.name,
            checkpoint=parts.checkpoint,
            stop=parts.stop,
        )

    def save_pretrained(self, folder: str | PathLike[str], *, dtype: Any = None) -> None:
        """Write the model as one folder that needs nothing else, as `cot_attn.checkpoints.save`."""
        save(self.parts, folder, dtype=dtype)
