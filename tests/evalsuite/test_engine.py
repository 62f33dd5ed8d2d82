"""The engine against one question at a time, on every family; slots, stops and bounds."""

import gc
import random
import weakref
from types import SimpleNamespace

import pytest
import torch

from mom_eval.evalsuite.engine import slots
from mom_eval.evalsuite.engine.answering import Answering, Score, Write
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.limits import ROOM, Limits, Room, StateBytes, room_of
from mom_eval.evalsuite.engine.packed import read
from mom_eval.evalsuite.memory import OutOfMemory
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.models.decoder import Decoder
from tests.models.shapes import CASES, new_model

FAMILIES = [name for name in CASES if name.endswith(("-1", "-4"))] + ["hybrid", "transformer"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"


class Letters:
    """A tokenizer of 50 letters, the last of which ends a text."""

    eos_token_id = 49
    bos_token_id = None

    def encode(self, text, add_special_tokens=False):
        return [LETTERS.index(letter) for letter in text]

    def decode(self, ids, skip_special_tokens=False):
        shown = [i for i in ids if not (skip_special_tokens and i == self.eos_token_id)]
        return "".join(LETTERS[i] for i in shown)


def questions(count=200):
    """Mixed: short and long prompts, shared beginnings two deep, equal ones, beginnings of others.

    Returns:
        Texts to be written, and for some of their prompts texts to be scored.
    """
    draw = random.Random(0)

    def text(least, most):
        return [draw.randrange(49) for _ in range(draw.randint(least, most))]

    documents = [text(17, 40) for _ in range(9)]
    sections = [[*draw.choice(documents), *text(16, 20)] for _ in range(9)]
    writes, scores = [], []
    for number in range(count):
        kinds = (
            text(1, 6),
            text(40, 60),
            draw.choice(documents) + text(1, 9),
            draw.choice(sections) + text(1, 9),
            draw.choice(sections) + text(1, 9),
            draw.choice(documents),
            draw.choice(writes).prompt if writes else text(3, 3),
        )
        prompt = kinds[number % len(kinds)]
        stops = draw.choice([(), ("ZZ",), tuple(LETTERS[:7]), ("QR", *LETTERS[10:20])])
        writes.append(Write(prompt, draw.randint(1, 12), stops))
        if number % 4 == 1:
            scores += [Score(prompt, text(0, 5)) for _ in range(draw.randint(0, 2))]
    return writes, scores


class Asked:
    """One pass of the engine, with the tokens of what it wrote, watched at every call."""

    def __init__(self, model, writes, scores, limits):
        self.ids, self.sizes, self.held, self.count = {}, [], [], TokenCount()
        self.places = {id(write): place for place, write in enumerate(writes)}
        self.model, self.limits = model, limits
        # A text's last token is read before it is seen to be the last, and so is what comes next.
        longest = max(len(write.prompt) + write.tokens + 1 for write in writes)
        # One more for rows that are nobody's.
        self.states = (limits.slots + 1) * StateBytes(model.module)(longest)
        self.answering = Answering(model.module, writes, scores, limits, self.finish, self.count)
        self.texts, self.scored = {}, {}
        with pytest.MonkeyPatch.context() as patch:
            for name in ("forward", "step"):
                patch.setattr(model.module, name, self.watched(getattr(model.module, name)))
            for part in self.answering:
                assert not part.written.keys() & self.texts.keys()
                self.texts |= part.written
                self.scored |= part.scored

    def watched(self, call):
        def watch(tokens, ends_or_slots, state=None, **rest):
            self.sizes.append(len(tokens))
            self.held.append(self.answering.walk.held)
            assert self.answering.walk.bytes <= self.limits.bytes
            assert self.answering.slots.active <= self.limits.slots
            if state is not None:
                assert state.nbytes() <= max(self.states, self.limits.bytes)
            return call(tokens, ends_or_slots, state, **rest)

        return watch

    def finish(self, write, ids):
        text = self.model.finish(write, ids)
        if text is not None:
            self.ids[self.places[id(write)]] = list(ids)
        return text


def logits(lm, ids):
    """[T, V] of one sequence, read whole."""
    with torch.inference_mode():
        return lm(torch.tensor(ids), at=torch.arange(len(ids))).logits


def expected_text(ids, write):
    """How a text of these tokens is cut; all of them must be needed."""
    letters = Letters().decode(ids)

    def ends(n):
        return (
            n == write.tokens
            or letters[n - 1] == LETTERS[-1]
            or any(stop in letters[:n] for stop in write.stops)
        )

    assert [n for n in range(1, len(ids) + 1) if ends(n)] == [len(ids)]
    cuts = [letters.index(stop) for stop in (*write.stops, LETTERS[-1]) if stop in letters]
    return letters[: min(cuts, default=len(ids))]


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_those_of_one_question_at_a_time(name):
    model = OwnModel(new_model(CASES[name]), Letters(), False)
    writes, scores = questions()
    bound = 3 * StateBytes(model.module)(60)
    asked = Asked(model, writes, scores, Limits(slots=40, tokens=500, bytes=bound))
    assert (len(asked.texts), len(asked.scored)) == (len(writes), len(scores))
    for place, write in enumerate(writes):
        ids = asked.ids[place]
        assert asked.texts[place] == expected_text(ids, write)
        greedy = logits(model.module, [*write.prompt, *ids[:-1]])[len(write.prompt) - 1 :]
        assert greedy.argmax(-1).tolist() == ids
    for place, (prompt, text) in enumerate(scores):
        before = logits(model.module, [*prompt, *text])[len(prompt) - 1 : -1].log_softmax(-1)
        nats = float(before[range(len(text)), text].sum())
        assert asked.scored[place].nats == pytest.approx(nats, rel=1e-5, abs=1e-4)
    assert max(asked.held) >= 2
    assert asked.count.read < 0.75 * asked.count.unshared
    assert asked.count.unshared == sum(map(len, {tuple(write.prompt) for write in writes}))


@pytest.mark.parametrize("name", ["gated_deltanet-4", "hybrid", "transformer"])
def test_limits_change_no_answer(name):
    model = OwnModel(new_model(CASES[name]), Letters(), False)
    writes, scores = questions(60)
    wide = Asked(model, writes, scores, Limits(100, 10_000, 1 << 30))
    for limits in (Limits(1, 25, 1), Limits(3, 50, StateBytes(model.module)(60))):
        asked = Asked(model, writes, scores, limits)
        assert asked.texts == wide.texts
        assert asked.scored == {
            place: (pytest.approx(one.nats, rel=1e-5, abs=1e-4), one.greedy)
            for place, one in wide.scored.items()
        }
        assert max(asked.sizes) <= limits.tokens
    assert wide.count.read < asked.count.read < asked.count.unshared


class AsOnAGPU(Decoder):
    """Reads when a step is begun, behind texts that have ended too."""

    ahead = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.told = []

    def begin(self, tokens):
        assert len(self.told) < 2
        super().begin(tokens)
        super().end(tokens)
        self.told.append(self._tokens.tolist())

    def end(self, slots):
        told = self.told.pop(0)
        return {slot: told[slot] for slot in slots}


@pytest.mark.parametrize("name", ["gated_deltanet-4", "hybrid", "transformer"])
def test_a_step_ahead_changes_no_answer(name, monkeypatch):
    model = OwnModel(new_model(CASES[name]), Letters(), False)
    writes, scores = questions(60)
    plain = Asked(model, writes, scores, Limits(5, 500, 1 << 20))
    monkeypatch.setattr(slots, "Decoder", AsOnAGPU)
    ahead = Asked(model, writes, scores, Limits(5, 500, 1 << 20))
    assert (ahead.texts, ahead.ids, ahead.count) == (plain.texts, plain.ids, plain.count)
    # Every text was read behind, and nothing that was begun is left.
    assert sum(ahead.sizes) > sum(plain.sizes)
    assert ahead.answering.slots._decoder.told == []


def test_what_is_dropped_is_freed_at_once():
    """Not when Python looks for cycles: the next pass needs the memory of this one's slots."""
    model = OwnModel(new_model(CASES["gated_deltanet-4"]), Letters(), False)
    writes, _ = questions(20)
    limits = Limits(5, 500, 1 << 20)
    answering = Answering(model.module, writes, [], limits, model.finish, TokenCount())
    next(iter(answering))
    decoder = weakref.ref(answering.slots._decoder)
    gc.disable()
    try:
        del answering
        assert decoder() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["mamba2-1", "gsa-4", "hybrid", "transformer"])
def test_a_states_bytes_are_known_from_its_length(name):
    for dtype in (torch.float32, torch.bfloat16):
        lm = new_model(CASES[name]).to(dtype)
        state = read(lm, [[1] * 9, [2] * 33], [None, None], 99).state
        assert state.nbytes() == 2 * StateBytes(lm)(33)
        assert state[0:1].trimmed().clone().nbytes() == StateBytes(lm)(9)


class Scripted(torch.nn.Module):
    """Stands in for an LM: writes given tokens behind whatever it reads."""

    def __init__(self, text):
        super().__init__()
        self.lm = new_model(CASES["linear_attn-1"])
        self.embeddings, self.config = self.lm.embeddings, self.lm.config
        self.layers, self.kernels = self.lm.layers, self.lm.kernels
        self.empty_state, self.script = self.lm.empty_state, Letters().encode(text)

    def forward(self, tokens, cu_seqlens, state=None, *, at=None):
        out = self.lm(tokens, cu_seqlens, state, at=at)
        return out._replace(logits=self.written_behind(out.state.seen))

    def step(self, tokens, slots, state):
        self.lm.step(tokens, slots, state)
        return self.written_behind(state.seen[slots])

    def written_behind(self, seen):
        written = torch.tensor(self.script)[(seen - 1) % len(self.script)]
        return torch.nn.functional.one_hot(written, 50).float()


def write_all(script, writes, slots):
    model = OwnModel(Scripted(script), Letters(), False)
    return Asked(model, writes, [], Limits(slots, 10_000, 1 << 30))


def test_slots_are_filled_as_texts_end():
    lengths = [9, 2, 2, 2, 2, 2, 2, 2, 1]
    writes = [Write([place] * (9 - place), length, ()) for place, length in enumerate(lengths)]
    asked = write_all("AB", writes, 3)
    assert [len(asked.texts[place]) for place in range(len(writes))] == lengths
    # Tokens of every call; prompts, longest first, take the slots of the texts that have ended.
    assert asked.sizes == [9 + 8 + 7, 3, 1, 6 + 5, 3, 1, 4 + 3, 3, 1, 2 + 1, 2, 1]
    assert asked.answering.largest == 3


def test_a_stop_may_span_tokens_and_ends_its_own_text_only():
    writes = [
        Write([1], 9, ("CDE",)),
        Write([2], 9, ("zz", "EF", "BCDEFG")),
        Write([3], 4, ("EF",)),
        Write([4], 9, ()),
        Write([5], 9, ("A",)),
    ]
    asked = write_all("ABCDEFGHI", writes, 5)
    assert list(map(asked.texts.get, range(5))) == ["AB", "ABCD", "ABCD", "ABCDEFGHI", ""]
    assert [len(asked.ids[place]) for place in range(5)] == [5, 6, 4, 9, 1]


def test_equal_prompts_are_read_and_written_behind_once():
    writes = [Write([7, 8], 5, ()), Write([7, 8], 9, ("C",)), Write([7, 8], 1, ())]
    asked = write_all("ZABCDEF", writes, 1)
    assert list(map(asked.texts.get, range(3))) == ["ABCDE", "AB", "A"]
    assert asked.sizes == [2, 1, 1, 1, 1]
    assert asked.count == TokenCount(read=2, unshared=2, written=5, scored=0)


def test_memory_that_runs_out_names_what_was_in_flight():
    class Full(Scripted):
        def forward(self, tokens, *args, **kwargs):
            if len(tokens) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(tokens, *args, **kwargs)

    model = OwnModel(Full("AB"), Letters(), False)
    writes = [Write([place], 3, ()) for place in range(8)]
    with pytest.raises(OutOfMemory) as error:
        Asked(model, writes, [], Limits(8, 5, 1 << 20))
    assert error.value.at_once == 5
    assert len(Asked(model, writes, [], Limits(2, 5, 1 << 20)).texts) == 8


def test_half_the_bytes_are_for_the_slots_and_fewer_slots_take_their_share():
    room = Room(slots=64, tokens=99, bytes=1000)
    assert Limits.within(room, 50, None) == Limits(10, 99, 500)
    assert Limits.within(room, 50, 5) == Limits(5, 99, 250)
    assert Limits.within(room, 50, 20) == Limits(20, 99, 500)
    assert Limits.within(room, 1, None) == Limits(64, 99, 500)
    assert Limits.within(room, 9999, None) == Limits(1, 99, 500)


def test_a_gpu_gives_half_of_the_memory_that_is_free(monkeypatch):
    """What torch keeps for itself and does not use is free."""
    lm = SimpleNamespace(embeddings=SimpleNamespace(weight=SimpleNamespace()))
    lm.embeddings.weight.device = torch.device("cuda", 1)
    asked = {"mem_get_info": (100, 900), "memory_reserved": 70, "memory_allocated": 30}
    for name, answer in asked.items():
        monkeypatch.setattr(torch.cuda, name, {torch.device("cuda", 1): answer}.__getitem__)
    assert room_of(lm) == ROOM["cuda"]._replace(bytes=70)
