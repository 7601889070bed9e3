"""Theory Coconut: graphs of symbols, a question's last token in the place of BOT."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from cot_attn import AttentionRecorder, Intervention, check_model, run_variants
from cot_attn.data import Problem
from cot_attn.experiments import usage
from cot_attn.interventions import Zero
from cot_attn.models import ContinuousThoughtModel
from cot_attn.recording import PositionRecorder

GRAPHS = [
    "0 2 | 1 3 | 2 4 | 3 5 [Q] 4 5 [R] 1",
    "7 30 | 30 8 [Q] 8 9 [R] 7",
    "0 2 | 2 6 | 1 3 | 3 9 | 9 11 | 4 5 [Q] 11 5 [R] 3",
]
EOS, ANSWER, EDGE, N_THOUGHTS = 38, 37, 34, 3
NAMES = {"|": EDGE, "[Q]": 35, "[R]": 36}


def ids(graph: str) -> list[int]:
    return [EOS, *(NAMES.get(word) or int(word) for word in graph.split())]


@pytest.fixture(scope="module")
def hf_model() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=40, n_positions=64, n_embd=32, n_layer=2, n_head=8, initializer_range=0.2
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def model(hf_model, tmp_path_factory) -> ContinuousThoughtModel:
    """What is read of a file as its authors' training script writes it."""
    tensors = {f"base_causallm.{name}": each for name, each in hf_model.state_dict().items()}
    tensors["embedding.weight"] = hf_model.transformer.wte.weight
    file = tmp_path_factory.mktemp("theory") / "checkpoint_300"
    torch.save({name: each.detach().clone() for name, each in tensors.items()}, file)
    return ContinuousThoughtModel.from_pretrained(
        file, family="coconut-theory", n_thoughts=N_THOUGHTS
    )


@torch.no_grad()
def plain(hf_model: GPT2LMHeadModel, graph: str):
    hf_model.set_attn_implementation("eager")
    inputs, thoughts = hf_model.transformer.wte(torch.tensor([ids(graph)])), []
    for _ in range(N_THOUGHTS):
        output = hf_model(inputs_embeds=inputs, output_hidden_states=True)
        thoughts.append(output.hidden_states[-1][:, -1:])
        inputs = torch.cat([inputs, thoughts[-1]], dim=1)
    inputs = torch.cat([inputs, hf_model.transformer.wte(torch.tensor([[ANSWER]]))], dim=1)
    output = hf_model(inputs_embeds=inputs, output_attentions=True)
    patterns = torch.stack([layer[0] for layer in output.attentions])
    return torch.cat(thoughts, dim=1)[0], output.logits[0, -1], patterns


@pytest.mark.slow
def test_it_thinks_and_looks_as_a_plain_loop(model, hf_model):
    with AttentionRecorder(model) as recorder, PositionRecorder(model) as positions:
        run = model.run(GRAPHS, max_new_tokens=1)
    attention = recorder.dataset()
    for row, graph in enumerate(GRAPHS):
        thoughts, logits, patterns = plain(hf_model, graph)
        torch.testing.assert_close(run.thoughts[row], thoughts, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], logits, atol=1e-4, rtol=1e-4)
        assert run.answer_tokens[row] == [int(logits.argmax())]
        root = len(ids(graph)) - 1  # the last token of the question
        seen = attention["attention"].isel(problem=row).transpose("layer", "head", "query", "key")
        for query, place in (("bot", root), ("thought 1", root + 2), ("eot", root + 4)):
            rows = torch.tensor(seen.sel(query=query).values)
            expected = {"bot": patterns[:, :, place, root]}
            expected["question"] = patterns[:, :, place, :root].sum(dim=-1)
            expected["thought 0"] = patterns[:, :, place, root + 1]
            for key, share in expected.items():
                found = rows[..., seen["key"].values.tolist().index(key)]
                torch.testing.assert_close(found, share, atol=1e-4, rtol=1e-4)
        one = positions.dataset(run.problems[row].id)
        assert one["query_text"].values[root] == graph.split()[-1]
        assert one["query_role"].values[root] == "bot"
    assert attention["question_length"].values.tolist() == [len(ids(g)) - 1 for g in GRAPHS]


def test_its_symbols_are_those_of_the_authors(model):
    _, tokens = model.encode(GRAPHS)
    assert tokens == [ids(graph) for graph in GRAPHS]
    vocabulary = model.tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(40))
    assert [vocabulary[str(node)] for node in range(31)] == list(range(31))
    last = ["<|start-latent|>", "<|end-latent|>", "<|latent|>", "|", "[Q]", "[R]", "[A]", "<eos>"]
    assert [vocabulary[name] for name in last] == list(range(31, 39))
    with pytest.raises(ValueError, match="'Every x is a y', which the tokenizer cannot read"):
        model.run(["Every x is a y"])


@pytest.mark.slow
def test_it_is_saved_without_a_bot(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.template == model.template
    assert again.template.bot == ()
    expected, found = (each.run(GRAPHS, max_new_tokens=1) for each in (model, again))
    assert found.answers == expected.answers
    torch.testing.assert_close(found.thoughts, expected.thoughts)


@pytest.mark.slow
def test_its_thoughts_can_be_changed(model):
    answers = model.generate(GRAPHS, max_new_tokens=1)
    problems = [
        Problem(f"g{i}", graph, answer, answer_type="text")
        for i, (graph, answer) in enumerate(zip(GRAPHS, answers, strict=True))
    ]
    effects = run_variants(model, problems, [Intervention(0, Zero())], max_new_tokens=1)
    assert effects["failed"].notnull().all()
    with pytest.raises(ValueError, match="no BOT to pause with"):
        usage(model, problems, max_new_tokens=1)


@pytest.mark.slow
def test_it_is_checked_with_graphs_and_says_that_an_answer_is_one_token(model):
    report = check_model(model, max_new_tokens=1)
    assert report.passed
    assert all("[R]" in question for question, _ in report.answers)
    assert "max_new_tokens=1" in report.loaded
    assert not any("did not end" in what for what in report.of("looks wrong"))


def test_other_files_than_gpt2s_are_not_read_as_such(tmp_path):
    torch.save({"base_causallm.model.norm.weight": torch.ones(4)}, tmp_path / "checkpoint_1")
    with pytest.raises(ValueError, match="not 'coconut-theory'"):
        ContinuousThoughtModel.from_pretrained(
            tmp_path / "checkpoint_1", family="coconut-theory", n_thoughts=3
        )
