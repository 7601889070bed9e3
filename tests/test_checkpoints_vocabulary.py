"""The added tokens have the ids that training gave them, or an error asks for them."""

import json
import shutil
from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from checkpoint_files import (
    COCONUT,
    CODI,
    Golden,
    coconut_tensors,
    codi_tensors,
    plain_loop,
    projection_from,
)
from cot_attn.checkpoints import CheckpointInfo, register_checkpoint
from cot_attn.checkpoints import load as load_parts
from cot_attn.checkpoints import registry as registry_module
from cot_attn.models import ContinuousThoughtModel

QUESTIONS = Golden(CODI).questions[:2]
N_NEW = 2
NAMES = {
    CODI: ["[PAD]", "<|bocot|>", "<|eocot|>"],
    COCONUT: ["<|start-latent|>", "<|end-latent|>", "<|latent|>"],
}
BOT_EOT = {CODI: ("<|bocot|>", "<|eocot|>"), COCONUT: ("<|start-latent|>", "<|end-latent|>")}
both = pytest.mark.parametrize("family", [CODI, COCONUT], ids=["codi", "coconut"])


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is forgotten."""
    monkeypatch.setattr(registry_module, "_KNOWN", dict(registry_module._KNOWN))


@cache
def tensors_with(family, n_rows):
    """The conformance checkpoint without LoRA, with another number of rows in its embedding."""
    if family == CODI:
        tensors = {
            key.replace("codi.base_model.model.", "codi.").replace(".base_layer.", "."): t.float()
            for key, t in codi_tensors().items()
            if ".lora_" not in key
        }
    else:
        tensors = coconut_tensors()
    generator = torch.Generator().manual_seed(5)
    embedding = next(key for key in tensors if key.endswith("wte.weight"))
    rows = tensors[embedding]
    more = torch.randn(max(n_rows - len(rows), 0), rows.shape[1], generator=generator)
    grown = torch.cat([rows, more * rows.std()])[:n_rows]
    return {key: grown if len(t) == len(rows) else t for key, t in tensors.items()}


def save(family, folder, n_rows):
    torch.save(tensors_with(family, n_rows), folder / "pytorch_model.bin")
    return folder


def base_with(family, folder, *, tokens=(), **changes):
    """The base, with other facts in its configuration and with tokens added to its tokenizer."""
    shutil.copytree(family / "base", folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    if tokens:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(list(tokens))
        tokenizer.save_pretrained(folder)
    return folder


def said_of(family, **said):
    return {"base": family / "base", "n_thoughts": 3} | said


def load(folder, family, **said):
    return ContinuousThoughtModel.from_pretrained(folder, validate=False, **said_of(family, **said))


def parts(folder, family, **said):
    """What is loaded without a bridge round it, which takes as long again."""
    return load_parts(folder, **said_of(family, **said))


def looped(family, net, project, question, bot, eot):
    """Return what a plain loop gives with these ids."""
    return plain_loop(
        net,
        project,
        question,
        bot=[bot],
        eot=[eot],
        eos=199,
        n_thoughts=3,
        max_new_tokens=N_NEW,
        never=[eot] if family == CODI else [],
    )


@cache
def plain(family, n_rows):
    """A plain Hugging Face model of that many rows, and what makes thoughts of its states."""
    tensors = tensors_with(family, n_rows)
    config = AutoConfig.from_pretrained(family / "base")
    config.vocab_size = n_rows
    net = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    prefix = "codi." if family == CODI else "base_causallm."
    named = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
    assert not net.load_state_dict(named, strict=False).unexpected_keys
    return net, projection_from(tensors) if family == CODI else (lambda hidden: hidden)


def assert_like_the_loop(model, family, n_rows, bot, eot):
    """Against a plain Hugging Face model of that many rows and a plain loop with these ids."""
    assert (model.template.bot, model.template.eot) == ((bot,), (eot,))
    run = model.run(QUESTIONS, max_new_tokens=N_NEW)
    _, questions = model.encode(QUESTIONS)
    net, project = plain(family, n_rows)
    for row, question in enumerate(questions):
        expected = looped(family, net, project, question, bot, eot)
        torch.testing.assert_close(run.thoughts[row], expected.thoughts, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], expected.logits, atol=2e-4, rtol=1e-4)
        assert run.first_logits.shape[1] == n_rows
        assert run.answer_tokens[row] == expected.tokens or run.answer_tokens[row][0] == 199


def assert_parts_like_the_loop(loaded, family, n_rows, bot, eot):
    """The same of the parts that were loaded, in the same plain loop."""
    template = loaded.template
    assert (template.bot, template.eot, template.eos) == ((bot,), (eot,), 199)
    assert (eot in template.suppressed) or family == COCONUT
    net, project = plain(family, n_rows)
    for question in QUESTIONS:
        tokens = loaded.tokenizer(question)["input_ids"]
        own = loaded.language_model, loaded.feedback.transform
        found, expected = (
            looped(family, *each, tokens, bot, eot) for each in (own, (net, project))
        )
        torch.testing.assert_close(found.thoughts, expected.thoughts, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(found.logits, expected.logits, atol=2e-4, rtol=1e-4)
        assert found.logits.shape == (n_rows,)
        assert found.tokens == expected.tokens


# As the user says -----------------------------------------------------------------------------


@pytest.mark.slow
@both
@pytest.mark.parametrize(
    ("n_rows", "bot", "eot"),
    [(256, 201, 202), (205, 203, 204), (205, 201, 202), (203, 202, 200), (320, 300, 17)],
)
def test_the_ids_and_the_rows_may_be_any(n_rows, bot, eot, family, tmp_path):
    """Padded to a multiple of 64, grown by five, or in another order."""
    model = load(save(family, tmp_path, n_rows), family, bot=bot, eot=eot)
    assert_like_the_loop(model, family, n_rows, bot, eot)
    assert f"bot={bot} and eot={eot} of {n_rows} token ids" in str(model.load_report)


@pytest.mark.slow
@both
def test_what_the_user_says_may_be_what_is_usual(family, tmp_path):
    bot, eot = (201, 202) if family == CODI else (200, 201)
    loaded = parts(save(family, tmp_path, 203), family, bot=bot, eot=eot)
    assert_parts_like_the_loop(loaded, family, 203, bot, eot)
    assert loaded.report.notes == ()
    assert loaded.tokenizer.convert_tokens_to_ids(list(BOT_EOT[family])) == [bot, eot]


@pytest.mark.slow
@both
def test_a_base_that_is_larger_than_the_checkpoint(family, tmp_path):
    """Where a padded embedding was cut to the tokenizer's size before tokens were added."""
    base = base_with(family, tmp_path / "base", vocab_size=208)
    loaded = parts(save(family, tmp_path, 203), family, base=base, bot=201, eot=202)
    assert_parts_like_the_loop(loaded, family, 203, 201, 202)


@pytest.mark.slow
@both
@pytest.mark.parametrize("n_rows", [256, 205, 208, 201])
def test_another_number_of_rows_of_which_nobody_says_the_ids(n_rows, family, tmp_path):
    with pytest.raises(ValueError, match=f"knows {n_rows} token ids; the base has 200") as error:
        load(save(family, tmp_path, n_rows), family)
    assert "give bot= and eot=" in str(error.value)


@both
@pytest.mark.parametrize("said", [{"bot": 201}, {"eot": 204}])
def test_one_id_alone_does_not_say_where_the_other_is(said, family, tmp_path):
    with pytest.raises(ValueError, match="give bot= and eot="):
        load(save(family, tmp_path, 256), family, **said)


@both
@pytest.mark.parametrize(
    ("bot", "eot", "words"),
    [
        (256, 201, "two different ids below 256"),
        (201, 9999, "two different ids below 256"),
        (201, 201, "two different ids"),
        (-1, 201, "bot is -1"),
        (True, 201, "bot is True"),
    ],
)
def test_ids_that_cannot_be(bot, eot, words, family, tmp_path):
    with pytest.raises(ValueError, match=words):
        load(save(family, tmp_path, 256), family, bot=bot, eot=eot)


@both
def test_a_base_of_another_vocabulary(family, tmp_path):
    """Ids do not make a checkpoint fit a base whose words it does not know."""
    base = base_with(family, tmp_path / "base", tokens=[f"more{i}" for i in range(80)])
    with pytest.raises(ValueError, match="has 280 tokens, the checkpoint's embedding 256 rows"):
        load(save(family, tmp_path, 256), family, base=base, bot=201, eot=202)


@pytest.mark.slow
def test_ids_that_are_registered(tmp_path):
    info = CheckpointInfo("codi", str(CODI / "base"), 3, bot=203, eot=204)
    register_checkpoint(str(save(CODI, tmp_path, 256)), info)
    assert_like_the_loop(ContinuousThoughtModel.from_pretrained(str(tmp_path)), CODI, 256, 203, 204)
    model = ContinuousThoughtModel.from_pretrained(str(tmp_path), bot=201, eot=202)
    assert_like_the_loop(model, CODI, 256, 201, 202)


@pytest.mark.slow
def test_ids_with_eos_before_bot_and_after_eot(tmp_path):
    model = load(save(CODI, tmp_path, 256), CODI, bot=210, eot=211, remove_eos=False)
    assert (model.template.bot, model.template.eot) == ((199, 210), (211, 199))
    assert model.template.suppressed == (211,)


@pytest.mark.slow
def test_a_folder_that_was_saved_says_its_ids_itself(tmp_path):
    (tmp_path / "one").mkdir()
    model = load(save(CODI, tmp_path / "one", 256), CODI, bot=210, eot=211)
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert_like_the_loop(again, CODI, 256, 210, 211)
    with pytest.raises(ValueError, match=r"\['use_rslora', 'bot', 'eot'\]"):
        ContinuousThoughtModel.from_pretrained(tmp_path / "saved", bot=1, eot=2, use_rslora=True)


# As the files say -----------------------------------------------------------------------------


@pytest.mark.slow
@both
@pytest.mark.parametrize(("n_rows", "first"), [(256, 200), (203, 200), (205, 202)])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_added_tokens_json_beside_the_weights(order, n_rows, first, family, tmp_path):
    ids = {NAMES[family][place]: first + number for number, place in enumerate(order)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    loaded = parts(save(family, tmp_path, n_rows), family)
    bot, eot = (ids[name] for name in BOT_EOT[family])
    assert_parts_like_the_loop(loaded, family, n_rows, bot, eot)


@pytest.mark.slow
@both
@pytest.mark.parametrize("n_rows", [256, 205])
def test_a_grown_tokenizer_beside_the_weights(n_rows, family, tmp_path):
    grown = base_with(family, tmp_path / "grown", tokens=["<x>", "<y>", *NAMES[family]])
    (tmp_path / "checkpoint").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(grown / name, tmp_path / "checkpoint")
    loaded = parts(save(family, tmp_path / "checkpoint", n_rows), family)
    first = 203 if family == CODI else 202
    assert_parts_like_the_loop(loaded, family, n_rows, first, first + 1)


@pytest.mark.slow
@both
@pytest.mark.parametrize("n_rows", [203, 256])
@pytest.mark.parametrize("vocab_size", [200, 203, 256])
def test_a_base_folder_that_is_grown_already(vocab_size, n_rows, family, tmp_path):
    tokens = NAMES[family]
    base = base_with(family, tmp_path / "base", tokens=tokens, vocab_size=vocab_size)
    loaded = parts(save(family, tmp_path, n_rows), family, base=base)
    bot, eot = (201, 202) if family == CODI else (200, 201)
    assert_parts_like_the_loop(loaded, family, n_rows, bot, eot)
    assert loaded.tokenizer.convert_tokens_to_ids(list(BOT_EOT[family])) == [bot, eot]
    assert len(loaded.tokenizer) == 203


@pytest.mark.slow
@both
def test_a_grown_folder_with_its_checkpoint_in_it_needs_no_base(family, tmp_path):
    folder = base_with(family, tmp_path / "all", tokens=NAMES[family], vocab_size=203)
    loaded = parts(save(family, folder, 203), family, base=None)
    bot, eot = (201, 202) if family == CODI else (200, 201)
    assert_parts_like_the_loop(loaded, family, 203, bot, eot)


@pytest.mark.slow
@both
def test_a_grown_configuration_whose_tokenizer_does_not_say_the_ids(family, tmp_path):
    base = base_with(family, tmp_path / "base", vocab_size=203)
    save(family, tmp_path, 203)
    with pytest.raises(ValueError, match="knows 203 token ids; the base has 203"):
        load(tmp_path, family, base=base)
    loaded = parts(tmp_path, family, base=base, bot=201, eot=202)
    assert_parts_like_the_loop(loaded, family, 203, 201, 202)


@both
def test_what_the_user_says_against_the_files(family, tmp_path):
    ids = {name: 200 + place for place, name in enumerate(NAMES[family])}
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    save(family, tmp_path, 256)
    with pytest.raises(ValueError, match=r"same everywhere: bot= 250, .*added_tokens\.json"):
        load(tmp_path, family, bot=250, eot=ids[BOT_EOT[family][1]])


@both
def test_the_files_against_the_base(family, tmp_path):
    base = base_with(family, tmp_path / "base", tokens=NAMES[family], vocab_size=203)
    ids = {name: 210 + place for place, name in enumerate(NAMES[family])}
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    with pytest.raises(ValueError, match="not the same everywhere"):
        load(save(family, tmp_path, 256), family, base=base)


@pytest.mark.slow
def test_files_of_a_tokenizer_without_the_names_say_nothing(tmp_path):
    (tmp_path / "added_tokens.json").write_text('{"<image>": 250}')
    shutil.copy(CODI / "base" / "tokenizer.json", tmp_path)
    assert_parts_like_the_loop(parts(save(CODI, tmp_path, 203), CODI), CODI, 203, 201, 202)


@pytest.mark.parametrize("name", ["added_tokens.json", "tokenizer.json", "tokenizer_config.json"])
def test_damaged_files_of_a_tokenizer(name, tmp_path):
    for content in ("{", "[1]", "\x00"):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            load(save(CODI, tmp_path, 203), CODI)


# Empty files ----------------------------------------------------------------------------------


@pytest.mark.slow
@both
@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_is_as_good_as_none(content, family, tmp_path):
    for name in ("config.json", "added_tokens.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(content)
    bot, eot = (201, 202) if family == CODI else (200, 201)
    assert_parts_like_the_loop(parts(save(family, tmp_path, 203), family), family, 203, bot, eot)
    with pytest.raises(ValueError, match=r"has an empty config\.json. Give as base="):
        load(tmp_path, family, base=None)


def test_a_base_whose_configuration_is_empty(tmp_path):
    base = base_with(CODI, tmp_path / "base")
    (base / "config.json").write_text("")
    with pytest.raises(FileNotFoundError, match=r"config\.json is empty"):
        load(save(CODI, tmp_path, 203), CODI, base=base)
