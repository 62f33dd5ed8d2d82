"""What the TriviaQA-like evidence says: an inventor, a peak, a stolen picture."""

from mom_eval.tasks.sample.prose import Relation, Topic

INVENTOR = Topic(
    names={"inventor": "person", "device": "brand"},
    title="{inventor}",
    opening=(
        "{inventor} was an engineer and inventor, best remembered for the {device} {pump|loom|"
        "brake|stove}, which {is still in use|made others rich}.",
        "Biographers agree on little else, since most of the papers were {burned|sold by weight}.",
    ),
    relations=(
        Relation(
            "place",
            "{inventor} was born in {answer}, {the youngest of nine children|above a saddler's"
            " shop}.",
            "In which town was the inventor of the {device} born?",
        ),
        Relation(
            "person",
            "The idea was first sketched by {answer}, a {teacher|lodger|cousin} whose name is on no"
            " patent.",
            "Whose sketch is said to lie behind the {device} of {inventor}?",
        ),
        Relation(
            "company",
            "The rights were sold, for a sum that hardly paid the debts, to {answer}.",
            "Which firm bought the rights to the {device}?",
        ),
        Relation(
            "title",
            "In old age {inventor} published a volume of memoirs, {answer}, which was {mostly about"
            " fishing|withdrawn within a week}.",
            "What is the title of the memoirs of {inventor}?",
        ),
        Relation(
            "person",
            "The marriage to {answer}, {a singer|a botanist}, was unhappy and short.",
            "To whom was the inventor of the {device} briefly married?",
        ),
        Relation(
            "region",
            "A court case over the accounts ended in flight to {answer}, then without an"
            " extradition treaty.",
            "To which country did {inventor} flee from a court case?",
        ),
        Relation(
            "river",
            "The first trial took place on the banks of the {answer}, and ended with {a broken"
            " wheel|a soaked mayor}.",
            "On the banks of which river was the {device} first tried out?",
        ),
        Relation(
            "place",
            "A statue was put up in {answer}, {facing the gasworks|without the hat}, by public"
            " subscription.",
            "Which town has a statue of {inventor}?",
        ),
    ),
    others=(
        "{person} offered to pay for a larger model but withdrew in {month}.",
        "The workshop in {place} employed {some} people at its height.",
        "A newspaper called the machine {a toy for bored farmers|the noise of the future}.",
        "Letters to {person} show a man who {slept little|trusted no bank}.",
        "The drawings of {year} are signed by {person}, which has puzzled historians.",
        "An exhibition in {place} gave the invention a silver medal and no orders.",
        "Of {count} machines built, {some} are known to survive.",
        "{person} and {person2} claimed later to have been present at the trial.",
        "An explosion in {year} broke every window between the yard and the church.",
        "The household moved {some} times, once from {place} to {place2} in a single night.",
        "A lecture in {place} had to be stopped when the boiler could not be shut off.",
        "The patent office replied after {some} months and asked for a clearer drawing.",
        "Copies were made abroad from {year} on, without licence and with better screws.",
        "Many details come from {person}, whose account is not always to be trusted.",
        "An uncle, {person}, paid for two years of study in {place}.",
        "The first {advertisement|catalogue} promised results within {some} minutes.",
        "A strike in {month} was settled with {coal|a holiday} instead of money.",
        "A street in {place} had to be widened before the finished machine could leave.",
    ),
)

PEAK = Topic(
    names={"peak": "surname", "range": "region"},
    title="Mount {peak}",
    opening=(
        "Mount {peak} is the {second|third} highest summit of the {range} range and for a long time"
        " {was thought impossible to climb|appeared on no map}.",
        "Its {north|west} face is seen on {stamps|chocolate boxes} all over the country.",
    ),
    relations=(
        Relation(
            "person",
            "The summit was first reached by {answer}, {alone and in tennis shoes|who had lost both"
            " ropes}.",
            "Who was the first to climb Mount {peak}?",
        ),
        Relation(
            "place",
            "Most parties start from {answer}, {the last village with a shop|where mules can be"
            " hired}.",
            "From which village do most climbers of Mount {peak} start?",
        ),
        Relation(
            "river",
            "The melt water of its glacier feeds the {answer}, {milky all summer|full of trout}.",
            "Which river is fed by the glacier of Mount {peak}?",
        ),
        Relation(
            "title",
            "The novel {answer}, {a story of two brothers|long banned}, is set in a hut below its"
            " summit.",
            "Which novel is set in a hut on Mount {peak}?",
        ),
        Relation(
            "brand",
            "Herdsmen on the far side know the mountain as {answer}, which means {the deaf one|the"
            " tooth}.",
            "By what name do herdsmen know Mount {peak}?",
        ),
        Relation(
            "person",
            "The hard route up the {east|south} pillar bears the name of {answer}, who fell there"
            " in a later year and lived.",
            "Which climber gave a name to the pillar route on Mount {peak}?",
        ),
        Relation(
            "company",
            "The cable car to the saddle was built by {answer}, which went bankrupt {before it"
            " opened|in its first winter}.",
            "Which firm built the cable car on Mount {peak}?",
        ),
    ),
    others=(
        "Earlier attempts by {person} and {person2} ended in a storm at the {saddle|ice wall}.",
        "A chapel near {place} holds {some} plaques with the names of the lost.",
        "In {month} the snow on the upper slopes is firm until about noon.",
        "The height given by {person} in {year} was wrong by {some} metres.",
        "A hut with {some} beds stands on a rib of rock and is run by {person}.",
        "A painter from {place} came every summer and never painted anything else.",
        "Rockfall has made the old path unsafe since {year}.",
        "Iron ladders were fixed in {year} and removed again after complaints from {place}.",
        "The crystals found by {person} were sold to a museum in {place}.",
        "Ibex, marmots and a few {eagles|vultures} live on the southern side.",
        "Radio masts on the lower top serve {count} households.",
        "Guides are paid by the day, and bad weather counts as a day.",
        "An aeroplane was flown round it in {year} by {person}, who had been forbidden to.",
        "The border was moved {some} metres in {year}, which nobody on the mountain noticed.",
        "{person} counted {some} avalanches in a single {morning|week}.",
        "A {bell|barrel organ} was once carried to the top by students from {place}.",
        "The weather station sends its readings to {place} every hour.",
        "Geologists led by {person} drilled {some} holes and found {salt|nothing}.",
    ),
)

PICTURE = Topic(
    names={"picture": "title", "museum": "place"},
    title="{picture} (painting)",
    opening=(
        "{picture} is a painting in {oil|tempera} that hung for decades in the museum of {museum},"
        " {above a radiator|in a poorly lit corridor}.",
        "It became famous only when it was gone.",
    ),
    relations=(
        Relation(
            "person",
            "It was painted by {answer}, in the winter {after an illness|before the war}.",
            "Who painted {picture}?",
        ),
        Relation(
            "person",
            "The thief proved to be {answer}, {a night porter|a locksmith} with no love of art.",
            "Who stole {picture} from the museum of {museum}?",
        ),
        Relation(
            "place",
            "It was found in {answer}, rolled up in {a carpet|a length of stove pipe}.",
            "Where was the stolen painting {picture} found?",
        ),
        Relation(
            "company",
            "The reward had been put up by {answer}, which used the case in its advertising.",
            "Which firm offered the reward for the return of {picture}?",
        ),
        Relation(
            "person",
            "The woman in the doorway is thought to be {answer}, {a neighbour|a laundress} who sat"
            " for many artists.",
            "Who is thought to be the woman shown in {picture}?",
        ),
        Relation(
            "title",
            "The theft is the subject of the film {answer}, which changes {the ending|nearly"
            " everything}.",
            "Which film tells of the theft of {picture}?",
        ),
        Relation(
            "river",
            "The water in the background is the {answer}, seen from a bridge that has gone.",
            "Which river can be seen in the background of {picture}?",
        ),
    ),
    others=(
        "An inventory of {year} values it below the frame.",
        "{person} restored the sky in {year} with a paint that has since turned green.",
        "The police of {place} followed {some} false leads, one of them to a circus.",
        "A copy by {person} was on show for {some} months before anyone complained.",
        "Cleaning in {month} brought to light a dog in the lower left corner.",
        "{person} bought it for {count} crowns and gave it away within the year.",
        "Scholars from {place} doubted the signature until {year}.",
        "The alarm had been switched off because of {moths|a faulty cable}.",
        "A letter from {person} to {person2} calls it the {quietest|coldest} picture of its time.",
        "The canvas was once folded, and the crease can be felt but not seen.",
        "It travelled to {place} in {year} in an ordinary luggage van.",
        "The trial took {some} days and filled the hotels of {place}.",
        "The museum has since counted {count} visitors who ask for nothing else.",
        "Photographs taken before {year} show it upside down.",
        "{person} saw it once as a child and described it wrongly for the rest of a long life.",
        "The insurance had run out in {month}, {some} days before the theft.",
        "An X-ray made in {place} shows an earlier picture of {a cow|two chairs} underneath.",
        "A postcard of it has been printed {count} times.",
    ),
)

TOPICS = (INVENTOR, PEAK, PICTURE)
