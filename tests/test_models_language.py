"""Any causal language model thinks: against Hugging Face's own chat template and a plain loop."""

import copy
from pathlib import Path

import pytest
import torch

from conftest import BUILDERS, EOS, tiny_tokenizer
from cot_attn.models import ContinuousThoughtModel, Identity, SoftThinking
from plain_loop import PlainLoop

CHAT = (
    "{% for m in messages %}{{ 'w1 ' + m['content'] + ' w2 ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'w3 w4' }}{% endif %}"
)
N_THOUGHTS, N_NEW = 3, 4
from_language_model = ContinuousThoughtModel.from_language_model


def built(architecture="llama", chat: str | None = None):
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = chat
    return BUILDERS[architecture](), tokenizer


@pytest.fixture
def folder(tmp_path) -> Path:
    model, tokenizer = built(chat=CHAT)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def plain(hf_model, prompt: list[int], eot: list[int], template):
    """The plain loop takes BOT apart: it is the prompt's last token."""
    template = copy.copy(template)
    object.__setattr__(template, "bot", tuple(prompt[-1:]))
    object.__setattr__(template, "eot", tuple(eot))
    return PlainLoop(hf_model, lambda hidden: hidden, template, N_THOUGHTS, N_NEW).run(prompt[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_chat_is_what_hugging_face_makes_of_it(architecture):
    hf_model, tokenizer = built(architecture, CHAT)
    model = from_language_model(
        copy.deepcopy(hf_model), tokenizer=tokenizer, n_thoughts=N_THOUGHTS, eot="w5 w6"
    )
    questions = ["w7 w8 w9", "w10", "w11 w12 w13 w14 w15"]
    run = model.run(questions, max_new_tokens=N_NEW)
    for row, question in enumerate(questions):
        chat = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
        expected = plain(hf_model, list(prompt["input_ids"]), [5, 6], model.template)
        torch.testing.assert_close(run.thoughts[row], expected.thoughts, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(run.first_logits[row], expected.logits[0], rtol=1e-3, atol=1e-4)
        assert run.answer_tokens[row] == expected.answer


@pytest.mark.slow
def test_without_a_chat_the_bare_question_is_read():
    hf_model, tokenizer = built()
    model = from_language_model(
        hf_model, tokenizer=tokenizer, bot="w3", eot="w5", n_thoughts=1, eos="<bot>"
    )
    assert model.encode(["w7 w8"])[1] == [[7, 8]]
    assert (model.template.bot, model.template.eot, model.template.eos) == ((3,), (5,), EOS + 1)


@pytest.mark.slow
def test_a_chat_can_be_given_or_left_out(folder):
    bare = from_language_model(folder, chat_template=False, bot="w3", eot="w5")
    assert bare.template.question_prefix == ""
    other = from_language_model(
        folder, chat_template="w9 {{ messages[-1]['content'] }} w8", eot="w5"
    )
    assert other.template.text("w7") == "w9 w7"
    assert other.template.bot == (8,)


@pytest.mark.slow
def test_a_system_message_is_part_of_the_prefix(folder):
    model = from_language_model(folder, system="w20", eot="w5")
    assert model.encode(["w7"])[1] == [[1, 20, 2, 1, 7]]


@pytest.mark.slow
def test_a_start_token_is_there_once():
    from tokenizers.processors import TemplateProcessing

    hf_model, tokenizer = built(chat="<bos> {{ messages[0]['content'] }} w4")
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    hf_model.resize_token_embeddings(len(tokenizer))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    model = from_language_model(hf_model, tokenizer=tokenizer, eot="w5")
    assert model.encode(["w7"])[1] == [[tokenizer.bos_token_id, 7]]


@pytest.mark.slow
def test_a_folder_gives_what_a_model_in_memory_gives(folder):
    hf_model, tokenizer = built(chat=CHAT)
    options = {"feedback": SoftThinking(top_k=4), "n_thoughts": 2, "eot": "w5"}
    one = from_language_model(folder, **options).think(["w7 w8"])
    other = from_language_model(hf_model, tokenizer=tokenizer, **options).think(["w7 w8"])
    torch.testing.assert_close(one.thoughts, other.thoughts)


@pytest.mark.slow
def test_it_is_saved_with_its_chat_and_loads_again(folder, tmp_path):
    model = from_language_model(
        folder, feedback=SoftThinking(0.7, top_p=0.9), n_thoughts=2, eot="w5 w6", system="w20"
    )
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.template == model.template
    assert again.feedback.settings() == model.feedback.settings()
    assert again.generate(["w7 w8"]) == model.generate(["w7 w8"])


@pytest.mark.slow
def test_eos_is_the_models_own(folder):
    hf_model, tokenizer = built()
    hf_model.generation_config.eos_token_id = [EOS + 1, EOS]
    assert from_language_model(hf_model, tokenizer=tokenizer, bot="w3").template.eos == EOS
    hf_model, tokenizer = built()
    hf_model.generation_config.eos_token_id = [EOS + 1, EOS + 2]
    assert from_language_model(hf_model, tokenizer=tokenizer, bot="w3").template.eos == EOS + 1
    hf_model, tokenizer = built()
    hf_model.generation_config.eos_token_id = hf_model.config.eos_token_id = None
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no answer would end"):
        from_language_model(hf_model, tokenizer=tokenizer, bot="w3")


def in_memory(**options):
    hf_model, tokenizer = built()
    return from_language_model(hf_model, **{"tokenizer": tokenizer, "bot": "w3", **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chat_template": True}, "the tokenizer has none"),
        ({"system": "w1"}, "needs a chat template"),
        ({"tokenizer": None}, "Give tokenizer="),
        ({"eot": ""}, "eot is '', which has no tokens"),
        ({"bot": ""}, "bot is '', which has no tokens"),
        ({"eos": "w1 w2"}, "2 tokens"),
        ({"chat_template": "w1"}, "0 times"),
        ({"chat_template": "{{ nothing("}, "cannot be filled in"),
        ({"n_thoughts": -1}, "n_thoughts is -1"),
    ],
)
def test_bad_options_get_a_sentence(options, said):
    with pytest.raises(ValueError, match=said):
        in_memory(**options)


def test_a_model_without_an_unembedding_is_refused():
    bare = BUILDERS["gpt2"]().transformer
    with pytest.raises(ValueError, match="GPT2Model has no unembedding"):
        from_language_model(bare, tokenizer=tiny_tokenizer(), eot="w1", n_thoughts=1)


def test_files_that_are_no_model_get_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        from_language_model(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ValueError, match="does not begin with 'GGUF'"):
        from_language_model(tmp_path / "text.gguf")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + b"\3\0\0\0" + b"\1\0\0\0\0\0\0\0" * 2)
    with pytest.raises(ValueError, match=r"cut.gguf cannot be read.*Download it again"):
        from_language_model(tmp_path / "cut.gguf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no causal language model"):
        from_language_model(tmp_path / "empty")


@pytest.mark.slow
def test_a_gguf_file_is_read_as_it_was_written(tmp_path):
    """A made-up Llama: written with the gguf package, names and order of rotary halves as there."""
    gguf = pytest.importorskip("gguf")
    from gguf_files import write_llama

    hf_model, tokenizer = built("llama")
    write_llama(gguf, tmp_path / "tiny.gguf", hf_model)
    read = from_language_model(tmp_path / "tiny.gguf", tokenizer=tokenizer, bot="w3", eot="w5")
    options = {"tokenizer": tokenizer, "bot": "w3", "eot": "w5"}
    expected = from_language_model(hf_model, feedback=Identity(), **options)
    questions = ["w7 w8", "w9"]
    one, other = (each.think(questions) for each in (read, expected))
    torch.testing.assert_close(one.thoughts, other.thoughts, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.first_logits, other.first_logits, rtol=1e-4, atol=1e-4)
    whole = (tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="Download it again"):
        from_language_model(tmp_path / "cut.gguf", tokenizer=tokenizer)
    read.bridge.original_model.config.save_pretrained(tmp_path / "config")
    assert "quantization" not in (tmp_path / "config" / "config.json").read_text()
    read.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again.think(questions).thoughts, one.thoughts)


def test_a_gguf_model_is_a_plain_one_for_hugging_face_too(tmp_path):
    gguf = pytest.importorskip("gguf")
    from cot_attn.checkpoints import load_language_model
    from gguf_files import write_llama

    hf_model, tokenizer = built("llama")
    write_llama(gguf, tmp_path / "tiny.gguf", hf_model)
    parts = load_language_model(tmp_path / "tiny.gguf", tokenizer=tokenizer, bot="w3", eot="w5")
    parts.language_model.save_pretrained(tmp_path / "plain")
    again = type(hf_model).from_pretrained(tmp_path / "plain")
    ids = torch.tensor([[7, 8, 9]])
    torch.testing.assert_close(again(ids).logits, hf_model(ids).logits, rtol=1e-4, atol=1e-5)
