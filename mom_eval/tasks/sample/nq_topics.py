"""What the NQ-like pages say, and how a search engine is asked: a series, a song, a park."""

from mom_eval.tasks.sample.prose import Relation, Topic

SERIES = Topic(
    names={"series": "title", "city": "place", "hero": "person"},
    title="{series} (TV series)",
    opening=(
        "{series} is a television {drama|comedy|crime} series about {a night ferry and its crew|a"
        " country vet|the staff of a failing hotel|two rival newspapers}.",
        "It ran for {six|seven|eight} seasons and was {praised for its dialogue|filmed on a small"
        " budget}.",
    ),
    relations=(
        Relation(
            "person",
            "The part of {hero} was first offered to other actors before {answer} took it.",
            "who plays {hero} in {series}",
        ),
        Relation(
            "place",
            "Although the story is set in {city}, the outdoor scenes were shot in {answer}, whose"
            " {harbour|railway yard} had stayed unchanged.",
            "where was {series} filmed",
        ),
        Relation(
            "person",
            "The {theme|title} music was written by {answer} in a single {afternoon|weekend}.",
            "who wrote the theme music for {series}",
        ),
        Relation(
            "date",
            "The pilot was broadcast on {answer}, {against a cup final|during a power cut}, and"
            " hardly anyone saw it.",
            "when did the first episode of {series} air",
        ),
        Relation(
            "title",
            "The last episode, called {answer}, was watched in {count} homes.",
            "what is the name of the last episode of {series}",
        ),
        Relation(
            "person",
            "All scripts of the first two seasons were by {answer}, {a former dentist|a former"
            " court reporter}.",
            "who wrote the first two seasons of {series}",
        ),
        Relation(
            "company",
            "The series was produced by {answer}, until then known for {advertising"
            " films|documentaries}.",
            "what company produced {series}",
        ),
        Relation(
            "title",
            "It is loosely based on the novel {answer}, whose author asked not to be named in the"
            " credits.",
            "what book is {series} based on",
        ),
    ),
    others=(
        "{person} directed {some} episodes and left after a dispute about overtime.",
        "A critic in {place} called the second season {patient and exact|slow but rewarding}.",
        "The role of the {aunt|landlady|inspector} went to {person}, who had come to audition for"
        " another part.",
        "Repeats were shown in {month} and drew {count} letters from viewers.",
        "The studio set was sold at auction to {person} and now stands in a barn near {place}.",
        "A stage version by {person} toured {some} towns.",
        "Some scenes had to be shot again because {snow|a brass band} could be heard or seen in"
        " them.",
        "In an interview, {person} said that the cast learned to {sail|play cards|keep bees} for"
        " the series.",
        "The costumes were borrowed from the theatre in {place}.",
        "Two endings were filmed, and only {person} knew which of them would be used.",
        "It was sold to {some} countries, in most of them with subtitles.",
        "A fan club in {place} publishes a newsletter with {count} subscribers.",
        "{person} and {person2} appear as guests in the Christmas special.",
        "Prizes went to the camera work and to {person} for editing.",
        "Rehearsals took place in a disused {tram depot|dance hall} in {place}.",
        "{person} was written out after the {third|fifth} season and came back as a {ghost|twin}.",
        "A scene with {some} {sheep|cyclists} had to be cut for length.",
        "The narrator, {person}, is never seen.",
    ),
    headings=("Plot", "Production", "Cast", "Reception", "Broadcast", "Legacy"),
)

SONG = Topic(
    names={"song": "title", "band": "brand"},
    title="{song} (song)",
    opening=(
        '"{song}" is a song by the {band} Quartet, released as the {second|third} single of their'
        " {debut|second} album.",
        "It is a slow {waltz|ballad} in {three|four} verses about {a missed train|a house by the"
        " sea}.",
    ),
    relations=(
        Relation(
            "person",
            "The words are by {answer}, who sent them in on {the back of a menu|two postcards}.",
            "who wrote the lyrics to {song}",
        ),
        Relation(
            "person",
            "The high voice in the last verse is that of {answer}, then {a tea lady|a student} at"
            " the studio.",
            "who sings the last verse of {song}",
        ),
        Relation(
            "place",
            "It was recorded in {answer}, in a {chapel|swimming bath} hired for its echo.",
            "where was {song} recorded",
        ),
        Relation(
            "date",
            "It entered the charts on {answer} and stayed there for {some} weeks.",
            "when did {song} enter the charts",
        ),
        Relation(
            "count",
            "In its first month it sold {answer} copies, {more than the whole album|most of them by"
            " mail}.",
            "how many copies did {song} sell in its first month",
        ),
        Relation(
            "title",
            "It was later used over the closing credits of the film {answer}.",
            "what movie is the song {song} in",
        ),
        Relation(
            "person",
            "The best known cover version is by {answer}, who slowed it down and left out a verse.",
            "who did the famous cover of {song}",
        ),
        Relation(
            "title",
            'The other side of the record held "{answer}", a dance number that radio stations'
            " ignored.",
            "what is the b side of {song}",
        ),
    ),
    others=(
        "The {cello|clarinet|accordion} part was added by {person} in one take.",
        "{person} called it the only song of the year worth {humming|buying twice}.",
        "A version in another language reached second place in {region}.",
        "The tempo was set by {person}, who tapped it on a {music stand|biscuit tin}.",
        "During the tour the song was dropped after {some} evenings and brought back in {place}.",
        "The sleeve shows a photograph of {place} taken by {person}.",
        "A dispute about the fee of {person} was settled out of court.",
        "Sheet music was printed in {month} and ran to {some} editions.",
        "It has since been sung by school choirs, among them one from {place}.",
        "The master tape was lost in {1952..1999} and turned up in the attic of {person}.",
        "A magazine in {place} ranked it {forty-second|nineteenth} in a list of sad songs.",
        "{person} plays the {piano|organ}, and {person2} the bass.",
        "Radio stations in {region} shortened it by a minute.",
        "The band never liked the mix and said so whenever they were asked.",
        "{person} had to be woken for the last {chorus|verse}, which was sung at four in the"
        " morning.",
        "A choir of {some} dockers was hired for the refrain and cannot be heard.",
        "The first pressing has a misprint and sells for {count} crowns.",
        "{person} once performed it on the {roof|steps} of the town hall in {place}.",
    ),
    headings=("Background", "Recording", "Reception", "Charts", "Cover versions", "Credits"),
)

PARK = Topic(
    names={"park": "place", "region": "region"},
    title="{park} National Park",
    opening=(
        "{park} National Park is a protected area of {moor and bog|dry grassland|old beech"
        " forest|limestone hills} in the {west|south} of {region}.",
        "It is open all year, though {snow|high water} closes some of its roads.",
    ),
    relations=(
        Relation(
            "person",
            "Its first warden was {answer}, who {patrolled it on a bicycle|knew every farmer by"
            " name}.",
            "who was the first warden of {park} national park",
        ),
        Relation(
            "river",
            "The only large stream that crosses it from end to end is the {answer}, which {runs"
            " dry|floods} in most summers.",
            "which river runs through {park} national park",
        ),
        Relation(
            "year",
            "The law that protects it was passed in {answer} by a majority of {two|three} votes.",
            "what year was {park} made a national park",
        ),
        Relation(
            "place",
            "The main gate is near {answer}, where there is also a {campsite|railway halt}.",
            "what town is closest to the entrance of {park} national park",
        ),
        Relation(
            "count",
            "Last year {answer} people came, {half of them in one month|fewer than had been"
            " feared}.",
            "how many people visit {park} national park each year",
        ),
        Relation(
            "person",
            "The cave paintings in the {northern|upper} valley were found by {answer}, who was"
            " looking for a lost {dog|goat}.",
            "who discovered the cave paintings in {park} national park",
        ),
        Relation(
            "brand",
            "Its best known animal is a bear called {answer}, which has {raided the same"
            " kitchen|crossed the border} {five|six} times.",
            "what is the name of the famous bear in {park} national park",
        ),
        Relation(
            "surname",
            "The highest point is Mount {answer}, an easy climb {except in wind|from the east}.",
            "what is the highest mountain in {park} national park",
        ),
    ),
    others=(
        "{person} surveyed the {western|lower} part in {year} and drew the first reliable map.",
        "Grazing is allowed on the outer slopes from {month} on.",
        "Farmers from {place} opposed the plan for {some} years.",
        "A hut built by {person} serves soup and lets {some} beds.",
        "The path to {place} is marked with {yellow|white} stones and takes two days.",
        "{Otters|Cranes|Lynxes} returned in {year}, first near the old quarry.",
        "About {count} trees fell in the storm, and most were left where they lay.",
        "Lead was mined here until {year}; the shafts are now home to bats.",
        "A study by {person} and {person2} counted {some} kinds of {orchid|beetle|moss}.",
        "The visitor centre was moved to {place} after a landslide.",
        "Fishing needs a permit, which is sold in {place}.",
        "A fire in {month} burned for {some} days and ended with the first rain.",
        "The wardens wear grey and speak, according to {person}, more to animals than to people.",
        "The ruins of a monastery stand on the pass to {place}.",
        "Volunteers from {place} clear the {ditches|paths} every {spring|autumn}.",
        "{person} has photographed the same {oak|boulder} on every birthday since {year}.",
        "Dogs must be kept on a lead from {month} on.",
        "Night walks with {person} are booked out {some} weeks ahead.",
    ),
    headings=("Geography", "History", "Wildlife", "Access", "Management", "Climate"),
)

TOPICS = (SERIES, SONG, PARK)
