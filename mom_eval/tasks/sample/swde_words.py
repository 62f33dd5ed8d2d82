"""What the SWDE-like pages say: a film site, a university guide, a shop for outdoor goods."""

from typing import NamedTuple


class Site(NamedTuple):
    """One web site; all pages of it share their frame."""

    name: str
    names: dict[str, str]
    """Slot -> kind: the page's item."""
    head: tuple[str, ...]
    attributes: dict[str, str]
    """Key -> form of its value."""
    lines: tuple[str, ...]
    """Everything else on the page, in any order."""
    foot: tuple[str, ...]


FILM = Site(
    name="film",
    names={"film": "title"},
    head=(
        "{film} - Reel Guide",
        "Home | Films | People | Reviews | Sign in",
        "Films > {Drama|Comedy|Thriller|Documentary} > {film}",
        "A {quiet|nervous|generous|strange} film about {a night shift|two sisters|a stolen boat|the"
        " last day of school}, told {almost without words|backwards|in five letters}.",
    ),
    attributes={
        "director": "{person}",
        "screenwriter": "{person}",
        "running time": "{71..219} minutes",
        "release date": "{date}",
        "studio": "{company}",
        "composer": "{person}",
        "filming location": "{place}, {region}",
        "budget": "{3..89}.{1..9} million crowns",
        "alternative title": "{title}",
        "cinematographer": "{person}",
        "distributor": "{company}",
    },
    lines=(
        "{person} wrote: {Slow, but I stayed|I cried twice|Not for children}. {some} people found"
        " this helpful.",
        "You may also like: {title} ({1931..1999}), {title2} ({1931..1999})",
        "News: {person} to appear in a new stage play in {place} this {spring|autumn}.",
        "{some} of {count} members have this on their list.",
        "Trailer | Pictures ({some}) | Quotes ({some2}) | Mistakes",
        "Trivia: the {dog|piano|lighthouse} in the opening scene belonged to {person}.",
        "{person} as the neighbour, {person2} as the postman, {person3} as the judge",
        "Average of {some} ratings: {two|three|four} stars",
        "Add to my list. Share this page. Report an error.",
        "Critics: The middle hour {drags|is a small wonder}, says {person} from {place}.",
        "Playing tonight in {place} and {place2}. Check times with your cinema.",
        "Festival prizes: audience award in {place}, special mention in {place2}.",
        "Question of the week: should {title} have won in {1931..1999}? Vote now.",
        "Mistakes: in the kitchen scene the clock shows two different times.",
        "Recently viewed: {title}, {title2}, {title3}",
        "Quote of the day, from {title}: You could at least have waved.",
        "Interview: {person} on {cold sets|bad reviews|working with geese}. Listen now.",
    ),
    foot=("About | Contact | Terms of use", "All data without warranty."),
)
UNIVERSITY = Site(
    name="university",
    names={"town": "place"},
    head=(
        "University of {town} | Campus Finder",
        "Skip to content. Search. Compare ({some}). Log in",
        "Universities > Profiles > {town}",
        "A {small|mid-sized|large} {public|private} university with a {wooded|riverside|hilltop}"
        " campus and a name for {engineering|music|veterinary science}.",
    ),
    attributes={
        "president": "{person}",
        "number of students": "{count}",
        "mascot": (
            "{Amber|Bronze|Golden|Grey|Iron|Scarlet|Silver|White} {Badger|Crane|Falcon|Fox|"
            "Heron|Lynx|Otter|Owl|Raven|Stag}"
        ),
        "annual tuition": "{4000..29000} crowns",
        "student newspaper": "The {brand} {Courier|Gazette|Observer|Record}",
        "library": "{surname} Library",
        "founder": "{person}",
        "application deadline": "{date}",
        "largest faculty": (
            "{Applied|Theoretical|Comparative|Industrial|Marine|Rural} {Chemistry|Economics|"
            "Geology|History|Languages|Mechanics|Medicine|Statistics}"
        ),
        "telephone": "0{100..999} {100..999} {1000..9999}",
        "concert hall": "{surname} Hall",
    },
    lines=(
        "{person}, second year: {The food is better than they say|Bring a bicycle|Rooms are small"
        " but dry}.",
        "Nearby: {place} ({some} km), {place2} ({some2} km)",
        "Students also compare: University of {place}, {place2} College",
        "Open day: tours start every hour at the {west|main} gate. No booking needed.",
        "Alumni: {person} (painter), {person2} (judge)",
        "Ask a student. {some} answers this week.",
        "News: a team from the department of physics wins a prize in {place}.",
        "Costs of living are {below|about|slightly above} the average of the region.",
        "Housing: {some} halls, the oldest of them named after {person}.",
        "Getting there: change trains at {place}, then bus {some}.",
        "Photo of the day: fog over the playing fields, by {person}.",
        "Exchange places in {region} and {region2} are filled by lot.",
        "Report: {person} on a term in {place}. Read more.",
        "Sports: rowing, fencing, handball and {some} other clubs",
        "Save this profile. Print. Send to a friend.",
    ),
    foot=("Privacy | Imprint | For schools", "Figures are supplied by the universities."),
)
SHOP = Site(
    name="outdoor",
    names={"item": "product"},
    head=(
        "{item} {Tent|Stove|Rucksack|Lantern|Sleeping Bag} - Fell and Shore Outfitters",
        "Cart (0) | Wish list | Stores | Help",
        "Outdoor > Camping > {item}",
        "Made for {long tours|wet summers|beginners|high camps}, and light enough to {forget|carry"
        " all day}. {In stock|Leaves our store within two days}.",
    ),
    attributes={
        "manufacturer": "{company}",
        "article number": "{20000..99999}-{100..999}",
        "weight": "{310..3990} grams",
        "price": "{19..489}.{10..99} crowns",
        "warranty": "{13..99} months",
        "designer": "{person}",
        "colour": (
            "{pale|dark|bright|dusty|deep} {amber|blue|copper|green|grey|red|sand|violet} with"
            " {black|cream|orange|silver|white} trim"
        ),
        "made in": "{place}, {region}",
        "packed size": "{14..69} by {71..129} millimetres",
        "series": "{brand} {Classic|Light|Pro|Trail}",
        "available from": "{date}",
    },
    lines=(
        "{person} from {place}: {Survived a storm|The zip jams when wet|Good value}. {some}"
        " customers found this useful.",
        "Customers also bought: {product}, {product2}",
        "Free returns within {some} days. Gift wrapping on request.",
        "Care: {wipe with a damp cloth|wash by hand|air before storing}. Do not tumble dry.",
        "Our stores in {place} and {place2} are closed for stock-taking on Monday.",
        "Question: does it fit the {product}? Answer by {person}: only with the adapter.",
        "Not sure? Call our advisers in {place}, every day until six.",
        "Compare with the {product}, which is larger and {cheaper|dearer}.",
        "Tested by {person} on a week's walk from {place} to {place2}.",
        "Read the guide: how to {pitch in wind|cook at height|pack in rain}",
        "Sign up for the newsletter and take part in the draw.",
        "Spare parts: pegs ({some} left), straps ({some2} left), repair kit",
        "Rating: {three|four|five} stars from {some} customers",
        "Recommended for {spring|autumn} and {summer|mild winters}.",
        "Recently viewed: {product}, {product2}, {product3}",
        "Winter sale: up to {15..60} per cent off the {product}, while stocks last.",
        "Collect today in {place} if ordered before {ten|noon}.",
    ),
    foot=("Shipping | Payment | Returns | Contact", "Prices include tax."),
)

SITES = (FILM, UNIVERSITY, SHOP)
