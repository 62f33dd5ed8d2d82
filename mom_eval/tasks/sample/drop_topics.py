"""What the DROP-like passages say: a siege, and the ways to score in a game of football."""

from typing import NamedTuple

from mom_eval.tasks.sample.prose import Relation, Topic

SIEGE = Topic(
    names={"city": "place", "attacker": "region", "defender": "region"},
    title="Siege of {city}",
    opening=(
        "The siege of {city} was part of the long war between {attacker} and {defender} over"
        " {trade with the islands|the crown|the silver mines}.",
        "The city {controlled the only pass|lay where two roads meet} and changed hands more than"
        " once.",
    ),
    relations=(
        Relation(
            "person",
            "The army of {attacker} was led by {answer}, who had {some} cannon and little powder.",
            "Who led the army of {attacker}?",
        ),
        Relation(
            "person",
            "The garrison was under the command of {answer}, {a cousin of the king|a former"
            " pirate}.",
            "Who commanded the garrison of {city}?",
        ),
        Relation(
            "place",
            "A relief force that had set out from {answer} was stopped by {snow|flooded fords}.",
            "From where had the relief force for {city} set out?",
        ),
        Relation(
            "river",
            "The besiegers dug a canal to turn the {answer} away from the walls, which {failed|took"
            " three months}.",
            "Which river did the besiegers try to turn away from the walls of {city}?",
        ),
        Relation(
            "count",
            "When it was over, {answer} people were still alive inside the walls.",
            "How many people were still alive in {city} when the siege was over?",
        ),
        Relation(
            "person",
            "The surrender was signed by {answer}, since no officer was left who could write.",
            "Who signed the surrender of {city}?",
        ),
        Relation(
            "company",
            "Bread for the besiegers was delivered by {answer}, which was paid {late|in land}.",
            "Which firm delivered bread to the besiegers of {city}?",
        ),
        Relation(
            "place",
            "The treaty that followed was concluded at {answer}, {in a barn|on a ship}.",
            "Where was the treaty concluded that followed the siege of {city}?",
        ),
        Relation(
            "year",
            "The walls were finally pulled down in {answer} and their stones used for a {harbour"
            " mole|prison}.",
            "In which year were the walls of {city} pulled down?",
        ),
    ),
    others=(
        "In {month} a sortie under {person} burned {some} tents and took {some2} prisoners.",
        "Grain cost {some} times its usual price by {month}.",
        "{person} wrote that {count} shots were fired in a single week.",
        "Disease killed {some} times as many soldiers as the guns did.",
        "A tower on the {north|east} side fell in {month}, but the breach was closed overnight.",
        "{person} and {person2} were sent to ask for terms and were kept as hostages.",
        "The suburbs were burned by the defenders themselves on the order of {person}.",
        "About {count} soldiers deserted in {month}, most of them unpaid.",
        "A messenger swam through the ditch and reached {place} in {some} hours.",
        "An earlier siege, in {year}, had lasted only {some} days.",
        "Merchants of {place} went on trading with both sides.",
        "Mines were dug under the {south|west} gate, and twice they met countermines.",
        "The bishop, {person}, had the bells melted down for {cannon|coin}.",
        "Rain filled the trenches in {month} and put an end to digging for {some} days.",
        "{person} kept a list of the horses that were eaten, {some} in all.",
        "Pigeons carried {some} letters to {place}, of which nine arrived.",
        "The {miller|schoolmaster}, {person}, was hanged for signalling with a lantern.",
        "A truce of {some} hours in {month} allowed both sides to bury their dead.",
        "Shells fell on the {hospital|granary} in {month} and set fire to {some} houses.",
    ),
)
SIEGES = (SIEGE,)


class Play(NamedTuple):
    """A way to score; `{answer}` is who did it, `{yards}` tells it from others in the game."""

    points: int
    passing: bool
    """Thrown and caught passes differ in yards from each other too: both are passes."""
    yards: tuple[int, int]
    sentence: str
    question: str


PLAYS = (
    Play(
        3,
        False,
        (19, 55),
        "kicker {answer} {made|hit|was good on} a {yards}-yard field goal {from the left|after a"
        " long drive|with the wind behind the ball}",
        "Which player kicked the {yards}-yard field goal in the game against the {rival}?",
    ),
    Play(
        7,
        True,
        (4, 78),
        "quarterback {person} found wide receiver {answer} with a {yards}-yard touchdown pass"
        " {down the sideline|over the middle|on third down}",
        "Who caught the {yards}-yard touchdown pass in the game against the {rival}?",
    ),
    Play(
        7,
        True,
        (4, 78),
        "{answer} {threw|completed} a {yards}-yard touchdown pass to tight end {person} {under"
        " pressure|on a broken play|off a fake}",
        "Who threw the {yards}-yard touchdown pass in the game against the {rival}?",
    ),
    Play(
        7,
        False,
        (56, 71),
        "running back {answer} {ran|broke away} {yards} yards for a touchdown {through three"
        " tackles|untouched|along the left side}",
        "Which player ran {yards} yards for a touchdown in the game against the {rival}?",
    ),
    Play(
        7,
        False,
        (2, 18),
        "running back {answer} {pushed|dived} in from {yards} yards {on the last try|behind a big"
        " block}",
        "Which player scored from {yards} yards in the game against the {rival}?",
    ),
    Play(
        7,
        False,
        (72, 96),
        "cornerback {answer} returned an interception {yards} yards {for a score|to the end zone}",
        "Who returned an interception {yards} yards in the game against the {rival}?",
    ),
)
OTHER_PLAYS = (
    "{A punt|A fumble|A missed kick} gave the ball back at midfield{ with little time left|}.",
    "Penalties cost {the home side|the visitors} {some} yards on one drive.",
    "Rain began to fall, and neither side could hold on to the ball.",
    "Linebacker {person} left the field with a {knee|shoulder} injury and did not return.",
    "A review by the officials took {some} minutes and changed nothing.",
    "The defence held on fourth down, led by {person} with {some} tackles.",
    "The crowd had been waiting {some} years for a night like this.",
    "Coach {person} called a time-out to settle the line.",
    "Safety {person} tipped a pass away in front of the {posts|bench}.",
    "{person} punted {some} yards and was knocked down as the ball left his foot.",
)
