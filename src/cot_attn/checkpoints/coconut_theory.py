"""Reads Theory Coconut (Zhu et al. 2025, arXiv:2505.12514): a small GPT-2 on graphs of symbols.

Its weights are stored as Coconut's are. All else is code of its authors: 40 symbols, one token each
(31 nodes, `|` between edges, `[Q]` before the two nodes that are asked about, `[R]` before the
root, `[A]` before the answer), and 8 heads. Width and number of layers show in the tensors.

No token opens the thoughts: thought 0 is made from the question's last token, the root, which
stands in BOT's place. `[A]` closes them. An answer is one token, and nothing ends it.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, PreTrainedTokenizerFast

from cot_attn.checkpoints._base import Base, read_base
from cot_attn.checkpoints._vocabulary import AddedTokens, Vocabulary
from cot_attn.checkpoints._weights import Weights
from cot_attn.checkpoints.coconut import Coconut
from cot_attn.checkpoints.registry import CheckpointInfo
from cot_attn.models.feedback import Feedback
from cot_attn.models.template import Template

EOS = "<eos>"
SYMBOLS = (
    *map(str, range(31)),
    *("<|start-latent|>", "<|end-latent|>", "<|latent|>"),
    *("|", "[Q]", "[R]", "[A]", EOS, "<|no-answer|>"),
)
N_HEADS = 8
_WIDTHS, _POSITIONS = "transformer.wte.weight", "transformer.wpe.weight"


class CoconutTheory(Coconut):
    """The format of Theory Coconut's checkpoints."""

    family = "coconut-theory"
    title = "Theory Coconut"
    added = AddedTokens((), bot="<|start-latent|>", eot="[A]")
    answer_marker = None
    needs_base = False
    notes = ("an answer is one token and nothing ends it: give max_new_tokens=1",)

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether keys are those of such a checkpoint: they look like any Coconut's."""
        return False

    def accepts(self, keys: Iterable[str]) -> bool:
        """Whether keys can be those of such a checkpoint when the user says so."""
        return {self.prefix + _WIDTHS, self.prefix + _POSITIONS} <= set(keys)

    def base(self, source: str, weights: Weights) -> Base:
        """Return the GPT-2 that the tensors are of, and the symbols."""
        if source:
            return read_base(source)
        tensors = weights.tensors
        d_model = tensors[self.prefix + _WIDTHS].shape[1]
        blocks = {key.split(".")[3] for key in tensors if ".h." in key}
        tokenizer = symbol_tokenizer()
        config = GPT2Config(
            vocab_size=len(SYMBOLS),
            n_positions=len(tensors[self.prefix + _POSITIONS]),
            n_embd=d_model,
            n_layer=len(blocks),
            n_head=N_HEADS,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        return Base(f"a GPT-2 of {len(blocks)} layers and {N_HEADS} heads", config, tokenizer)

    def template(
        self, vocabulary: Vocabulary, info: CheckpointInfo, feedback: Feedback
    ) -> Template:
        """Return the tokens that stand round question, thoughts and answer."""
        return Template(
            bot=(),
            eot=(vocabulary.eot,),
            eos=vocabulary.base.eos,
            stop_at_first=False,
            answer_marker=info.answer_marker,
            question_prefix=f"{EOS} ",
        )


def symbol_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of graphs: one token for each word of `SYMBOLS`, and no other words.

    Examples
    --------
    >>> symbol_tokenizer()("<eos> 0 1 | 1 2 [Q] 2 5 [R] 0")["input_ids"]
    [38, 0, 1, 34, 1, 2, 35, 2, 5, 36, 0]
    """
    core = Tokenizer(models.WordLevel({symbol: i for i, symbol in enumerate(SYMBOLS)}))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, padding_side="left")
