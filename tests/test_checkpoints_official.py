"""What a loaded checkpoint computes is what the official CODI and Coconut code computes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from checkpoint_files import (
    COCONUT,
    CODI,
    SAID,
    Golden,
    coconut_tensors,
    codi_tensors,
    save_shards,
)
from cot_attn.checkpoints import load as load_parts
from cot_attn.models import Close, ContinuousThoughtModel, Prompt, Stage, Thought

LOGITS, ROWS = 5e-4, 5e-5


def load(folder: Path, file: Path | None = None) -> ContinuousThoughtModel:
    """Load a checkpoint, or one file, which is the same model and need not check itself again."""
    return ContinuousThoughtModel.from_pretrained(
        file or folder, **SAID[folder], validate=file is None
    )


@pytest.fixture(scope="module", params=[CODI, COCONUT], ids=["codi", "coconut"])
def case(request: pytest.FixtureRequest) -> tuple[ContinuousThoughtModel, Golden]:
    return load(request.param), Golden(request.param)


def assert_official(model: ContinuousThoughtModel, golden: Golden) -> None:
    run = model.run(golden.questions, max_new_tokens=16)
    for question in range(len(golden.questions)):
        assert run.answer_tokens[question] == golden.answer_tokens(question)
        torch.testing.assert_close(
            run.thoughts[question], golden(question, "thoughts"), atol=LOGITS, rtol=0
        )
        torch.testing.assert_close(
            run.first_logits[question], golden(question, "logits_first"), atol=LOGITS, rtol=0
        )


@pytest.mark.slow
def test_thoughts_logits_and_answers_are_the_official_ones(case):
    assert_official(*case)


def test_the_question_is_tokenised_as_officially(case):
    model, golden = case
    _, tokens = model.encode([f"  {golden.questions[3].replace(' ', '  ')} "])
    _, plain = model.encode([golden.questions[3]])
    assert tokens == plain == [golden(3, "question_ids").tolist()]


def test_token_ids_give_what_texts_give(case):
    model, golden = case
    ids = [golden(question, "question_ids") for question in range(8)]
    of_ids = model.run(ids, max_new_tokens=4)
    of_texts = model.run(golden.questions, max_new_tokens=4)
    assert torch.equal(of_ids.first_logits, of_texts.first_logits)
    assert of_ids.answer_tokens == of_texts.answer_tokens


def test_hidden_states_are_the_official_ones(case):
    model, golden = case
    problems, tokens = model.encode(golden.questions)
    rollout = model.rollout(problems, tokens, 6)
    with torch.no_grad():
        rollout.read()
        hidden = [rollout.hidden]
        for index in range(6):
            rollout.think(index)
            hidden.append(rollout.hidden)
    for question in range(8):
        torch.testing.assert_close(
            torch.stack([each[question] for each in hidden]),
            golden(question, "hidden_final")[:7],
            atol=LOGITS,
            rtol=0,
        )


@pytest.mark.slow
def test_attention_rows_are_the_official_ones(case):
    model, golden = case
    rows: dict[Stage, list[torch.Tensor]] = {}

    def keep(pattern, hook):
        rows.setdefault(model.running.stage, []).append(pattern[0, :, -1])

    stages = [Prompt(), *(Thought(index) for index in range(6)), Close()]
    for question in range(8):
        rows.clear()
        with model.hooks([(lambda name: name.endswith("attn.hook_pattern"), keep)]):
            model.think([golden.questions[question]])
        official = [
            golden(question, "attn_bot"),
            *golden(question, "attn_thoughts"),
            golden(question, "attn_eot"),
        ]
        for stage, row in zip(stages, official, strict=True):
            ours = torch.stack(rows[stage])
            causal, later = row.split([ours.shape[-1], row.shape[-1] - ours.shape[-1]], dim=-1)
            torch.testing.assert_close(ours, causal, atol=ROWS, rtol=0)
            assert not later.any()


@pytest.mark.slow
def test_a_batch_of_mixed_lengths_gives_what_each_question_gives_alone(case):
    model, golden = case
    together = model.run(golden.questions[:4], max_new_tokens=6)
    alone = model.run(golden.questions[:4], max_new_tokens=6, batch_size=1)
    torch.testing.assert_close(together.thoughts, alone.thoughts, atol=3e-5, rtol=0)
    torch.testing.assert_close(together.first_logits, alone.first_logits, atol=3e-5, rtol=0)
    assert together.answer_tokens == alone.answer_tokens


def test_the_official_batched_script_is_off_by_whole_units():
    """Why the comparison above matters: the script drops the mask after the prompt."""
    golden = Golden(CODI)
    batched = torch.from_numpy(golden.arrays["official_batch.logits_first"])
    alone = torch.stack([golden(question, "logits_first") for question in range(8)])
    assert (batched - alone).abs().max() > 5


@pytest.mark.slow
def test_coconut_goes_on_after_an_eos_in_the_first_place():
    golden = Golden(COCONUT)
    [tokens] = load(COCONUT).run([golden.questions[2]], max_new_tokens=16).answer_tokens
    assert tokens[0] == golden.eos
    assert len(tokens) > 1
    assert golden.eos not in tokens[1:]


@pytest.mark.slow
def test_codi_never_emits_eot():
    model = load(CODI)
    with torch.no_grad():  # let EOT win every step
        model.bridge.original_model.get_input_embeddings().weight[202] *= 100
    tokens = model.run(Golden(CODI).questions, max_new_tokens=4).answer_tokens
    assert all(202 not in answer for answer in tokens)


@pytest.mark.slow
def test_the_added_tokens_have_their_names_and_ids():
    codi, coconut = (load_parts(each, **SAID[each]).tokenizer for each in (CODI, COCONUT))
    names = ["[PAD]", "<|bocot|>", "<|eocot|>"]
    assert codi.convert_tokens_to_ids(names) == [200, 201, 202]
    names = ["<|start-latent|>", "<|end-latent|>", "<|latent|>"]
    assert coconut.convert_tokens_to_ids(names) == [200, 201, 202]


# The files ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_each_official_codi_file_gives_the_official_numbers(file):
    assert_official(load(CODI, CODI / file), Golden(CODI))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["checkpoint_1", "model.safetensors"])
def test_each_official_coconut_file_gives_the_official_numbers(file):
    assert_official(load(COCONUT, COCONUT / file), Golden(COCONUT))


@pytest.mark.slow
@pytest.mark.parametrize("folder", [CODI, COCONUT], ids=["codi", "coconut"])
def test_shards_give_the_official_numbers_with_and_without_an_index(folder, tmp_path):
    save_shards(codi_tensors() if folder == CODI else coconut_tensors(), tmp_path)
    assert_official(load(folder, tmp_path), Golden(folder))
    (tmp_path / "model.safetensors.index.json").unlink()
    model = load(folder, tmp_path)
    assert_official(model, Golden(folder))
    assert len(model.load_report.files) == 3


@pytest.mark.slow
@pytest.mark.parametrize("dropped", ["transformer.wte.weight", "lm_head.weight"])
def test_either_of_the_tied_names_is_enough(dropped, tmp_path):
    tensors = codi_tensors()
    del tensors[f"codi.base_model.model.{dropped}"]
    save_file(
        {key: tensor.clone() for key, tensor in tensors.items()}, tmp_path / "model.safetensors"
    )
    assert_official(load(CODI, tmp_path), Golden(CODI))


@pytest.mark.slow
def test_a_pickle_in_the_old_format_gives_the_official_numbers(tmp_path):
    file = tmp_path / "checkpoint_7"
    torch.save(coconut_tensors(), file, _use_new_zipfile_serialization=False)
    assert_official(load(COCONUT, tmp_path), Golden(COCONUT))


@pytest.mark.slow
def test_the_base_beside_the_weights_needs_no_base_option(tmp_path):
    for file in (CODI / "base").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(codi_tensors(), tmp_path / "pytorch_model.bin")
    model = ContinuousThoughtModel.from_pretrained(tmp_path, n_thoughts=6, lora_alpha=32)
    assert_official(model, Golden(CODI))


@pytest.mark.slow
def test_the_report_says_what_was_read():
    model = ContinuousThoughtModel.from_pretrained(CODI / "pytorch_model.bin", **SAID[CODI])
    report = model.load_report
    assert report.family == "codi"
    assert report.sha256 == "2caaf9b86b37ad5db074afbcff491566e1805d39757e614cff208f64e4babac5"
    assert report.settings == {
        "n_thoughts": 6,
        "remove_eos": True,
        "lora_rank": 8,
        "lora_alpha": 32,
        "prj_dim": 48,
        "layer_norm": True,
    }
    assert report.repeated == ("codi.base_model.model.lm_head.weight",)
    assert report.unused == ()
    assert len(report.checks) == 5
    assert report.sha256 in str(report)
