"""What all tests share: no network, and a tiny random model saved to a folder."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Over tensors this small a second thread only waits, and where the cores are busy it waits long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("MOM_EVAL_DATA", None)

from pathlib import Path

import pytest

TEXT = (
    "The device is a blood glucose meter. Panel: Clinical Chemistry. It was founded in 1884 by "
    "the river, and 24 players scored. Regulation section: 862.1345. Who wrote the letter? "
    "Answer: Ada Marsh.\n"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first: at the end all cores but one would wait for it."""
    items.sort(key=lambda item: item.path.name != "test_triton.py")


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE of 400 entries, reversible; like Llama's it puts <s> before a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([TEXT] * 4, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory, tokenizer) -> Path:
    """Folder of a random Llama of about 60 thousand parameters, with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokens(tokenizer):
    """The tiny model's tokenizer as the tasks see it."""
    from mom_eval.tasks.tokens import HFTokens

    return HFTokens(tokenizer, "tiny")
