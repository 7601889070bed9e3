"""The lens reads what the model reads, and says beside it what it finds by chance."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from checkpoint_files import CODI, SAID, Golden
from conftest import BUILDERS, wrap
from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel, Identity, Projection
from cot_attn.readouts import logit_lens, step_results, top_tokens
from cot_attn.readouts._ranks import ranks
from cot_attn.recording import StateRecorder
from spelled_models import N_THOUGHTS, spelling_model

N_NEW = 5


def recorded(model: ContinuousThoughtModel, problems: list, **options: object) -> xr.Dataset:
    with StateRecorder(model, **options) as recorder:
        model.run(problems, max_new_tokens=N_NEW)
    return recorder.dataset()


def numbered(questions: list[str], steps: list[list[str]], answer: str = "3") -> list[Problem]:
    pairs = enumerate(zip(questions, steps, strict=True))
    return [Problem(f"p{i}", q, answer, steps=tuple(s)) for i, (q, s) in pairs]


@pytest.fixture(scope="module")
def asked(questions: list[str]) -> list[Problem]:
    steps = [[str(i), str(i + 5), "7"][: 1 + i % 3] for i in range(len(questions))]
    return numbered(questions, steps)


# What is read -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_five_likeliest_tokens_are_the_official_ones() -> None:
    model, golden = ContinuousThoughtModel.from_pretrained(CODI, **SAID[CODI]), Golden(CODI)
    official = np.load(CODI / "lens.npz")
    states = recorded(model, golden.questions, layers=[-1])
    found = top_tokens(states, model, k=5).isel(layer=0, place=slice(7))
    assert found["place"].values.tolist() == ["bot", *(f"thought {i}" for i in range(6))]
    np.testing.assert_array_equal(found["token_id"], official["ids"])
    np.testing.assert_allclose(found["probability"], official["probabilities"], atol=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", BUILDERS)
def test_the_last_layers_lens_at_eot_is_the_models_own_prediction(
    architecture: str, asked: list[Problem]
) -> None:
    torch.manual_seed(2)
    model = wrap(BUILDERS[architecture](), Projection(32, 40), n_thoughts=3)
    states = recorded(model, asked)
    found = logit_lens(model, states, asked, "answer").sel(target="answer", place="eot")
    logits = model.run(asked, max_new_tokens=1).first_logits
    true = logits.log_softmax(-1)[:, model.tokenizer.convert_tokens_to_ids("3")]
    np.testing.assert_allclose(found["logprob"].isel(layer=-1), true, atol=1e-5)
    rank = (logits.softmax(-1) >= true.exp()[:, None] * (1 - 1e-6)).sum(-1)
    np.testing.assert_array_equal(found["rank"].isel(layer=-1), rank)
    # The norm is at every layer, once.
    early = torch.from_numpy(states.state.sel(place="bot").isel(layer=0).values)
    inner = model.bridge.original_model
    with torch.no_grad():
        norm = getattr(inner.base_model, "ln_f", None) or inner.base_model.norm
        plain = inner.lm_head(norm(early)).log_softmax(-1)
    bot = logit_lens(model, states, asked, "answer").sel(target="answer", place="bot")
    np.testing.assert_allclose(
        bot["logprob"].isel(layer=0),
        plain[:, model.tokenizer.convert_tokens_to_ids("3")],
        atol=1e-5,
    )


@pytest.mark.slow
def test_thoughts_that_are_fed_as_they_are_have_one_reading(asked: list[Problem]) -> None:
    """Coconut's thought is the hidden state: where embeddings are tied, cosines follow logits."""
    torch.manual_seed(3)
    hf_model = BUILDERS["llama"]()
    with torch.no_grad():  # embeddings of one length
        weight = hf_model.get_input_embeddings().weight
        weight /= weight.norm(dim=1, keepdim=True)
    model = wrap(hf_model, Identity(), n_thoughts=3)
    states = recorded(model, asked)
    hidden = logit_lens(model, states, asked)["rank"].isel(layer=-1)
    fed = logit_lens(model, states, asked, space="fed")["rank"]
    for i, place in enumerate(["bot", "thought 0", "thought 1"]):
        assert states["becomes"].sel(place=place) == f"thought {i}"
        np.testing.assert_array_equal(hidden.sel(place=place), fed.sel(thought=i))


@pytest.mark.slow
def test_what_is_fed_is_compared_with_the_input_embeddings(asked: list[Problem]) -> None:
    torch.manual_seed(4)
    model = wrap(BUILDERS["gpt2"](), Projection(32, 40), n_thoughts=2)
    states = recorded(model, asked)
    found = logit_lens(model, states, asked, "answer", space="fed")
    embeddings = model.bridge.original_model.get_input_embeddings().weight.detach().numpy()
    fed = states.fed.values
    cosines = fed @ embeddings.T / np.linalg.norm(fed, axis=-1)[..., None]
    cosines /= np.linalg.norm(embeddings, axis=-1)
    own = model.tokenizer.convert_tokens_to_ids("3")
    np.testing.assert_allclose(found["cosine"].sel(target="answer"), cosines[..., own], atol=1e-6)
    rank = (cosines > cosines[..., own, None]).sum(-1) + 1
    np.testing.assert_array_equal(found["rank"].sel(target="answer"), rank)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=12), st.data())
def test_ranks_count_the_words_that_are_not_below(scores: list[int], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, max_size=5))
    found = ranks(torch.tensor([scores], dtype=torch.float32), torch.tensor([wanted]))
    assert found[0].tolist() == [sum(s >= scores[word] for s in scores) for word in wanted]


@pytest.mark.slow
def test_a_model_that_says_everything_alike_ranks_nothing_first(asked: list[Problem]) -> None:
    torch.manual_seed(2)
    hf_model = BUILDERS["gpt2"]()
    with torch.no_grad():
        hf_model.transformer.ln_f.weight.zero_()
        hf_model.transformer.ln_f.bias.zero_()
    model = wrap(hf_model, Projection(32, 40), n_thoughts=2)
    found = logit_lens(model, recorded(model, asked), asked, "answer")
    assert (found["rank"].sel(place=["bot", "eot"]) == 60).all()


# Spellings and numbers of several tokens --------------------------------------------------------


@pytest.fixture(scope="module")
def spelled() -> tuple[ContinuousThoughtModel, torch.nn.Module, list[Problem], xr.Dataset]:
    model, plain = spelling_model()
    questions = ["a b c", "d", "e f g h a b", "c c d", "a", "b d f h"]
    steps = [["7", "31"], ["2", "4"], ["5", "86"], ["7", "209"], ["1", "60"], ["0", "75"]]
    problems = numbered(questions, steps)
    return model, plain, problems, recorded(model, problems)


@torch.no_grad()
def plain_logits(
    model: ContinuousThoughtModel, plain: torch.nn.Module, question: str, said: list[int], n: int
) -> torch.Tensor:
    """Logits behind each token that is said after thought n - 1, in one pass of a plain model."""
    embed = plain.get_input_embeddings()
    thoughts = model.think([question]).thoughts[0, :n]
    before = [*model.tokenizer(question)["input_ids"], *model.template.bot]
    parts = [embed(torch.tensor(before)), thoughts, embed(torch.tensor(said, dtype=torch.long))]
    return plain(inputs_embeds=torch.cat(parts)[None]).logits[0, len(before) + n - 1 :]


@pytest.mark.slow
def test_both_spellings_of_a_number_count_once(spelled) -> None:
    model, plain, problems, states = spelled
    found = logit_lens(model, states, problems).sel(target="step 1")
    vocabulary = model.tokenizer.get_vocab()
    for row, problem in enumerate(problems):
        for n, place in enumerate(["bot", "thought 0", "thought 1"]):
            chances = plain_logits(model, plain, problem.question, [], n)[0].softmax(-1)
            words = {
                d: chances[vocabulary[d]] + chances[vocabulary[f"Ġ{d}"]]
                for d in "0123456789abcdefgh"
            }
            others = [chances[token] for token in range(4)]
            own = words[problem.steps[0]]
            here = found.isel(problem=row, layer=-1).sel(place=place)
            np.testing.assert_allclose(here["logprob"], own.log(), atol=1e-5)
            assert here["rank"] == sum(each >= own for each in [*words.values(), *others])
    assert not found["forced"].any()


@pytest.mark.slow
def test_a_number_of_several_tokens_is_scored_by_its_chain(spelled) -> None:
    model, plain, problems, states = spelled
    found = logit_lens(model, states, problems).sel(target="step 2")
    vocabulary = model.tokenizer.get_vocab()
    assert found["n_tokens"].values.tolist() == [2, 1, 2, 3, 2, 2]
    np.testing.assert_array_equal(found["forced"], found["n_tokens"] > 1)
    for row, problem in enumerate(problems):
        first, *rest = problem.steps[1]
        said = [vocabulary[f"Ġ{first}"], *(vocabulary[digit] for digit in rest)]
        for n, place in enumerate(["bot", "thought 0", "thought 1"]):
            chances = plain_logits(model, plain, problem.question, said[:-1], n).softmax(-1)
            own = chances[0, vocabulary[first]] + chances[0, said[0]]
            true = own.log() + sum(chances[i, said[i]].log() for i in range(1, len(said)))
            here = found.isel(problem=row, layer=-1).sel(place=place)
            np.testing.assert_allclose(here["logprob"], true, atol=2e-5)
            worst = [int((chances[i] >= chances[i, said[i]]).sum()) for i in range(1, len(said))]
            assert here["rank"] >= max(worst, default=1)
            if worst and max(worst) > 22:  # more than there are words: the first cannot be worse
                assert here["rank"] == max(worst)


def test_ways_to_write_a_number_that_begin_otherwise_are_added_up() -> None:
    """Behind a space 315 is " 3", "1", "5"; where nothing is in front of it, "31", "5"."""
    model, plain = spelling_model(("3", "1"))
    problems = numbered(["a b c", "d"], [["315"], ["315"]])
    found = logit_lens(model, recorded(model, problems), problems).sel(target="step 1")
    vocabulary = model.tokenizer.get_vocab()
    space, three, one, five, both = (vocabulary[each] for each in ("Ġ3", "3", "1", "5", "31"))
    for row, problem in enumerate(problems):
        for n, place in enumerate(["bot", "thought 0", "thought 1"]):
            digits, pair = (
                plain_logits(model, plain, problem.question, said, n).softmax(-1)
                for said in ([space, one], [both])
            )
            first = digits[0, space] + digits[0, three]
            ways = first * digits[1, one] * digits[2, five], pair[0, both] * pair[1, five]
            here = found.isel(problem=row, layer=-1).sel(place=place)
            np.testing.assert_allclose(here["logprob"], sum(ways).log(), atol=2e-5)


@pytest.mark.slow
def test_a_chain_behind_eot_is_the_models_own_answer(spelled) -> None:
    """What a plain model says of "a4" in the answer's first place."""
    model, plain, problems, states = spelled
    found = logit_lens(model, states, problems, {p.id: ["a4"] for p in problems})
    vocabulary = model.tokenizer.get_vocab()
    embed, said = plain.get_input_embeddings(), [2, vocabulary["Ġa"]]
    for row, problem in enumerate(problems):
        ids = torch.tensor([*model.tokenizer(problem.question)["input_ids"], 1])
        thoughts = model.think([problem]).thoughts[0]
        whole = torch.cat([embed(ids), thoughts, embed(torch.tensor(said))])
        with torch.no_grad():
            chances = plain(inputs_embeds=whole[None]).logits[0, -2:].softmax(-1)
        true = (chances[0, vocabulary["a"]] + chances[0, said[1]]).log()
        true = true + chances[1, vocabulary["4"]].log()
        here = found["logprob"].isel(problem=row, layer=-1).sel(place="eot", target="target 1")
        np.testing.assert_allclose(here, true, atol=2e-5)


@pytest.mark.slow
def test_a_chain_before_the_value_follows_the_models_own_words(spelled) -> None:
    model, plain, problems, states = spelled
    values = states["value_token"].values
    assert (values > 0).any()
    found = logit_lens(model, states, problems, {p.id: ["12"] for p in problems})
    vocabulary = model.tokenizer.get_vocab()
    run = model.run(problems, max_new_tokens=N_NEW)
    embed = plain.get_input_embeddings()
    for row, problem in enumerate(problems):
        here = found["logprob"].isel(problem=row, layer=-1).sel(place="answer_value")
        if np.isnan(values[row]):
            assert here.isnull().all()
            continue
        ids = torch.tensor([*model.tokenizer(problem.question)["input_ids"], 1])
        words = [2, *run.answer_tokens[row][: int(values[row])], vocabulary["Ġ1"]]
        whole = torch.cat([embed(ids), run.thoughts[row], embed(torch.tensor(words))])
        with torch.no_grad():
            chances = plain(inputs_embeds=whole[None]).logits[0, -2:].softmax(-1)
        first = chances[0, vocabulary["1"]] + chances[0, vocabulary["Ġ1"]]
        true = first.log() + chances[1, vocabulary["2"]].log()
        np.testing.assert_allclose(here.item(), true, atol=2e-5)


def test_what_was_fed_holds_one_token_and_no_chain(spelled) -> None:
    model, _, problems, states = spelled
    found = logit_lens(model, states, problems, space="fed")
    missing = found["rank"].isnull().all("thought")
    np.testing.assert_array_equal(missing, found["forced"])


# The baseline -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_baseline_is_the_same_target_in_others_states(spelled) -> None:
    """Every other problem that has as long a target there is searched, if there are few."""
    model, _, problems, states = spelled
    found = logit_lens(model, states, problems, n_others=9).sel(target="step 2")
    lengths = found["n_tokens"].values
    for row, problem in enumerate(problems):
        others = [i for i in range(len(problems)) if i != row and lengths[i] == lengths[row]]
        baseline = found["baseline_logprob"].isel(problem=row)
        assert (baseline.notnull().sum("other").sel(place="bot") == len(others)).all()
        if not others:
            continue
        swapped = {p.id: [] for p in problems} | {
            problems[i].id: [problem.steps[1]] for i in others
        }
        there = logit_lens(model, states, problems, swapped)["logprob"].isel(
            target=0, problem=others
        )
        for place in ("bot", "thought 1", "eot"):
            ours = np.sort(baseline.sel(place=place).isel(other=slice(len(others))).T, axis=0)
            np.testing.assert_allclose(ours, np.sort(there.sel(place=place), axis=0), atol=1e-4)


@pytest.mark.slow
def test_what_is_corrected_is_a_target_less_its_mean_elsewhere(spelled) -> None:
    model, _, problems, states = spelled
    found = logit_lens(model, states, problems).sel(target="step 1")
    for row, problem in enumerate(problems):
        everywhere = {p.id: [problem.steps[0]] for p in problems}
        chances = np.exp(logit_lens(model, states, problems, everywhere)["logprob"].isel(target=0))
        others = chances.drop_isel(problem=row).mean("problem")
        np.testing.assert_allclose(
            found["corrected"].isel(problem=row),
            found["logprob"].isel(problem=row) - np.log(others),
            atol=1e-4,
        )


@pytest.mark.slow
def test_a_word_that_is_said_everywhere_is_corrected_to_nothing(asked: list[Problem]) -> None:
    torch.manual_seed(2)
    hf_model = BUILDERS["gpt2"]()
    with torch.no_grad():  # a norm that forgets its input says the same of every state
        hf_model.transformer.ln_f.weight.zero_()
        hf_model.transformer.ln_f.bias.normal_()
    model = wrap(hf_model, Projection(32, 40), n_thoughts=2)
    found = logit_lens(model, recorded(model, asked), asked, "answer").sel(place=["bot", "eot"])
    np.testing.assert_allclose(found["corrected"], 0, atol=1e-5)
    np.testing.assert_array_equal(found["baseline_rank"].min("other"), found["rank"])


@pytest.mark.slow
def test_order_and_batches_change_nothing(spelled) -> None:
    model, _, problems, states = spelled
    found = logit_lens(model, states, problems)
    shuffled = [problems[i] for i in (3, 0, 5, 1, 4, 2)]
    again = logit_lens(model, recorded(model, shuffled), shuffled).sel(problem=found["problem"])
    xr.testing.assert_allclose(found, again, atol=1e-4)
    np.testing.assert_array_equal(found["rank"], again["rank"])
    assert list(logit_lens(model, states, shuffled)["problem"].values) == [p.id for p in problems]


@pytest.mark.slow
def test_a_selection_of_states_reads_as_the_whole(spelled) -> None:
    model, _, problems, states = spelled
    some = states.sel(layer=[1], place=["thought 1", "bot"])
    whole = logit_lens(model, states, problems)
    xr.testing.assert_allclose(
        logit_lens(model, some, problems),
        whole.sel(layer=[1], place=["thought 1", "bot"]),
        atol=1e-5,
    )


# Words for looking ------------------------------------------------------------------------------


def test_how_usual_a_token_is_counts_the_other_problems(spelled) -> None:
    model, _, problems, states = spelled
    found = top_tokens(states, model, k=3)
    for row in range(len(problems)):
        for rank in range(3):
            here = found.isel(problem=row, rank=rank).sel(layer=1, place="thought 0")
            others = found["token_id"].sel(layer=1, place="thought 0").drop_isel(problem=row)
            share = (others == here["token_id"]).any("rank").mean()
            np.testing.assert_allclose(here["elsewhere"], share)
    has = states["state"].notnull().all("d_model")
    np.testing.assert_array_equal(found["token_id"].isel(rank=0) >= 0, has)
    np.testing.assert_array_equal(found["probability"].isel(rank=0).notnull(), has)


# The door ---------------------------------------------------------------------------------------


def test_bad_input_is_refused_with_a_sentence(spelled, asked: list[Problem]) -> None:
    model, _, problems, states = spelled
    with pytest.raises(ValueError, match=r"'p0' cannot be looked for.*cannot write 'xyz'"):
        logit_lens(model, states, problems, {p.id: ["xyz"] for p in problems})
    with pytest.raises(ValueError, match=r"lack 1 of the problems .p5. and have 1 others .q"):
        logit_lens(model, states, problems, {p.id: ["7"] for p in problems[:5]} | {"q": ["7"]})
    with pytest.raises(ValueError, match=r"1 only among the states .p5., 0 only"):
        logit_lens(model, states, problems[:5])
    with pytest.raises(ValueError, match=r"with the weights .* has"):
        logit_lens(spelling_model()[0], states.assign_attrs(checkpoint="0"), problems)
    with pytest.raises(ValueError, match=r"without .'layer'.. Select with"):
        logit_lens(model, states.sel(layer=1), problems)
    with pytest.raises(ValueError, match="No problem has a step with a value"):
        step_results([Problem("a", "What?", "2", steps=("none",))])
    with pytest.raises(ValueError, match="at least 1"):
        logit_lens(model, states, problems, n_others=0)
    with pytest.raises(ValueError, match="from 1 to 40"):
        top_tokens(states, model, k=41)


def test_a_model_without_an_unembedding_is_refused(
    spelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, problems, states = spelled
    monkeypatch.setattr(model.bridge.original_model, "get_output_embeddings", lambda: None)
    with pytest.raises(ValueError, match="no unembedding"):
        logit_lens(model, states, problems)


def test_a_model_whose_final_norm_is_elsewhere_is_refused(spelled, monkeypatch) -> None:
    """A second norm, such as a lens that norms every entry would put there, is noticed."""
    model, _, problems, states = spelled
    again = torch.nn.LayerNorm(32)
    torch.nn.init.uniform_(again.weight)
    twice = torch.nn.Sequential(model.bridge.ln_final, again)
    monkeypatch.setitem(model.bridge._modules, "ln_final", twice)
    with pytest.raises(ValueError, match="not the hidden state that becomes a thought"):
        logit_lens(model, states, problems)


def test_results_of_steps_are_the_values_that_grading_finds() -> None:
    steps = ("Natalia sold 48/2 = <<48/2=24>>24 clips in May.", "<<48+24=72>>72", "That is all.")
    (results,) = step_results([Problem("a", "How many?", "72", steps=steps)]).values.tolist()
    assert results == ["24", "72", ""]


@pytest.mark.slow
def test_a_library_run_leaves_recorders_and_hooks_alone(spelled) -> None:
    model, _, problems, states = spelled
    with StateRecorder(model) as recorder:
        logit_lens(model, states, problems)
    with pytest.raises(ValueError, match="Nothing was recorded"):
        recorder.dataset()
    assert states.sizes["thought"] == N_THOUGHTS
