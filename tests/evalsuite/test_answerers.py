"""Outputs and probabilities: equal to lm-eval's HFLM, to a plain module, and at any batch size."""

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from mom_eval.errors import ModelError
from mom_eval.evalsuite.answerers import ModuleAnswerer, sized_batches
from mom_eval.evalsuite.lm_eval_model import HFAnswerer
from mom_eval.tasks.lm_eval_tasks import GENERATION
from mom_eval.tasks.questions import prepare
from mom_eval.tasks.setting import Setting


@pytest.fixture(scope="module")
def model(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


@pytest.fixture(scope="module")
def questions(tokens):
    rows = [
        {
            "context": f"Story {i}. The hero is called Ada{i}. " + "He walked on. " * (i % 7),
            "question": f"who is hero {i}",
            "answers": [f"Ada{i}", "the hero", "é"][: 1 + i % 3],
        }
        for i in range(20)
    ]
    return prepare("nq", rows, tokens, Setting()).questions


def hf(model, tokenizer, rows, bos=False):
    hflm = HFLM(pretrained=model, backend="causal", tokenizer=tokenizer, add_bos_token=bos)
    return HFAnswerer(hflm, rows, room=2048)


def ask(answerer, questions):
    out = {
        question.id: answer
        for some in answerer.answers(questions, None)
        for question, answer in some
    }
    assert len(out) == len(questions)
    return [out[question.id] for question in questions]


def same(a, b):
    assert [x.output for x in a] == [y.output for y in b]
    for x, y in zip(a, b, strict=True):
        assert x.log_probabilities == pytest.approx(y.log_probabilities, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("bos", [False, True])
def test_equal_to_lm_eval_itself(model, tokenizer, questions, bos):
    ours = ask(hf(model, tokenizer, 4, bos), questions)
    plain = HFLM(
        pretrained=model, backend="causal", tokenizer=tokenizer, add_bos_token=bos, max_length=2048
    )
    outputs = plain.generate_until(
        [Instance("generate_until", {}, (q.prompt, dict(GENERATION)), 0) for q in questions],
        disable_tqdm=True,
    )
    pairs = [
        Instance("loglikelihood", {}, (q.prompt, " " + a), 0) for q in questions for a in q.answers
    ]
    nats = [n for n, _ in plain.loglikelihood(pairs, disable_tqdm=True)]
    assert [a.output for a in ours] == outputs
    assert [n for a in ours for n in a.log_probabilities] == pytest.approx(nats, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("rows", [3, 20, None])
def test_batch_size_changes_nothing(model, tokenizer, questions, rows):
    same(ask(hf(model, tokenizer, rows), questions), ask(hf(model, tokenizer, 1), questions))


class Plain(torch.nn.Module):
    """The contract of a plain module: ids [1, T] -> logits [1, T, V]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(ids).logits


@pytest.mark.parametrize("bos", [False, True])
def test_plain_module_without_a_cache(model, tokenizer, questions, bos):
    few = questions[:4]
    plain = ModuleAnswerer(Plain(model), tokenizer, bos, "cpu")
    same(ask(plain, few), ask(hf(model, tokenizer, 1, bos), few))


def test_an_object_with_logits_and_generate(model, tokenizer, questions):
    few = questions[:4]
    same(
        ask(ModuleAnswerer(model, tokenizer, False, "cpu"), few), ask(hf(model, tokenizer, 1), few)
    )


def test_a_module_of_another_contract(tokenizer, questions):
    wrong = torch.nn.Embedding(400, 8)
    wrong.forward = lambda ids: torch.zeros(1, 3)
    with pytest.raises(ModelError, match=r"expected logits \[1, "):
        ask(ModuleAnswerer(wrong, tokenizer, False, "cpu"), questions[:1])


def test_models_that_keep_all_logits_are_scored_by_lm_eval(
    model, tokenizer, questions, monkeypatch
):
    answerer = hf(model, tokenizer, 1)
    expected = ask(answerer, questions[:3])
    monkeypatch.setattr(answerer, "_selects", False)
    same(ask(answerer, questions[:3]), expected)


def test_probabilities_that_are_no_numbers(tiny_llama, tokenizer, questions):
    broken = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="try --dtype float32"):
        ask(hf(broken, tokenizer, 1), questions[:1])


def test_batches_are_bounded_by_rows_and_by_padded_tokens(questions):
    batches = list(sized_batches(questions, 6, 300))
    assert sorted(q.id for batch in batches for q in batch) == sorted(q.id for q in questions)
    for batch in batches:
        assert len(batch) <= 6
        assert len(batch) == 1 or len(batch) * max(q.prompt_tokens for q in batch) <= 300
    longest = [batch[0].prompt_tokens for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_a_single_prompt_may_pass_the_bound(questions):
    assert [len(batch) for batch in sized_batches(questions[:3], 6, 1)] == [1, 1, 1]


def test_a_generate_of_another_signature_is_not_called(model, tokenizer, questions):
    class Sampler(Plain):
        def generate(self, prompt, length):
            pytest.fail("called with other arguments than it takes")

    few = questions[:2]
    sampler = ModuleAnswerer(Sampler(model), tokenizer, False, "cpu")
    assert "without a .generate(input_ids, max_new_tokens=, do_sample=)" in sampler.how_slow()
    same(ask(sampler, few), ask(ModuleAnswerer(Plain(model), tokenizer, False, "cpu"), few))


def test_a_generate_that_returns_something_else_is_named(model, tokenizer, questions):
    class New(Plain):
        def generate(self, ids, **_):
            return ids[:, :0]

    class Text(Plain):
        def generate(self, ids, **_):
            return ["some text"]

    for kind in (New, Text):
        with pytest.raises(ModelError, match=r"the module's \.generate returned something else"):
            ask(ModuleAnswerer(kind(model), tokenizer, False, "cpu"), questions[:1])
