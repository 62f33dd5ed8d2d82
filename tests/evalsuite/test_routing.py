"""What routers do: forced routes by hand, and counts against a plain loop."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.routing import Tally, look, routes_of
from mom_eval.results.routing import markdown, record, summary
from mom_eval.results.statistics import lift
from mom_eval.tasks.questions import prepare
from mom_eval.tasks.sample import generate
from mom_eval.tasks.setting import Setting
from mom_eval.tasks.token_kinds import KINDS, token_kinds

SETS = np.array(list(itertools.combinations(range(4), 2)))


def drawn(seed: int, documents: int = 5):
    """Prompts with random routes, entropies and kinds; two prompts on each document."""
    rng = np.random.default_rng(seed)
    for place in range(2 * documents):
        length = int(rng.integers(3, 30))
        memories = SETS[rng.choice(len(SETS), length, p=[0.3, 0.1, 0.1, 0.1, 0.2, 0.2])]
        yield place // 2, memories, rng.random(length), rng.random((length, len(KINDS))) < 0.3


def plain(prompts):
    """The counts of `Tally`, one token at a time."""
    names = "tokens entropy steps changes chosen sets of_kind chosen_of_kind".split()
    out: dict[str, Counter] = {name: Counter() for name in names}
    for document, memories, entropy, kinds in prompts:
        before = None
        for chosen, bits, kind in zip(memories.tolist(), entropy, kinds, strict=True):
            out["tokens"][document,] += 1
            out["entropy"][document,] += bits
            if before is not None:
                out["steps"][document,] += 1
                out["changes"][document,] += before != chosen
            out["sets"][tuple(chosen)] += 1
            for m in chosen:
                out["chosen"][document, m] += 1
            for k in np.flatnonzero(kind).tolist():
                out["of_kind"][document, k] += 1
                for m in chosen:
                    out["chosen_of_kind"][document, k, m] += 1
            before = chosen
    return out


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_plain_loop(seed):
    tally = Tally(5, 4)
    for prompt in drawn(seed):
        tally.add(*prompt)
    found, slow = tally.counts(), plain(drawn(seed))
    assert found.sets == slow.pop("sets")
    for name, counter in slow.items():
        array = getattr(found, name)
        expected = [counter[at] for at in np.ndindex(array.shape)]
        assert array.ravel() == pytest.approx(expected), name
    layer = summary(found)
    assert sum(one.value for one in layer.load) == pytest.approx(1)
    k, m = 2, 3
    inside, kind = found.chosen_of_kind[:, k, m], 2 * found.of_kind[:, k]
    assert layer.lifts[m][k] == lift(inside, kind, found.chosen[:, m], 2 * found.tokens)


def test_forced_routes_by_hand():
    """Two documents of four tokens; memory 3 takes nothing, every digit goes to 0 and 1."""
    digits = np.zeros((4, len(KINDS)), dtype=bool)
    digits[[0, 2], 0] = True
    tally = Tally(2, 4)
    tally.add(0, np.array([[0, 1], [1, 2], [0, 1], [1, 2]]), np.full(4, 1.5), digits)
    tally.add(1, np.array([[0, 1], [1, 2], [0, 1], [0, 1]]), np.full(4, 0.5), digits)
    layer = summary(tally.counts())
    assert [one.value for one in layer.load] == [5 / 16, 8 / 16, 3 / 16, 0]
    assert layer.load_entropy == pytest.approx(
        0.5 + 5 / 16 * math.log2(16 / 5) + 3 / 16 * math.log2(16 / 3)
    )
    assert layer.router_entropy.value == 1
    assert layer.changes.value == 5 / 6
    assert layer.chance == pytest.approx(1 - (5 / 8) ** 2 - (3 / 8) ** 2)
    assert [row[0] and row[0].value for row in layer.lifts] == [0.5 / (5 / 16), 1, 0, None]
    assert layer.lifts[0][1] is None


@pytest.mark.parametrize("bos", [False, True])
def test_routes_in_a_batch_are_those_of_each_prompt_alone(mom, tokens, bos):
    rows = generate("nq", "test", seed=3, questions=5, tokens=128)
    questions = prepare("nq", rows, tokens, Setting(bos=bos)).questions
    own = OwnModel(mom, tokens.tokenizer, bos)
    for question, layers in zip(questions, routes_of(own, questions), strict=True):
        with torch.inference_mode():
            routing = mom(torch.tensor(own.encode(question.prompt))).routing
        assert layers.keys() == routing.keys() == {0, 1}
        for index, (memories, entropy) in layers.items():
            assert len(memories) == question.prompt_tokens
            alone = routing[index]
            assert memories.tolist() == [sorted(row) for row in alone.memories[bos:].tolist()]
            p = alone.probabilities[bos:].double()
            assert entropy == pytest.approx(-(p * p.log2()).sum(-1).numpy(), abs=1e-5)


def test_look_at_a_model(tiny_mom, tokens):
    said: list[str] = []
    found = look(str(tiny_mom), "nq,fda", data="sample", limit=4, say=said.append)
    assert said == []
    questions = [
        question
        for name in ("fda", "nq")
        for question in prepare(
            name,
            generate(name, "test", seed=0, questions=40, tokens=320),
            tokens,
            Setting(limit=4),
        ).questions
    ]
    assert found.questions == len(questions) == 8
    kinds = sum(token_kinds(one, *tokens.encode_with_spans(one.prompt)).sum(0) for one in questions)
    for counts in found.layers.values():
        assert counts.tokens.sum() == sum(question.prompt_tokens for question in questions)
        assert len(counts.tokens) == len({question.document_id for question in questions})
        assert counts.of_kind.sum(0).tolist() == kinds.tolist()
        assert (counts.chosen.sum(1) == 2 * counts.tokens).all()
        assert counts.sets.total() == counts.tokens.sum()
        assert all(kinds)
    kept = json.loads(json.dumps(record(found), allow_nan=False))
    assert [layer["layer"] for layer in kept["layers"]] == [0, 1]
    assert len(kept["layers"][0]["kinds"]["answer"]["over_chance"]) == 4
    assert "SYNTHETIC SAMPLE" in markdown(found)
