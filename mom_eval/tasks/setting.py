"""What is asked and how: everything about a run's prompts that is neither model nor data."""

from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from mom_eval.errors import SettingError
from mom_eval.tasks.recall import ANSWER_LENGTH

PROTOCOLS = ("paper", "full")
CONTROLS = ("blind", "shuffled")
_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The protocol of a run. Two runs of different settings never share a table.

    Raises:
        SettingError: the parts do not fit together.
    """

    protocol: str = "paper"
    """`paper`: the document is cut around the answer, as the papers did; `full`: whole, cut only
    from the left where it exceeds the context."""
    context_length: int = 2048
    """Tokens of prompt and answer together. With a haystack, the prompt may be longer."""
    repeat: int = 1
    """How often the document stands in the prompt; from 2 on, the question also opens it."""
    haystack: int | None = None
    """Tokens of the haystack in which the passage is hidden; None: no haystack."""
    depth: float | None = None
    """Where the passage stands in the haystack: 0 at its head, 1 at its end."""
    control: str | None = None
    """`blind`: the question without the document; `shuffled`: with another question's document."""
    keep_dropped: bool = False
    """Whether questions that the papers' code drops are asked all the same."""
    limit: int | None = None
    """At most so many questions a task, the first of a fixed random order."""
    seed: int = 0
    """Draws haystacks and other documents."""
    bos: bool = False
    """Whether a beginning-of-sequence token, which also takes room, opens the prompt."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise SettingError(
                f"there is no protocol {self.protocol!r}; known: {', '.join(PROTOCOLS)}"
            )
        if self.control not in (None, *CONTROLS):
            raise SettingError(
                f"there is no control {self.control!r}; known: {', '.join(CONTROLS)}"
            )
        if self.context_length < 2 * ANSWER_LENGTH:
            raise SettingError(
                f"a context of {self.context_length} tokens leaves no room beside an answer of"
                f" {ANSWER_LENGTH}; --context-length must be {2 * ANSWER_LENGTH} or more"
            )
        if self.repeat < 1:
            raise SettingError(
                f"--repeat {self.repeat} asks for no document at all; it must be 1 or more"
            )
        if self.limit is not None and self.limit < 1:
            raise SettingError(f"--limit {self.limit} asks no question; it must be 1 or more")
        if (self.haystack is None) != (self.depth is None):
            raise SettingError("--haystack and --depth belong together; give both or neither")
        self._check_haystack()

    def _check_haystack(self) -> None:
        if self.haystack is None or self.depth is None:
            return
        if not 0 <= self.depth <= 1:
            raise SettingError(
                f"--depth {self.depth} lies outside the document; it runs from 0 to 1"
            )
        if self.haystack < 2 * ANSWER_LENGTH:
            raise SettingError(
                f"--haystack {self.haystack} is no haystack; it must be {2 * ANSWER_LENGTH} or more"
            )
        if self.repeat > 1 or self.control is not None:
            raise SettingError(
                "--haystack goes with neither --repeat nor --control; run them apart"
            )

    @property
    def file_length(self) -> int | None:
        """Which of the hub's versions of NQ is read; None: the whole one, hay for any haystack."""
        return self.context_length if self.haystack is None else None

    @property
    def window(self) -> int:
        """Tokens that a document is cut to under `paper`."""
        return self.context_length - ANSWER_LENGTH

    @property
    def prompt_limit(self) -> int | None:
        """Tokens a prompt is cut to from the left; None where it is never cut."""
        if self.haystack is not None or self.repeat > 1:
            return None
        return self.context_length - ANSWER_LENGTH - self.bos

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> "Setting":
        """The setting out of lm-eval's task metadata, in which other keys stand as well.

        Raises:
            SettingError: a field is of another type, or the parts do not fit together.
        """
        own = {key: metadata[key] for key in cls.__dataclass_fields__ if key in metadata}
        for key, value in own.items():
            kinds = get_type_hints(cls)[key]
            # A bool is an int to Python, an int is no float to `isinstance`.
            sound = isinstance(value, kinds) or (key == "depth" and type(value) is int)
            if not sound or (isinstance(value, bool) and kinds is not bool):
                known = " or ".join(_KINDS[kind] for kind in get_args(kinds) or (kinds,))
                raise SettingError(f"metadata: {key} must be {known}, not {value!r}")
        return cls(**own)
