"""Our models as lm-eval's: equal to its HFLM on the same weights, and honest about the rest."""

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.lm_eval_model import OwnLM
from mom_eval.evalsuite.own_model import OwnModel

STORY = "The device is a blood glucose meter. It was founded in 1884 by the river. "
GENERATE = [
    (STORY, {"until": ["\n"], "max_gen_toks": 48, "do_sample": False}),
    ("Who wrote the letter?", {"until": ["e", "zz"], "max_gen_toks": 20}),
    (STORY * 3, {"until": [], "max_gen_toks": 9}),
    ("Answer:", {"max_new_tokens": 7, "temperature": 0.0}),
    ("Ada", {"until": "i", "max_gen_toks": 30}),
    ("", {"until": [" "], "max_gen_toks": 5}),
]
PAIRS = [
    (STORY, " Ada Marsh"),
    (STORY, " Bo"),
    (STORY, "."),
    ("Answer: ", "Ada"),
    ("", "Ada Marsh"),
    (STORY * 4, " 862.1345. Who wrote the letter?"),
]
TEXTS = [(STORY,), (STORY * 3,), ("A",), ("",)]


@pytest.fixture(scope="module")
def llama(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


@pytest.fixture
def both(llama, transformer, tokenizer):
    """The same weights twice: (ours, HFLM)."""

    def build(bos=False, batch_size=3, **more):
        ours = OwnLM(OwnModel(transformer, tokenizer, bos), batch_size="auto", **more)
        theirs = HFLM(
            pretrained=llama,
            backend="causal",
            tokenizer=tokenizer,
            add_bos_token=bos,
            batch_size=batch_size,
            **more,
        )
        return ours, theirs

    return build


def instances(kind, arguments):
    return [Instance(kind, {}, each, 0) for each in arguments]


@pytest.mark.parametrize(("bos", "more"), [(False, {}), (True, {}), (False, {"max_length": 64})])
def test_texts_are_those_of_hflm(both, bos, more):
    # One at a time: in a batch HFLM goes on behind a stop until all have one, and an empty prompt
    # is all padding.
    ours, theirs = both(bos, batch_size=1, **more)
    asked = GENERATE[: None if bos else -1]
    expected = theirs.generate_until(instances("generate_until", asked), disable_tqdm=True)
    found = ours.generate_until(instances("generate_until", asked))
    assert found == expected
    assert len({text for text in found if text}) > 2


@pytest.mark.parametrize(("bos", "more"), [(False, {}), (True, {}), (False, {"max_length": 40})])
def test_log_probabilities_are_those_of_hflm(both, bos, more):
    ours, theirs = both(bos, **more)
    expected = theirs.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    found = ours.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in expected], abs=1e-3)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def test_what_the_model_would_write_is_greedy(both):
    ours, theirs = both()
    text = ours.generate_until(instances("generate_until", [(STORY, {"max_gen_toks": 4})]))[0]
    pair = instances("loglikelihood", [(STORY.rstrip(), " " + text)])
    again = ours.generate_until(
        instances("generate_until", [(STORY.rstrip(), {"max_gen_toks": 9})])
    )
    pair += instances("loglikelihood", [(STORY.rstrip(), again[0])])
    assert [greedy for _, greedy in ours.loglikelihood(pair)] == [
        greedy for _, greedy in theirs.loglikelihood(pair)
    ]


@pytest.mark.parametrize("more", [{}, {"max_length": 24}])
def test_whole_texts_are_scored_as_by_hflm(both, more):
    ours, theirs = both(**more)
    asked = instances("loglikelihood_rolling", TEXTS)
    expected = theirs.loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours.loglikelihood_rolling(asked) == pytest.approx(expected, abs=1e-3)


def test_a_recurrence_reads_a_text_of_any_length_in_one_window(mom, tokenizer):
    ours = OwnLM(OwnModel(mom, tokenizer, False))
    assert ours.max_length is None
    text = STORY * 12
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) > mom.config.max_positions
    (whole,) = ours.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,)]))
    ((pair, _),) = ours.loglikelihood(instances("loglikelihood", [("", text)]))
    assert whole == pytest.approx(pair, abs=1e-3)


def test_order_and_batch_size_change_nothing(mom, tokenizer):
    one, many = (OwnLM(OwnModel(mom, tokenizer, False), batch_size=n) for n in ("1", "auto:4"))
    asked = instances("generate_until", GENERATE)
    assert one.generate_until(asked) == many.generate_until(asked[::-1])[::-1]
    pairs = instances("loglikelihood", PAIRS)
    alone, together = one.loglikelihood(pairs), many.loglikelihood(pairs[::-1])[::-1]
    assert [n for n, _ in together] == pytest.approx([n for n, _ in alone], abs=1e-3)


def test_what_prompts_share_is_read_once(mom, tokenizer):
    read = []
    handle = mom.register_forward_pre_hook(lambda _, args: read.append(len(args[0])))
    pairs = [(f"{STORY}{i % 2}", f" {i}") for i in range(8)]
    OwnLM(OwnModel(mom, tokenizer, False)).loglikelihood(instances("loglikelihood", pairs))
    handle.remove()
    first, second = (tokenizer.encode(f"{STORY}{i}", add_special_tokens=False) for i in range(2))
    shared = [a == b for a, b in zip(first, second, strict=True)].index(False)
    assert read[:2] == [shared, 2 * (len(first) - shared)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"do_sample": True, "temperature": 0.7}, "decode greedily; do_sample cannot"),
        ({"num_beams": 4}, "decode greedily; num_beams cannot"),
        ({"max_gen_toks": 4096}, "4096 tokens are to be written and 4096 fit"),
    ],
)
def test_what_our_models_do_not_do_is_said(both, options, sentence):
    with pytest.raises(SettingError, match=sentence):
        both()[0].generate_until(instances("generate_until", [("A", options)]))


def test_a_text_longer_than_the_limit_cannot_be_scored(both):
    with pytest.raises(SettingError, match=r"a text of \d+ tokens is to be scored and 8 fit"):
        both(max_length=8)[0].loglikelihood(instances("loglikelihood", [("A", STORY)]))


def test_answers_are_handed_to_lm_evals_cache(mom, tokenizer):
    kept = {}

    class Hook:
        def add_partial(self, kind, request, answer):
            kept[kind, request[0]] = answer

    ours = OwnLM(OwnModel(mom, tokenizer, False))
    ours.set_cache_hook(Hook())
    (text,) = ours.generate_until(instances("generate_until", GENERATE[:1]))
    (pair,) = ours.loglikelihood(instances("loglikelihood", PAIRS[:1]))
    (whole,) = ours.loglikelihood_rolling(instances("loglikelihood_rolling", TEXTS[:1]))
    assert kept == {
        ("generate_until", STORY): text,
        ("loglikelihood", STORY): pair,
        ("loglikelihood_rolling", STORY): whole,
    }


def test_lm_eval_knows_our_models_by_name():
    assert get_model("mom-eval") is OwnLM


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="there is no model at"):
        OwnLM(str(tmp_path / "none"), device="cuda:0")
