"""The parts that invented names are made of."""

STARTS = tuple(
    "Al Am Ar Ash Bal Bar Ben Ber Bram Bran Bren Cal Cam Car Cas Chel Cor Cran Dal Dan Dar Del Den"
    " Dor Dun Ed El Ell Em Er Fal Far Fen Fer Gal Gar Gil Glen Gor Had Hal Ham Har Hel Hol Hor Il"
    " Im In Kel Ken Ker Kil Kir Lan Lar Led Lor Lud Mal Man Mar Mel Mer Mil Mor Nar Nel Nor Ol Or"
    " Os Pel Pem Pen Per Pol Quen Rad Ran Rav Ros Rud Sal San Sel Sher Sil Stan Sul Tal Tam Tar Tel"
    " Ther Tol Tor Tren Ul Ur Val Van Var Ver Vin Wal War Wen Wes Whit Wil Win Yar Yel Zan".split()
)
MIDDLES = ("a", "an", "e", "el", "en", "er", "i", "in", "o", "on", "or", "u")
SURNAME_ENDINGS = tuple(
    "ford wick ley man son worth den ridge shaw low more ard ing kin lock sey ter vane wood"
    " bert dale good hart leigh mond nett sworth tram well".split()
)
PLACE_ENDINGS = tuple(
    "burgh haven port minster stead mouth cester ham field bridge gate bury castle mere thorpe"
    " combe marsh abbey cliffe hythe".split()
)
RIVER_ENDINGS = tuple("ane anne ava elle ene enna ine itte ole ona oke una uve yre".split())
REGION_ENDINGS = tuple("avia onia issia andia elund ovar istan umbria eria otia".split())
BRAND_ENDINGS = tuple("ex ix ora ova tec lon dyne metra quant via zen gen tron scan star".split())
GIVEN_NAMES = tuple(
    "Ada Agnes Albert Alice Amos Anna Arthur Basil Beatrice Bernard Caleb Cecil Clara Daniel Dora"
    " Edith Edmund Eleanor Ellen Ernest Esther Felix Flora Frances George Grace Hannah Harold Helen"
    " Henry Hugo Ida Irene Isaac Ivor James Jane Joel Julia Laura Leon Louis Lucy Mabel Martin Mary"
    " Miriam Nathan Nora Oscar Owen Paula Peter Philip Rachel Ralph Rose Ruth Samuel Sarah Simon"
    " Stella Susan Theodore Thomas Vera Victor Walter William".split()
)
FIRMS = ("& Sons", "and Daughters", "Brothers", "Company", "Group", "Industries", "Works")
LABORATORIES = (
    *("Biosciences GmbH", "Diagnostics Inc", "Instruments Ltd", "Laboratories"),
    *("Medical Systems LLC", "Point of Care AG", "Reagents BV"),
)
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
COLOURS = tuple(
    "Amber Black Blue Bronze Copper Crimson Golden Green Grey Iron Ivory Red Sable Scarlet Silver"
    " Steel Storm White".split()
)
ANIMALS = tuple(
    "Badgers Bears Bulls Cranes Eagles Falcons Foxes Herons Hornets Hounds Kites Lynxes Otters Owls"
    " Pumas Rams Ravens Salmon Stags Wolves".split()
)
TITLE_FIRST = (
    *("The Last", "The Silent", "A Distant", "The Second", "Beyond the", "Under the", "The Glass"),
    *("A Borrowed", "The Winter", "The Paper", "Another", "The Salt", "Seven", "The Crooked"),
)
TITLE_MIDDLE = tuple(
    "Amber Autumn Blue Broken Burning Empty Endless Hidden Hollow Lost Narrow Northern Pale Quiet"
    " Restless Scarlet Sunken Velvet Wandering Wooden".split()
)
TITLE_LAST = tuple(
    "Bridge Candle Carnival Compass Corridor Garden Harbour Horizon Island Lantern Letter"
    " Lighthouse Mirror Orchard Parade Passage Promise River Shadow Staircase Station Summer Tide"
    " Window".split()
)
