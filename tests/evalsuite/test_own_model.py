"""Our own models as answerers, against the plain module that reads everything anew each token."""

import copy
import weakref

import pytest
import torch

from mom_eval.errors import ModelError, RunError
from mom_eval.evalsuite import memory, own_model
from mom_eval.evalsuite.answerers import ModuleAnswerer
from mom_eval.evalsuite.memory import Halving
from mom_eval.evalsuite.own_model import OwnModel, Room, Write
from mom_eval.tasks.questions import prepare
from mom_eval.tasks.recall import ANSWER_LENGTH
from mom_eval.tasks.setting import Setting


class Plain(torch.nn.Module):
    """The contract of a plain module: ids [1, T] -> logits [1, T, V]."""

    def __init__(self, lm):
        super().__init__()
        self.lm = lm

    def forward(self, ids):
        return self.lm(ids[0], at=torch.arange(ids.shape[1])).logits[None]


@pytest.fixture(params=["mom", "transformer"])
def lm(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def questions(tokens):
    rows = [
        {
            "context": f"Story {i}. The hero is called Ada{i}. " + "He walked on. " * (i % 7),
            "question": f"who is hero {i}" + " " * (i % 2),
            "answers": [f"Ada{i}", "the hero", "é"][: 1 + i % 3],
        }
        for i in range(12)
    ]
    return prepare("nq", rows, tokens, Setting()).questions


def ask(answerer, questions):
    out = {}
    for batch in answerer.batches(questions):
        for question, answer in zip(batch, answerer.answer(batch), strict=True):
            out[question.id] = answer
    return [out[question.id] for question in questions]


def same(a, b):
    assert [x.output for x in a] == [y.output for y in b]
    for x, y in zip(a, b, strict=True):
        assert x.log_probabilities == pytest.approx(y.log_probabilities, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("bos", [False, True])
def test_equal_to_one_question_at_a_time_without_a_state(lm, tokenizer, questions, bos):
    few = [question for question in questions if question.prompt == question.prompt.rstrip()][:4]
    ours = ask(OwnModel(lm, tokenizer, bos).answerer(None, 0), few)
    same(ours, ask(ModuleAnswerer(Plain(lm), tokenizer, bos, "cpu"), few))
    assert len({answer.output for answer in ours}) > 1


def test_batch_mates_change_nothing(lm, tokenizer, questions):
    model = OwnModel(lm, tokenizer, False)
    alone = ask(model.answerer(1, 0), questions)
    assert [len(b) for b in model.answerer(None, 0).batches(questions)] == [12]
    same(ask(model.answerer(None, 0), questions), alone)
    same(ask(model.answerer(5, 0), questions[::-1])[::-1], alone)


def test_every_prompt_is_read_once(mom, tokenizer, questions):
    read, plain = [], [question for question in questions if question.prompt[-1] != " "]
    handle = mom.register_forward_pre_hook(lambda _, args: read.append(len(args[0])))
    ask(OwnModel(mom, tokenizer, False).answerer(None, 0), plain)
    handle.remove()
    assert read[0] == sum(question.prompt_tokens for question in plain)
    assert max(read[1:-1]) <= len(plain)
    assert len(read) <= 1 + ANSWER_LENGTH


def test_batches_are_bounded_by_tokens_and_by_the_states_they_leave(
    mom, tokenizer, questions, monkeypatch
):
    def sizes(room):
        monkeypatch.setitem(own_model.ROOM, "cpu", room)
        answerer = OwnModel(mom, tokenizer, False).answerer(None, 0)
        return [[q.prompt_tokens for q in batch] for batch in answerer.batches(questions)]

    by_tokens = sizes(Room(300, 1 << 40))
    assert len(by_tokens) > 1
    assert all(sum(batch) <= 300 for batch in by_tokens)
    longest_first = sorted((q.prompt_tokens for q in questions), reverse=True)
    assert [tokens for batch in by_tokens for tokens in batch] == longest_first
    one = mom.empty_state(1).nbytes()
    assert [len(batch) for batch in sizes(Room(1 << 40, 5 * one))] == [5, 5, 2]
    assert [len(batch) for batch in sizes(Room(1, 1))] == [1] * 12


class Scripted(torch.nn.Module):
    """Stands in for an LM: writes given tokens, whatever it is asked."""

    def __init__(self, lm, script):
        super().__init__()
        self.embeddings, self.config, self.script = lm.embeddings, lm.config, script
        self.lm = lm

    def forward(self, tokens, cu_seqlens, state=None, *, at=None):
        out = self.lm(tokens, cu_seqlens, state, at=at)
        written = int(out.state.seen[0]) - 1
        logits = torch.zeros_like(out.logits)
        logits[:, self.script[min(written, len(self.script) - 1)]] = 1
        return out._replace(logits=logits)


def text_of(mom, tokenizer, ids, *, tokens=20, stops=()):
    model = OwnModel(Scripted(mom, ids), tokenizer, False)
    return model.ask([Write([7], tokens, stops)], [])[0][0]


def test_a_text_ends_at_its_first_stop_at_the_last_token_or_at_its_length(mom, tokenizer):
    ids = tokenizer.encode("Ada Marsh.\nWho", add_special_tokens=False)
    assert text_of(mom, tokenizer, ids, tokens=len(ids)) == "Ada Marsh.\nWho"
    assert text_of(mom, tokenizer, ids, stops=("\n",)) == "Ada Marsh."
    assert text_of(mom, tokenizer, ids, stops=("zzz", "sh.\nW", "ar")) == "Ada M"
    assert text_of(mom, tokenizer, ids, tokens=1) == tokenizer.decode(ids[:1])
    ended = [*ids[:2], tokenizer.eos_token_id, *ids[2:]]
    assert text_of(mom, tokenizer, ended) == tokenizer.decode(ids[:2])
    special = [*ids[:2], tokenizer.pad_token_id, *ids[2:]]
    assert text_of(mom, tokenizer, special, stops=("<pad>",)) == tokenizer.decode(ids[:2])


def test_a_stop_ends_its_own_text_only(mom, tokenizer):
    ids = tokenizer.encode("Ada Marsh.", add_special_tokens=False)
    model = OwnModel(Scripted(mom, ids), tokenizer, False)
    writes = [Write([7], 3, ()), Write([8], len(ids), ("zz",)), Write([9], 9, ("Ada",))]
    assert model.ask(writes, [])[0] == [tokenizer.decode(ids[:3]), "Ada Marsh.", ""]


def test_spaces_at_the_end_of_a_prompt_belong_to_the_answer(mom, tokenizer):
    model = OwnModel(mom, tokenizer, True)
    context, text = model.pair("who is it  ", " Ada")
    assert context == tokenizer.encode("who is it")
    assert tokenizer.decode(text) == "   Ada"


def test_a_first_token_is_never_put_twice(mom, tokenizer):
    model = OwnModel(mom, tokenizer, True)
    assert model.encode("a") == model.encode("<s>a") == tokenizer.encode("a")
    assert model.encode("a", begins=False) == tokenizer.encode("a")[1:]


def test_a_tokenizer_that_the_model_does_not_know(mom, tokenizer):
    bigger = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    bigger.add_tokens(["glucose meter"])
    with pytest.raises(ModelError, match=f"gives token {len(tokenizer)} and the model knows"):
        OwnModel(mom, bigger, False).encode("a glucose meter")


def test_probabilities_that_are_no_numbers(transformer, tokenizer, questions):
    broken = copy.deepcopy(transformer)
    with torch.no_grad():
        broken.head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="try --dtype float32"):
        OwnModel(broken, tokenizer, False).answerer(1, 0).answer(questions[:1])


def test_only_attention_has_a_limit(mom, transformer, tokenizer):
    assert mom.config.max_positions == 128
    assert OwnModel(mom, tokenizer, False).limit is None
    assert OwnModel(transformer, tokenizer, False).limit == 4096


def test_memory_is_released_once_the_failed_batch_holds_nothing_more(monkeypatch):
    held, alive = [], []

    def do(batch):
        if len(batch) > 1:
            tensor = torch.zeros(3)
            held.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    monkeypatch.setattr(memory, "release_memory", lambda: alive.append(held[-1]() is not None))
    said = []
    parts = Halving("things", str, said.append).parts([1, 2, 3], do)
    assert list(parts) == [([1], [1]), ([2], [2]), ([3], [3])]
    assert said == ["out of memory with 3 things at once; going on with 1"]
    assert alive == [False]


def test_memory_that_runs_out_on_one_is_an_error():
    def do(batch):
        raise MemoryError

    with pytest.raises(RunError, match="out of memory on 7"):
        list(Halving("things", str, print).parts([7], do))
