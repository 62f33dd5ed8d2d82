"""DROP-like passages: a football season told play by play, or sieges."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mom_eval.tasks.sample.drop_topics import OTHER_PLAYS, PLAYS, SIEGES, Play
from mom_eval.tasks.sample.prose import compose, length, questions_on
from mom_eval.tasks.sample.world import World

_QUARTERS = ("first", "second", "third", "fourth")
_MOST_QUESTIONS = 6
_FINAL_SCORE = 12
"""Pieces of the sentence that ends a game."""


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    if world.rng.random() < 0.4:
        texts = compose(world, SIEGES, tokens)
        context = "\n".join(" ".join((*text.opening, *text.sentences)) for text in texts)
        pairs = [(a.question, a.answer) for a in questions_on(world, texts, _MOST_QUESTIONS)]
    else:
        context, pairs = _season(world, tokens)
    for question, answer in pairs:
        yield {
            "context": context,
            "question": question,
            "orig_question": question,
            "answers": [answer],
        }


def _season(world: World, tokens: int) -> tuple[str, list[tuple[str, str]]]:
    team, week = world.keep("team"), world.rng.randint(1, 4)
    games: list[str] = []
    pairs: list[tuple[str, str]] = []
    left = tokens
    while left > 60 or not games:
        size = world.rng.randint(140, 260)
        game = _Game(world, team, week)
        # A rest that is too short for a game of its own goes to this one.
        game.play(left if left < size + 100 else size)
        games.append(" ".join(game.sentences))
        pairs += game.pairs
        left -= length(games[-1:]) + 1
        week += 1
    number = max(1, min(_MOST_QUESTIONS, tokens // 60, len(pairs)))
    return "\n".join(games), world.rng.sample(pairs, number)


class _Score(NamedTuple):
    sentence: str
    question: str
    answer: str


class _Game:
    """One game: its sentences so far, and what can be asked about them."""

    def __init__(self, world: World, team: str, week: int) -> None:
        self.world = world
        self.rival = world.keep("team")
        while self.rival.split()[-1] == team.split()[-1]:
            self.rival = world.keep("team")
        self.short = (team.split()[-1], self.rival.split()[-1])
        self.points = [0, 0]
        self.taken: set[tuple[bool, int]] = set()
        known = {"team": team, "rival": self.rival, "week": str(week)}
        self.sentences = [
            world.fill(
                "{Coming off a win|Hoping to end a poor run|After a short week|Still without a"
                " settled line}, the {team} {met|hosted|travelled to meet} the {rival} in week"
                " {week} {under the lights|in bitter cold|before a full house|on a soft field}.",
                known,
            )
        ]
        self.pairs: list[tuple[str, str]] = []

    def play(self, room: int) -> None:
        """Tell the game in about `room` pieces."""
        quarter, last, said = 0, -1, ""
        while length(self.sentences) < room - _FINAL_SCORE - 15 or not self.pairs:
            if self.pairs and self.world.rng.random() < 0.35:
                self.sentences.append(self.world.fill(self.world.next(OTHER_PLAYS)))
                continue
            quarter = min(3, quarter + (self.world.rng.random() < 0.5))
            side = self.world.rng.randint(0, 1)
            score = self._score(side)
            when = f"In the {_QUARTERS[quarter]} quarter"
            opening = when if when != said else self.world.rng.choice(("Then", "Minutes later"))
            how = "scored first" if last < 0 else "struck again" if last == side else "answered"
            self.sentences.append(f"{opening} the {self.short[side]} {how} when {score.sentence}.")
            self.pairs.append((score.question, score.answer))
            last, said = side, when
        self.sentences.append(self._result())

    def _score(self, side: int) -> _Score:
        play: Play = self.world.rng.choice(PLAYS)
        while True:
            yards = self.world.rng.randint(*play.yards)
            if (play.passing, yards) not in self.taken:
                break
        self.taken.add((play.passing, yards))
        self.points[side] += play.points
        known = {
            "answer": self.world.keep("person"),
            "yards": str(yards),
            "rival": self.rival,
        }
        sentence = self.world.fill(play.sentence, known)
        if not play.sentence.startswith("{answer}"):  # it continues a sentence
            sentence = sentence[0].lower() + sentence[1:]
        return _Score(sentence, self.world.fill(play.question, known), known["answer"])

    def _result(self) -> str:
        most, least = max(self.points), min(self.points)
        if most == least:
            return f"The game ended level at {most} points each."
        return f"The {self.short[self.points.index(most)]} won by {most} points to {least}."
