"""Our own models as lm-eval takes them, for its own tasks and on its own command line."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.checkpoints import find
from mom_eval.evalsuite.engine.answering import Score, Write
from mom_eval.evalsuite.engine.count import TokenCount
from mom_eval.evalsuite.engine.score import Scored
from mom_eval.evalsuite.memory import Halving
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.progress import bars
from mom_eval.evalsuite.subjects import Options, load_own, pick_device
from mom_eval.tasks.tokens import load_tokens

Unit = TypeVar("Unit", Write, Score)
Result = TypeVar("Result")

MAX_GEN_TOKS = 256
"""Tokens of an answer where a task names none, as for HFLM."""
_GREEDY = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}


class OwnLM(TemplateLM):
    """`--model mom-eval --model_args pretrained=FOLDER`.

    Prompts are packed and never padded, so an answer does not depend on its batch.
    """

    def __init__(
        self,
        pretrained: str | OwnModel,
        *,
        tokenizer: str | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | str = "auto",
        max_batch_size: int | None = None,
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
    ) -> None:
        """Load a model.

        Args:
            pretrained: a folder or hub id, or a model that is loaded already; the arguments that
                say how to load it then mean nothing.
            tokenizer: where it is not the model's own.
            device: lm-eval says `cuda:0` where its user says nothing, so that means `auto`.
            batch_size: requests at once; `auto` is as many as there is room for.
            max_batch_size: lm-eval's bound for its own search; of no use here.
            max_length: tokens that prompts are cut to from the left, with what is written behind
                them; None: what the model's attention was made for, and no limit without attention.
            add_bos_token: None: what the tokenizer does by itself.
            trust_remote_code: of the tokenizer; our models are our own code.
            allow_pickle: read weights that are a pickle.

        Raises:
            MomEvalError: the model cannot be found or loaded.
        """
        super().__init__()
        if isinstance(pretrained, str):
            device = pick_device("auto" if device == "cuda:0" else device)
            name = f"{pretrained}@{revision}" if revision else pretrained
            found = find(name, allow_pickle=allow_pickle)
            if len(found) != 1:
                raise ModelError(
                    f"{pretrained} names {len(found)} models; lm-eval takes one, name it"
                )
            tokens = load_tokens(
                tokenizer or str(found[0].folder), trust_remote_code=trust_remote_code
            )
            bos = tokens.adds_bos() if add_bos_token is None else add_bos_token
            options = Options(device=device, dtype=dtype, allow_pickle=allow_pickle)
            pretrained = load_own(found[0], tokens.tokenizer, bos, options)
        self.own, self.tokenizer = pretrained, pretrained.tokenizer
        self.limit = max_length or self.own.limit
        self.rows = None if str(batch_size).startswith("auto") else int(batch_size)

    @property
    def eot_token_id(self) -> int:
        """What stands between texts.

        Raises:
            ModelError: the tokenizer has no such token.
        """
        if self.own.eos is None:
            raise ModelError(
                "lm-eval begins a text with the tokenizer's last token, and this one has none; name"
                " another with tokenizer="
            )
        return self.own.eos

    @property
    def prefix_token_id(self) -> int:
        """What an empty prompt is replaced by."""
        bos = getattr(self.tokenizer, "bos_token_id", None)
        return self.eot_token_id if bos is None else bos

    @property
    def max_length(self) -> int | None:
        """Tokens that fit; None is any number. lm-eval writes it down."""
        return self.limit

    @property
    def tokenizer_name(self) -> str:
        """lm-eval's name for the tokenizer."""
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Tokens; `add_special_tokens` False: without a first token."""
        return self.own.encode(string, begins=add_special_tokens is not False)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        (pair,) = self.own.pairs(context, [continuation])
        return list(pair.prompt), list(pair.text)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Texts written greedily behind prompts, each cut at the first of its stop strings.

        Raises:
            SettingError: something else than greedy decoding is asked for, or more tokens than fit.
        """
        writes = [self._write(*request.args) for request in requests]
        texts = self._ask("generate_until", writes, self._texts)
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def _write(self, prompt: str, asked: dict[str, Any]) -> Write:
        options: dict[str, Any] = dict(normalize_gen_kwargs(asked, MAX_GEN_TOKS))
        unknown = sorted(options.keys() - _GREEDY)
        if options["do_sample"] or unknown:
            what = ", ".join(unknown) or "do_sample"
            raise SettingError(f"mom-eval's models decode greedily; {what} cannot be asked for")
        tokens = options["max_gen_toks"]
        ids = self.own.encode(prompt) or [self.prefix_token_id]
        if self.limit is not None:
            if tokens >= self.limit:
                raise SettingError(
                    f"{tokens} tokens are to be written and {self.limit} fit; take a smaller"
                    " max_gen_toks"
                )
            ids = ids[tokens - self.limit :]
        return Write(ids, tokens, tuple(stop for stop in options["until"] if stop))

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """`loglikelihood` of the base class ends here: (texts, prompt, continuation) as tokens."""
        scores = [self._score(prompt, text) for _, prompt, text in requests]
        found = self._ask("loglikelihood", scores, self._scored)
        out = [(one.nats, one.greedy) for one in found]
        for (texts, _, _), answer in zip(requests, out, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return out

    def _score(self, prompt: list[int], text: list[int]) -> Score:
        """The last token is only judged, never read: so one more fits."""
        if self.limit is None:
            return Score(prompt, text)
        if len(text) > self.limit:
            raise SettingError(
                f"a text of {len(text)} tokens is to be scored and {self.limit} fit; take shorter"
                " ones"
            )
        return Score(prompt[max(0, len(prompt) + len(text) - self.limit - 1) :], text)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log probabilities of whole texts, in windows of the limit, one without a limit."""
        windows, owners = [], []
        for owner, request in enumerate(requests):
            # The window brings a first token of its own.
            ids = self.own.encode(request.args[0], begins=False)
            for window in get_rolling_token_windows(
                ids, self.prefix_token_id, self.limit or max(1, len(ids)), context_len=1
            ):
                windows.append((None, *make_disjoint_window(window)))
                owners.append(owner)
        out = [0.0] * len(requests)
        for owner, (nats, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            out[owner] += nats
        for request, nats in zip(requests, out, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, nats)
        return out

    def _texts(self, writes: Sequence[Write], rows: int | None) -> Iterator[dict[int, str]]:
        for part in self.own.ask(writes, [], rows, TokenCount()):
            yield part.written

    def _scored(self, scores: Sequence[Score], rows: int | None) -> Iterator[dict[int, Scored]]:
        for part in self.own.ask([], scores, rows, TokenCount()):
            yield part.scored

    def _ask(
        self,
        what: str,
        units: list[Unit],
        do: Callable[[Sequence[Unit], int | None], Iterator[dict[int, Result]]],
    ) -> list[Result]:
        """Results in the units' order."""
        results: dict[int, Result] = {}

        def ask(places: Sequence[int], rows: int | None) -> Iterator[list[tuple[int, Result]]]:
            asked = [units[place] for place in places]
            for part in do(asked, self.rows if rows is None else rows):
                yield [(places[place], result) for place, result in part.items()]

        with bars("mom-eval") as shown:
            shown.start(what, len(units), 0)
            halving = Halving[int, Result](
                "requests",
                lambda left: (
                    f"a prompt of up to {max(len(units[i].prompt) for i in left)} tokens by itself;"
                    " take a smaller model, dtype=bfloat16 or a smaller max_length"
                ),
                shown.say,
            )
            for some in halving.results(range(len(units)), ask):
                results.update(some)
                shown.advance(len(some))
        return [results[i] for i in range(len(units))]


register_model("mom-eval")(OwnLM)  # as a decorator it would hide the type
