"""From characters to generated tokens, for each way in which tokenizers put text together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from cot_attn.data import Problem, grade, value_token

LINES = ["The answer is: 18", "She has 16 - 3 = 13 eggs, costs $2 each", "−5 €", "it's 1,800.5 !"]


def byte_level(size: int = 300) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=["<eos>"]
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def word_level() -> Tokenizer:
    words = ["<eos>", "The", "answer", "is", ":", "7", "18", "'", "s", ",", "."]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<eos>"])
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=60))
    return tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama 2: characters that are no token are written as one token a byte."""
    pieces = ["▁The", "▁answer", "▁is", ":", "▁", "1", "8", "5"]
    vocabulary = [*pieces, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, []))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


BYTES = byte_level()
DIGITS = "0123456789"


def ids(tokenizer: Tokenizer, *pieces: str) -> list[int]:
    """Return the ids of these very tokens, as a model may generate them."""
    found = [tokenizer.token_to_id(piece) for piece in pieces]
    assert None not in found
    return found


def value_of(tokenizer: Tokenizer, tokens: list[int]) -> int | None:
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return value_token(tokenizer, tokens, grade(text, Problem("p", "?")).span)


def test_a_token_with_a_leading_space_holds_the_value() -> None:
    tokenizer = byte_level()
    tokens = ids(tokenizer, "Ġanswer", "Ġis", ":", "Ġ1", "8")
    assert value_of(tokenizer, tokens) == 3


def test_a_space_of_its_own_is_not_the_value() -> None:
    tokenizer = byte_level()
    assert value_of(tokenizer, ids(tokenizer, ":", "Ġ", "1", "8")) == 2


def test_the_first_of_several_digits_counts() -> None:
    tokenizer = byte_level()
    assert value_of(tokenizer, ids(tokenizer, "1", "8", "0", "0")) == 0


def test_the_first_byte_of_a_split_minus_sign_counts() -> None:
    tokenizer = byte_level(257)  # nothing but bytes
    text = "é is −5"
    tokens = tokenizer.encode(text).ids
    assert len(tokens) == len(text.encode())
    assert value_of(tokenizer, tokens) == len("é is ".encode())


def test_special_tokens_before_the_value_are_counted_but_hold_no_text() -> None:
    tokenizer = byte_level()
    tokens = ids(tokenizer, "<eos>", ":", "<eos>", "Ġ1", "8", "<eos>")
    assert value_of(tokenizer, tokens) == 3


def test_words_that_decoding_puts_spaces_between() -> None:
    tokenizer = word_level()
    tokens = ids(tokenizer, "The", "answer", "is", ":", "7", "<eos>")
    assert tokenizer.decode(tokens, skip_special_tokens=True) == "The answer is : 7"
    assert value_of(tokenizer, tokens) == 4


def test_spaces_that_decoding_cleans_up() -> None:
    words = word_level()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, clean_up_tokenization_spaces=True, eos_token="<eos>"
    )
    tokens = ids(words, "answer", "'", "s", ",", "7", ",", "18", ".")
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    for value, token in (("7", 4), ("18", 6)):
        assert value_token(tokenizer, tokens, (text.index(value), len(text))) == token


def test_a_first_space_that_decoding_strips() -> None:
    tokenizer = metaspace()
    tokens = tokenizer.encode("18 eggs").ids
    assert tokenizer.decode(tokens) == "18 eggs"
    assert value_token(tokenizer, tokens, (0, 2)) == 0
    pieces = [tokenizer.id_to_token(token) for token in tokens]
    first_of_eggs = next(i for i, piece in enumerate(pieces) if "e" in piece)
    assert value_token(tokenizer, tokens, (3, 7)) == first_of_eggs


def test_unfinished_bytes_that_decode_to_too_many_characters_are_not_the_value() -> None:
    tokenizer = byte_fallback()
    tokens = ids(tokenizer, "▁The", "▁", "<0xE2>", "<0x82>", "<0xAC>", "1", "8")
    assert tokenizer.decode(tokens) == "The €18"
    assert len(tokenizer.decode(tokens[:4])) > len("The €")
    assert value_of(tokenizer, tokens) == 5
    minus = ids(tokenizer, "▁is", "▁", "<0xE2>", "<0x88>", "<0x92>", "5")
    assert value_of(tokenizer, minus) == 2


@given(st.data())
def test_every_character_is_found_in_the_token_that_holds_its_first_byte(
    data: st.DataObject,
) -> None:
    text = data.draw(st.text(st.sampled_from("answer is:18−€😀 "), min_size=1, max_size=20))
    place = data.draw(st.integers(0, len(text) - 1))
    tokens = BYTES.encode(text).ids
    lengths = [len(BYTES.id_to_token(token)) for token in tokens]  # one character a byte
    byte = len(text[:place].encode())
    expected = next(i for i in range(len(tokens)) if sum(lengths[: i + 1]) > byte)
    assert value_token(BYTES, tokens, (place, len(text))) == expected


@pytest.mark.slow
@given(st.lists(st.integers(1, BYTES.get_vocab_size() - 1), min_size=1, max_size=20))
def test_a_digit_is_found_even_among_bytes_that_are_no_text(tokens: list[int]) -> None:
    text = BYTES.decode(tokens)
    found = [
        value_token(BYTES, tokens, (place, len(text)))
        for place, character in enumerate(text)
        if character in DIGITS
    ]
    pieces = [BYTES.id_to_token(token) for token in tokens]
    assert found == [i for i, piece in enumerate(pieces) for byte in piece if byte in DIGITS]


def test_no_value_has_no_token() -> None:
    assert value_token(word_level(), [1, 2], None) is None


def test_a_span_of_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"character 40.*'The answer'"):
        value_token(word_level(), [1, 2], (40, 42))
