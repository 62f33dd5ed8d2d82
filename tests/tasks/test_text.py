"""Texts as tokens and bytes: every byte counted once, whatever stands in the text."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mom_eval.errors import DataError, ModelError
from mom_eval.tasks import text as module
from mom_eval.tasks.text import encoded, read_text, span_bytes
from mom_eval.tasks.tokens import HFTokens

ANY = st.text(st.characters(codec="utf-8"), max_size=60)
WILD = ANY | st.text("aé漢😀👩\u200d🚀\n \x00", max_size=40)


@settings(deadline=None)
@given(WILD)
def test_bytes_add_up_and_every_token_is_there(tokens, wild):
    found = encoded(wild, tokens, None)
    assert len(found.ids) == len(found.bytes)
    assert sum(found.bytes) == len(wild.encode())
    assert tokens.decode(found.ids) == wild


def test_bytes_by_hand():
    # A rocket of four bytes in three tokens; a space that no token has, and one at the end.
    assert span_bytes("aé🚀", [(0, 1), (1, 2), (2, 3), (2, 3), (2, 3)]) == [1, 2, 4, 0, 0]
    assert span_bytes("a bé ", [(0, 1), (2, 4)]) == [1, 5]
    assert span_bytes("", []) == []


def test_a_text_is_encoded_piece_by_piece_and_no_further_than_asked(tokens, monkeypatch):
    text = "One line. é\nand another one\n" * 4 + "and a line longer than any piece is"
    whole = encoded(text, tokens, None)
    monkeypatch.setattr(module, "_PIECE", 20)
    pieces = list(module._pieces(text))
    assert "".join(pieces) == text
    assert pieces[:2] == ["One line. é\n", "and another one\n"]
    assert max(map(len, pieces)) == 20
    found = encoded(text, tokens, None)
    assert tokens.decode(found.ids) == tokens.decode(whole.ids) == text
    assert sum(found.bytes) == len(text.encode())
    first = len(tokens.encode(pieces[0]))
    assert encoded(text, tokens, first).ids == whole.ids[:first]
    assert len(encoded(text, tokens, first + 1).ids) == first + len(tokens.encode(pieces[1]))


def test_reading(tmp_path):
    text = "Zeile é\r\nzwei\n"
    (tmp_path / "plain.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with gzip.open(tmp_path / "text.gz", "wb") as file:
        file.write(text.encode())
    assert read_text(tmp_path / "plain.txt") == read_text(tmp_path / "text.gz") == text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.txt", "abé".encode("latin-1"), "byte 3 is not UTF-8"),
        ("empty.txt", b"", "is empty"),
        ("half.gz", gzip.compress(b"some text" * 99, mtime=0)[:30], "is no whole gzip file"),
        ("plain.gz", b"plain", "is no whole gzip file"),
        ("none.txt", None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_text(tmp_path / name)


def test_a_tokenizer_without_places_is_refused():
    class Slow:
        is_fast = False
        get_vocab = dict

        def encode(self, text, add_special_tokens):
            return [0]

        decode = encode

    with pytest.raises(ModelError, match="slow does not say where its tokens stand"):
        encoded("text", HFTokens(Slow(), "slow"), None)
