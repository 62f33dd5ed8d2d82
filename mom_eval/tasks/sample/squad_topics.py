"""What the SQuAD-like paragraphs say: a town, an observatory, an expedition."""

from mom_eval.tasks.sample.prose import Relation, Topic

TOWN = Topic(
    names={"town": "place", "region": "region", "river": "river"},
    title="{town}",
    opening=(
        "{town} is a {market|harbour|mill|garrison} town {in the north|on the western edge|in the"
        " lowlands|in the hill country} of {region}, on the {left|right} bank of the {river}.",
        "It grew up around {an old ferry crossing|a salt road|a cattle market|a ruined tower}.",
    ),
    relations=(
        Relation(
            "person",
            "The first stone bridge over the {river} was {designed|planned} by {answer}, who {had"
            " never built anything of the kind|later gave up architecture for farming}.",
            "Who designed the first stone bridge over the {river}?",
            "The architect of the first stone bridge over the {river} was",
        ),
        Relation(
            "year",
            "The great fire of {answer} began in a {bakery|rope store|chandler's loft} and burned"
            " down {most|two thirds} of the houses around the market.",
            "In what year did the great fire of {town} break out?",
            "The great fire of {town} broke out in the year",
        ),
        Relation(
            "company",
            "For two generations the largest employer was {answer}, which made {rope|glass"
            " bottles|railway signals|woollen blankets} for export.",
            "Which firm employed most of the workers in {town} for two generations?",
            "For two generations most of the workers in {town} were employed by",
        ),
        Relation(
            "place",
            "{town} has long been twinned with {answer}, {a spa town|a fishing port|a hill town}"
            " whose choir visits every spring.",
            "What is the twin town of {town}?",
            "The twin town of {town} is",
        ),
        Relation(
            "count",
            "At the last census {answer} people lived inside the old boundary, slightly"
            " {fewer|more} than ten years before.",
            "How many people lived inside the old boundary of {town} at the last census?",
            "The number of people living inside the old boundary of {town} at the last census was",
        ),
        Relation(
            "person",
            "The grammar school owes its existence to {answer}, a {widow|wine merchant|retired"
            " judge} who left it a whole estate.",
            "Who left an estate to the grammar school of {town}?",
            "The estate that made the grammar school of {town} possible was left by",
        ),
        Relation(
            "brand",
            "The cheese of the district is sold under the name {answer} and is {washed in"
            " cider|wrapped in nettle leaves|aged in disused cellars}.",
            "Under what name is the cheese of {town} sold?",
            "The cheese of {town} is sold under the name",
        ),
        Relation(
            "person",
            "The views of the {river} in the town hall are the work of {answer}, who spent"
            " {seven|nine|eleven} summers in {town}.",
            "Who painted the views of the {river} in the town hall?",
            "The views of the {river} in the town hall were painted by",
        ),
        Relation(
            "date",
            "A train {from the coast|with the first mail} arrived on {answer}, {four|six|nine}"
            " years later than the company had promised.",
            "When did the first train arrive in {town}?",
            "The first train arrived in {town} on",
        ),
    ),
    others=(
        "Wool and hides were traded here {for centuries|long before the first charter}, and the"
        " tolls paid for the upkeep of the walls.",
        "In {year}, {person} tried to {drain the water meadows|move the market outside the gates},"
        " but the plan failed for want of money.",
        "Floods {damaged|swept through} the lower streets in {year} and again {some} years later.",
        "The parish registers list {count} baptisms in the {first|second} half of the century.",
        "{person} and {person2} quarrelled for years over the right to {grind corn|tan leather|sell"
        " fish} below the weir.",
        "The town hall has a clock made in {place}, which has {rarely|never} kept the right time.",
        "A visitor from {place} wrote in {year} that the inns were {clean but cold|crowded and"
        " dear|better than their reputation}.",
        "The road to {place} was paved only in {year}, after {long petitions|a harsh winter}.",
        "Most of the old guild houses are now {flats|workshops|offices}, though the carved doors"
        " have been kept.",
        "The {spring|autumn} fair draws people from {place} and other towns along the road.",
        "A small museum shows tools of the {coopers|weavers|bell founders} and the letters of"
        " {person}.",
        "The hospital took in {120..2900} patients during the epidemic, many of them from the"
        " villages downstream.",
        "The football club plays in the meadow behind the {station|gasworks} and has {never won|won"
        " twice} against {place}.",
        "Apples, {hops|flax} and {barley|rye} are grown on the terraces south of the walls.",
        "The mayor, {person}, had the {north|east} gate taken down to let wagons through.",
        "A {glassworks|paper mill|brickyard} outside the walls failed in {year}, {some} years after"
        " it had opened.",
        "{person} collected the songs of the {raftsmen|reapers} and had them printed in {place}.",
        "Every seventh year the {bakers|ferrymen} carry a wooden {swan|saint} through the streets.",
        "Wells inside the walls were deep, and one of them is said to reach the river.",
    ),
)

OBSERVATORY = Topic(
    names={"house": "surname", "hill": "place"},
    title="{house} Observatory",
    opening=(
        "The {house} Observatory stands on a {bare|wooded} ridge above {hill}, {far from|out of"
        " sight of} the nearest large city.",
        "It has been {run by a small trust|part of a university} for most of its existence.",
    ),
    relations=(
        Relation(
            "person",
            "Its first director was {answer}, {a schoolteacher|a ship's navigator|an instrument"
            " maker} without a degree.",
            "Who was the first director of the {house} Observatory?",
            "The first director of the {house} Observatory was",
        ),
        Relation(
            "company",
            "The lens of the great refractor was ground by {answer} after {two|three} other firms"
            " had given up.",
            "Which firm ground the lens of the {house} refractor?",
            "The lens of the {house} refractor was made by",
        ),
        Relation(
            "date",
            "The new star that made the observatory known was {seen|recorded} there on {answer}, on"
            " a plate exposed for another purpose.",
            "On what date was the new star recorded at the {house} Observatory?",
            "At the {house} Observatory the new star was recorded on",
        ),
        Relation(
            "person",
            "The comet of that decade is named after {answer}, the night assistant who noticed it"
            " while {testing a shutter|changing a plate}.",
            "After whom is the comet named that was found at the {house} Observatory?",
            "The comet found at the {house} Observatory is named after",
        ),
        Relation(
            "count",
            "The printed catalogue lists {answer} double stars and took {nineteen|twenty-two} years"
            " to finish.",
            "How many double stars does the {house} catalogue list?",
            "The number of double stars in the {house} catalogue is",
        ),
        Relation(
            "place",
            "During the war the instruments were stored in a {salt mine|wine cellar} near {answer},"
            " where damp ruined some of the mounts.",
            "Near which town were the {house} instruments stored during the war?",
            "During the war the {house} instruments were stored near",
        ),
        Relation(
            "year",
            "Electric light reached the ridge in {answer}; before that, {oil lamps|candles} were"
            " carried up the stairs.",
            "In what year did electric light reach the ridge above {hill}?",
            "Electric light reached the ridge above {hill} in the year",
        ),
        Relation(
            "person",
            "The money for the second dome came from {answer}, {a brewer|a shipowner} who had lost"
            " a bet.",
            "Who paid for the second dome of the {house} Observatory?",
            "The second dome of the {house} Observatory was paid for by",
        ),
    ),
    others=(
        "The walls of the older dome are more than a metre thick and rest directly on the rock.",
        "Plates were sent by mule to {place} until a road was cut in {year}.",
        "{person} spent {some} winters measuring the brightness of variable stars, mostly alone.",
        "A guest book shows the names of {person} and {person2} on the same {spring|autumn} day.",
        "The meridian room is now {a library|a lecture hall}, and its brass scales hang on the"
        " wall.",
        "Fog from the valley spoils about {some} nights a year, according to {person}.",
        "The staff kept {bees|goats|hens} on the slope and sold the surplus in {place}.",
        "In {year} a lightning strike destroyed the time service and part of the archive.",
        "The library holds {count} volumes, among them star charts printed in {place}.",
        "Visitors climb {180..740} steps from the lower station, or so the warden likes to claim.",
        "A smaller telescope was lent to {place} and came back {some} years later without its"
        " finder.",
        "{person} argued in a pamphlet of {year} that the site should be given up for a higher"
        " one.",
        "Weather readings have been taken every morning since {year}, Sundays included.",
        "The computing room employed {some} people, most of them women from the village school.",
        "Street lighting in {place} has made faint objects hard to see in the {east|south}.",
        "A sundial by {person} is {four|six} minutes slow, and a plate below it says so.",
        "{person} gave evening lectures in {place} to audiences of up to {30..190}.",
        "The {wind|snow} of {year} lifted the roof of the workshop and carried it into a field.",
        "Clocks were compared by telegraph with those of {place} every {Monday|Thursday}.",
    ),
)

EXPEDITION = Topic(
    names={"leader": "surname", "coast": "region"},
    title="{leader} expedition",
    opening=(
        "The {leader} expedition set out to map the {northern|interior|eastern} coast of {coast},"
        " which {no chart showed|was known only from hearsay} at the time.",
        "It was {poorly paid|hastily prepared} and lasted longer than anyone had planned.",
    ),
    relations=(
        Relation(
            "brand",
            "The party sailed in the {answer}, a {whaler|sealer|collier} rebuilt for work in ice.",
            "What was the name of the ship of the {leader} expedition?",
            "The ship of the {leader} expedition was called the",
        ),
        Relation(
            "person",
            "The surgeon on board was {answer}, who also {kept the diary of the voyage|collected"
            " mosses}.",
            "Who was the surgeon of the {leader} expedition?",
            "The surgeon of the {leader} expedition was",
        ),
        Relation(
            "date",
            "Land was sighted on {answer}, {in thick snow|shortly before dawn}, by a sailor who was"
            " repairing a sail.",
            "When did the {leader} expedition sight land?",
            "The {leader} expedition sighted land on",
        ),
        Relation(
            "place",
            "The last letters home were posted at {answer}, where the crew took on {coal|flour} and"
            " {dogs|ponies}.",
            "Where did the {leader} expedition post its last letters home?",
            "The {leader} expedition posted its last letters home at",
        ),
        Relation(
            "count",
            "The survey covered {answer} square kilometres, most of it {on foot|by sledge}.",
            "How many square kilometres did the {leader} survey cover?",
            "The area covered by the {leader} survey, in square kilometres, was",
        ),
        Relation(
            "person",
            "The highest peak was named after {answer}, {a publisher|a banker} who had paid for the"
            " tents.",
            "After whom was the highest peak of {coast} named?",
            "The highest peak of {coast} was named after",
        ),
        Relation(
            "company",
            "Tinned food came from {answer}, and {a third|nearly half} of it was spoiled when it"
            " was opened.",
            "Which firm supplied the tinned food of the {leader} expedition?",
            "The tinned food of the {leader} expedition had been supplied by",
        ),
        Relation(
            "river",
            "The wide valley that blocked the way south was called {answer} after a word of the"
            " {guides|ferrymen}.",
            "What was the wide valley called that blocked the {leader} expedition?",
            "The wide valley that blocked the {leader} expedition was called",
        ),
    ),
    others=(
        "{person} kept a record of temperatures, although two of the thermometers had broken.",
        "The first winter was spent in a hut of {driftwood|crates and turf}, {some} metres above"
        " the beach.",
        "Newspapers in {place} had already printed obituaries of {person} and {person2}.",
        "A depot of {flour|pemmican} was laid in {month}, but foxes found it before the men did.",
        "The compass was of little use so close to the pole, and the party steered by the sun.",
        "{person} fell ill in {month} and was carried for {some} days on a sledge.",
        "The drawings made by {person} are kept in {place}, together with a cooking stove.",
        "Ice closed the bay in {month}, {some} days earlier than in {year}.",
        "Two of the boats were burned for fuel, which {person} later called the worst order ever"
        " given.",
        "Seal meat made up most of the diet from {month} on.",
        "An earlier attempt in {year}, led by {person}, had turned back within sight of the"
        " {cliffs|glacier}.",
        "The scientific results filled {some} volumes and sold {count} copies in all.",
        "Parliament debated the cost for {some} hours and agreed to nothing.",
        "The rocks brought back weighed {some} hundredweight and proved to be {basalt|sandstone}.",
        "The cook, {person}, had never been to sea and was ill for {some} days.",
        "Fog kept the boats on the beach for most of {month}.",
        "A bottle with a message from {person} was washed ashore in {year}.",
        "{person} and {person2} walked ahead and marked the way with {flags|cairns}.",
        "Lamp oil ran out in {month}, after which the men told stories in the dark.",
    ),
)

TOPICS = (TOWN, OBSERVATORY, EXPEDITION)
