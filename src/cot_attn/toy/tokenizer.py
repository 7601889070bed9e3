"""A tokenizer with one token a word and one a number."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cot_attn.data.sets.toy import ADDING, DAYS, HOURS, MULTIPLYING, NAMES, SUBTRACTING, THINGS
from cot_attn.models.template import Template

EOS, PAD, BOT, EOT, UNKNOWN = "<eos>", "<pad>", "<bot>", "<eot>", "<unk>"
ANSWER = "The answer is {}"


def toy_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of the toy models.

    It splits at spaces and before punctuation. Numbers from 0 to 23 are words like any other.

    Examples
    --------
    >>> tokenizer = toy_tokenizer()
    >>> tokenizer.tokenize("Ben adds 8, Cleo doubles it.")
    ['Ben', 'adds', '8', ',', 'Cleo', 'doubles', 'it', '.']
    >>> tokenizer.decode(tokenizer.encode("Ben adds 8, Cleo doubles it."))
    'Ben adds 8, Cleo doubles it.'
    """
    # The numbers come right after the special tokens, in order.
    specials = [EOS, PAD, BOT, EOT, UNKNOWN]
    numbers = [str(number) for number in range(HOURS + 1)]
    verbs = [*ADDING, *SUBTRACTING, *MULTIPLYING.values()]
    story = ["sets", "a", "to", "it", "on", "then", "What", "does", "show", "now", ".", ",", "?"]
    answer = ["The", "answer", "is"]
    things = [word for thing in THINGS for word in thing.split()]
    words = dict.fromkeys([*specials, *numbers, *NAMES, *DAYS, *things, *verbs, *story, *answer])
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    # This decoder puts spaces between words and takes them away before punctuation.
    core.decoder = decoders.WordPiece(cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[BOT, EOT],
        padding_side="left",
    )


def toy_template(tokenizer: PreTrainedTokenizerFast) -> Template:
    """Return the tokens that stand around a question, its thoughts and its answer."""
    ids = tokenizer.get_vocab()
    return Template(
        bot=(ids[BOT],),
        eot=(ids[EOT],),
        eos=ids[EOS],
        suppressed=(ids[EOT], ids[BOT], ids[PAD], ids[UNKNOWN]),
    )
