"""In which order and share documents are drawn and packed, also by other processes."""

import multiprocessing

import numpy as np
import pytest
import torch

from mom_eval.errors import SettingError
from mom_eval.evalsuite.train.documents import Document, Reader
from mom_eval.evalsuite.train.mixture import Mixture, pack
from mom_eval.evalsuite.train.sources import RecallSource
from mom_eval.tasks.mqar import IGNORE
from tests.evalsuite.train.test_sources import opened


def counted(documents, length, base=0):
    """Document n: `length` tokens, all of them base + n."""

    def document(number):
        ids = np.full(length, base + number)
        return Document(ids, np.where(np.arange(length) == 1, IGNORE, ids))

    return Reader(documents, document)


def test_sources_give_their_share_of_the_tokens():
    mixture = Mixture([counted(None, 5), counted(7, 2)], [3.0, 1.0], 0)
    for _ in range(50):
        mixture.batch(40)
    (_, long), (_, short) = mixture.drawn
    assert long == pytest.approx(3 * short, abs=20)


def test_a_source_with_an_end_gives_each_document_once_a_turn_in_a_new_order():
    mixture = Mixture([counted(9, 2)], [1.0], 0)
    turns = [mixture.batch(18).tokens[::2].tolist() for _ in range(3)]
    assert all(sorted(turn) == list(range(9)) for turn in turns)
    assert turns[0] != turns[1] != turns[2]


def test_what_is_drawn_depends_on_the_seed_and_on_what_was_drawn():
    readers, weights = [counted(9, 3), counted(None, 4, 100)], [1.0, 2.0]
    first, second = Mixture(readers, weights, 5), Mixture(readers, weights, 5)
    for _ in range(4):
        first.batch(20)
    second.drawn = list(first.drawn)
    assert torch.equal(first.batch(30).tokens, second.batch(30).tokens)
    other = Mixture(readers, weights, 6)
    other.drawn = list(first.drawn)
    assert not torch.equal(first.batch(60).tokens, other.batch(60).tokens)


def test_packing_keeps_documents_apart_and_asks_where_there_are_labels():
    batch = pack([counted(9, 3).document(4), counted(9, 2).document(7)])
    assert batch.tokens.tolist() == [4, 4, 4, 7, 7]
    assert batch.cu_seqlens.tolist() == [0, 3, 5]
    assert batch.at.tolist() == [0, 2, 3]
    assert batch.labels.tolist() == [4, 4, 7]


def test_other_processes_make_the_same_documents_in_the_same_order(tokens):
    """From the beginning, from somewhere else, and back."""
    source = RecallSource(data="sample", length=256, tasks=("nq", "fda"))
    reader = opened(source, tokens)
    assert reader.together is not None
    mixtures = [Mixture([opened(source, tokens)], [1.0], 0, workers) for workers in (0, 2)]
    assert not multiprocessing.active_children()
    for drawn in (0, reader.together - 1, 5 * reader.together + 3, 0):
        batches = []
        for mixture in mixtures:
            mixture.drawn = [(drawn, 0)]
            batches.append([mixture.batch(3000) for _ in range(4)])
        for one, other in zip(*batches, strict=True):
            assert all(map(torch.equal, one, other))
        assert len(multiprocessing.active_children()) == 2
    # A signal to end, which reaches them too: what is asked for still comes.
    for child in multiprocessing.active_children():
        child.terminate()
    batches = [[mixture.batch(3000) for _ in range(60)] for mixture in mixtures]
    for one, other in zip(*batches, strict=True):
        assert all(map(torch.equal, one, other))
    mixtures[1].close()
    assert not multiprocessing.active_children()


def test_what_is_wrong_in_another_process_is_one_sentence(tokens):
    source = RecallSource(data="sample", length=96, tasks=("triviaqa",))
    mixture = Mixture([opened(source, tokens)], [1.0], 0, 1)
    with pytest.raises(SettingError, match=r"^prompts of 96 tokens hold too few .* to triviaqa"):
        mixture.batch(10)
    mixture.close()
