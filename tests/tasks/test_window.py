"""Windows, checked by hand: the tokens are words here, so every bound can be counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.tasks.window import around, keep_right, whole


class Words:
    """`w0 w1 ...`: one token a word, with the space before it."""

    name = "words"
    sha256 = ""

    def encode(self, text: str) -> list[str]:
        out, word = [], ""
        for character in text:
            if character == " " and word.strip():
                out.append(word)
                word = ""
            word += character
        return [*out, word] if word else out

    def decode(self, ids: list[str]) -> str:
        return "".join(ids)


WORDS = Words()
DOCUMENT = " ".join(f"w{i}." for i in range(100))


def bounds(anchors, size=20, document=DOCUMENT, **more):
    text, cut = around(document, anchors, size, WORDS, **more)
    assert WORDS.decode(WORDS.encode(document.strip())[cut.start : cut.end]) == text
    return cut.start, cut.end, cut.anchor


def test_answer_in_the_middle_has_half_a_window_before_it():
    # "w50." is token 50; the text before it is 50 tokens and a space, which counts as one more.
    assert bounds(["w50."]) == (41, 61, "found")


def test_answer_at_the_start_keeps_the_head():
    assert bounds(["w0."]) == (0, 20, "found")


def test_answer_at_the_end_leaves_the_window_short():
    assert bounds(["w99."]) == (90, 100, "found")


def test_earliest_of_key_and_value_decides():
    assert bounds(["w70.", "w30."]) == bounds(["w30."]) == (21, 41, "found")
    assert bounds(["w30.", "w70."]) == bounds(["w30."])


def test_missing_answer_leaves_the_last_half_window():
    assert bounds(["nowhere"]) == (90, 100, "missing")


def test_missing_answer_with_a_token_position():
    assert bounds(["nowhere"], token_position=40) == (30, 50, "missing")


def test_a_token_position_is_not_used_in_a_short_document():
    assert bounds(["nowhere"], size=200, token_position=40)[0] == 0


def test_second_answers_are_looked_for_one_after_the_other():
    assert bounds(["nowhere"], second=["w60.", "w30."]) == bounds(["w60."])


def test_no_anchor_keeps_the_head():
    assert bounds([]) == (0, 20, "head")


def test_short_document_is_whole_if_the_answer_stands_in_the_first_half_window():
    assert bounds(["w50."], size=200) == (0, 100, "found")


def test_short_document_loses_its_head_to_a_late_answer_as_published():
    assert bounds(["w95."], size=120) == (36, 100, "found")


def test_case_does_not_matter_and_regex_characters_are_plain():
    document = "aa bb (C+)* dd ee"
    assert bounds(["(c+)*"], size=2, document=document) == (2, 4, "found")


def test_white_space_around_a_document_goes_first():
    assert bounds(["w0."], document=f"\n  {DOCUMENT} \n") == (0, 20, "found")


def test_empty_document():
    assert around("", ["x"], 20, WORDS)[0] == ""
    assert around("", [], 20, WORDS)[0] == ""


def test_unicode_counts_in_tokens(tokens):
    text, cut = around("né " * 200, ["né"], 40, tokens)
    assert cut.end - cut.start == 40
    assert text == tokens.decode(tokens.encode(("né " * 200).strip())[:40])


def test_whole_keeps_everything():
    cut = whole(DOCUMENT, WORDS)
    assert (cut.start, cut.end, cut.of, cut.anchor) == (0, 100, 100, "none")


def test_keep_right_cuts_the_head_only():
    text, left = keep_right(DOCUMENT, 10, WORDS)
    assert left == 90
    assert DOCUMENT.endswith(text)
    assert keep_right("a b", 10, WORDS) == ("a b", 0)


@given(st.text(min_size=1, max_size=300), st.integers(8, 40))
def test_what_is_kept_never_needs_another_cut(tokens, text, size):
    kept, left = keep_right(text, size, tokens)
    assert len(tokens.encode(kept)) <= size
    assert (left == 0) == (len(tokens.encode(text)) <= size)


@given(st.integers(0, 99), st.integers(2, 150))
def test_window_laws(position, size):
    start, end, anchor = bounds([f"w{position}."], size=size)
    assert anchor == "found"
    assert 0 <= start <= end <= 100
    assert end - start <= size
    assert start <= position + 1


@pytest.mark.parametrize("size", [2, 10, 99])
def test_answer_itself_is_inside_the_window(size):
    text, _ = around(DOCUMENT, ["w50."], max(size, 4), WORDS)
    assert "w50." in text
