"""Our own models as answerers, against the plain module that reads everything anew each token."""

import copy
import weakref
from dataclasses import replace

import pytest
import torch

from mom_eval.errors import ModelError, RunError
from mom_eval.evalsuite import memory
from mom_eval.evalsuite.answerers import ModuleAnswerer
from mom_eval.evalsuite.engine.answering import Write
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.limits import Room, StateBytes
from mom_eval.evalsuite.memory import Halving, at_once
from mom_eval.evalsuite.own_model import OwnModel
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
def test_equal_to_one_question_at_a_time_without_a_state(lm, tokenizer, questions, bos):
    few = [question for question in questions if question.prompt == question.prompt.rstrip()][:4]
    ours = ask(OwnModel(lm, tokenizer, bos).answerer(None, 0), few)
    same(ours, ask(ModuleAnswerer(Plain(lm), tokenizer, bos, "cpu"), few))
    assert len({answer.output for answer in ours}) > 1


def test_batch_mates_change_nothing(lm, tokenizer, questions):
    model = OwnModel(lm, tokenizer, False)
    alone = ask(model.answerer(1, 0), questions)
    together = model.answerer(None, 0)
    same(ask(together, questions), alone)
    assert together.largest_batch == 12
    same(ask(model.answerer(5, 0), questions[::-1])[::-1], alone)


def test_every_prompt_is_read_once_in_one_call(mom, tokenizer, questions):
    read = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("forward", "step"):
            patch.setattr(mom, name, counted(getattr(mom, name), read))
        ask(OwnModel(mom, tokenizer, False).answerer(None, 0), questions)
    prompts, _aliases, *decoding = read
    assert prompts == sum(question.prompt_tokens for question in questions)
    assert max(decoding) <= len(questions)
    assert len(decoding) < ANSWER_LENGTH


def counted(call, read):
    def count(tokens, *args, **kwargs):
        read.append(len(tokens))
        return call(tokens, *args, **kwargs)

    return count


def test_an_automatic_batch_has_the_slots_that_the_room_holds(mom, tokenizer, questions):
    def largest(room):
        model = OwnModel(mom, tokenizer, False)
        model.room = room
        answerer = model.answerer(None, 0)
        ask(answerer, questions)
        return answerer.largest_batch

    one = StateBytes(mom)(0)
    assert largest(Room(64, 1 << 20, 1 << 30)) == 12
    assert largest(Room(7, 1 << 20, 1 << 30)) == 7
    assert largest(Room(64, 1 << 20, 10 * one)) == 5
    assert largest(Room(64, 1 << 20, 1)) == 1


def test_what_it_took_is_counted(mom, tokenizer, tokens):
    context = "Ada Marsh founded the river company. She wrote the letter by the meter."
    rows = [
        {"context": context, "question": f"who is {name}", "answers": [name, "Bo"]}
        for name in ("Ada", "Eva", "Una")
    ]
    questions = prepare("nq", rows, tokens, Setting()).questions
    answerer = OwnModel(mom, tokenizer, False).answerer(None, 0)
    ask(answerer, questions)
    count, length = answerer.count, len(tokens.encode(context))
    assert count.unshared == sum(question.prompt_tokens for question in questions)
    assert 2 * length <= count.unshared - count.read <= 2 * min(q.prompt_tokens for q in questions)
    assert count.scored == sum(len(tokens.encode(f" {a}")) for q in questions for a in q.answers)
    alone = OwnModel(mom, tokenizer, False).answerer(1, 0)
    for question in questions:
        ask(alone, [question])
    assert alone.count == replace(count, read=count.unshared)


class Scripted(torch.nn.Module):
    """Stands in for an LM: writes given tokens, whatever it is asked."""

    def __init__(self, lm, script):
        super().__init__()
        self.embeddings, self.config, self.script = lm.embeddings, lm.config, script
        self.lm, self.empty_state = lm, lm.empty_state
        self.layers, self.kernels = lm.layers, lm.kernels

    def forward(self, tokens, cu_seqlens, state=None, *, at=None):
        out = self.lm(tokens, cu_seqlens, state, at=at)
        return out._replace(logits=self.written_behind(out.logits, out.state.seen))

    def step(self, tokens, slots, state):
        logits = self.lm.step(tokens, slots, state)
        return self.written_behind(logits, state.seen[slots])

    def written_behind(self, logits, seen):
        script = torch.tensor(self.script)
        following = script[(seen - 1).clamp(max=len(script) - 1)]
        return torch.nn.functional.one_hot(following, logits.shape[1]).to(logits.dtype)


def text_of(mom, tokenizer, ids, *, tokens=20, stops=()):
    (text,) = texts_of(OwnModel(Scripted(mom, ids), tokenizer, False), [Write([7], tokens, stops)])
    return text


def texts_of(model, writes):
    out = {}
    for part in model.ask(writes, [], None, TokenCount()):
        out |= part.written
    return [out[place] for place in range(len(writes))]


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
    assert texts_of(model, writes) == [tokenizer.decode(ids[:3]), "Ada Marsh.", ""]


def test_spaces_at_the_end_of_a_prompt_belong_to_the_answer(mom, tokenizer):
    model = OwnModel(mom, tokenizer, True)
    ((context, text),) = model.pairs("who is it  ", [" Ada"])
    assert list(context) == tokenizer.encode("who is it")
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
        ask(OwnModel(broken, tokenizer, False).answerer(1, 0), questions[:1])


def test_only_attention_has_a_limit(mom, transformer, tokenizer):
    assert mom.config.max_positions == 128
    assert OwnModel(mom, tokenizer, False).limit is None
    assert OwnModel(transformer, tokenizer, False).limit == 4096


def test_memory_is_released_once_the_failed_batch_holds_nothing_more(monkeypatch):
    held, alive = [], []

    def ask(items, rows):
        with at_once(rows or len(items)):
            if rows != 1:
                tensor = torch.zeros(3)
                held.append(weakref.ref(tensor))
                raise torch.OutOfMemoryError("CUDA out of memory")
        yield [(item, -item) for item in items]

    monkeypatch.setattr(memory, "release_memory", lambda: alive.append(held[-1]() is not None))
    said = []
    found = Halving("things", str, said.append).results([1, 2, 3], ask)
    assert list(found) == [[(1, -1), (2, -2), (3, -3)]]
    assert said == ["out of memory with 3 things at once; going on with 1"]
    assert alive == [False]


def test_what_was_answered_before_memory_ran_out_is_not_asked_again():
    asked = []

    def ask(items, rows):
        asked.append((list(items), rows))
        for item in items:
            with at_once(4):
                if item == 3 and rows is None:
                    raise MemoryError
            yield [(item, str(item))]

    found = list(Halving("things", str, print).results([1, 2, 3, 4], ask))
    assert found == [[(item, str(item))] for item in (1, 2, 3, 4)]
    assert asked == [([1, 2, 3, 4], None), ([3, 4], 2)]


def test_memory_that_runs_out_on_one_is_an_error():
    def ask(items, rows):
        with at_once(1):
            raise MemoryError
        yield []

    with pytest.raises(RunError, match=r"out of memory on \[7\]"):
        list(Halving("things", str, print).results([7], ask))
