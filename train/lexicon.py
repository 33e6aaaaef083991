"""Words that the generator combines. Each kind of fact has its own nouns, so that a question names one fact only."""

import json
from pathlib import Path

TOWN = Path(__file__).resolve().parent.parent / "town"

PERSONAS = json.loads((TOWN / "personas.json").read_text())
PLACES = {p["name"]: p["activities"] for p in json.loads((TOWN / "places.json").read_text())}
PUBLIC = [name for name in PLACES if name != "home"]
NAMES = [p["name"] for p in PERSONAS]
# Strangers to the town: the model shall read names, not know the 25 by heart.
OTHER_NAMES = """Alma Bruno Clara Dora Emil Frida Georg Hanna Ivan Julia Karl Lena Max Nora Otto Pia Rita Sven Tom
Ute""".split()

EVENTS = """concert party picnic lecture wedding festival parade contest fair quiz film race tournament reading
workshop recital debate banquet barbecue bonfire ceremony circus gala rehearsal reunion show seminar tasting feast
carnival ballet marathon raffle meeting bazaar""".split()
LOST = """key ring scarf wallet phone hat glove purse watch ticket letter notebook camera coat bag basket brush
necklace map pen kite ball doll lantern""".split()
LIKES = """tea jazz chess coffee poems roses cats dogs soup rain snow hiking football pancakes puzzles trains stars
comics pizza swimming tulips birds sailing""".split()
NEEDS = """ladder hammer rope bucket bike tent drum shovel candle mirror pump blanket battery kettle table chair lamp
broom wheel sofa""".split()
GOODS = """bread honey cheese milk butter flour rice sugar salt fish wine wool silk paint paper soap corn pepper pasta
cider juice""".split()

TRAITS = """curious outgoing kind patient dreamy shy calm honest careful lively strict jolly quiet proud clever busy
gentle loud funny warm sporty""".split()
RELATIONS = """friend partner sister brother mother father son daughter neighbour colleague teacher student""".split()
OPEN_TRAITS = {"curious", "outgoing"}

HOURS = range(7, 23)
DAY_HOURS = range(5, 24)
MAX_PRICE = 30
# First working hour of each workplace.
WORK_START = dict(cafe=7, park=8, shop=8, college=9, pub=15, library=9, bakery=6, clinic=8, gym=8, market=7, studio=10, farm=6)
# What those who work there do, as opposed to guests.
WORK = dict(
    cafe=["serve guests", "cook soup"],
    park=["plant flowers", "feed the ducks"],
    shop=["stock the shelves", "serve customers", "repair a chair", "count the money"],
    college=["attend a lecture", "write an essay", "meet the study group"],
    pub=["serve guests"],
    library=["sort the books", "write a story"],
    bakery=["bake bread", "knead dough", "sell cakes", "clean the oven"],
    clinic=["treat patients", "write reports", "give a vaccine", "check a tooth"],
    gym=["train the team", "run on the track"],
    market=["sell vegetables", "sell cheese", "set up the stall"],
    studio=["paint a picture", "practise a song", "rehearse a dance", "record music"],
    farm=["milk the cows", "feed the chickens", "repair the fence", "pick apples", "care for a sick horse"],
)
LUNCH = [("cafe", "eat lunch"), ("college", "eat lunch"), ("home", "rest on the sofa"), ("park", "sit on a bench"),
         ("bakery", "buy bread"), ("market", "buy vegetables")]
EVENING = [("pub", "drink a beer"), ("pub", "play darts"), ("pub", "eat dinner"), ("park", "walk the dog"),
           ("park", "jog around the pond"), ("park", "play chess"), ("gym", "lift weights"), ("gym", "learn boxing"),
           ("library", "read a book"), ("library", "borrow a book"), ("shop", "buy food"), ("market", "buy fish"),
           ("studio", "look at pictures"), ("cafe", "chat with guests"), ("farm", "pick apples")]
# Statements outside the forms of grammar.py, as events from outside bring them: they can only be repeated.
REMARKS = """the bridge is closed.|the mayor is ill.|a tree fell on the road.|the bus is late.|a fox ran through the street.
|snow will fall tonight.|the well is dry.|a new road opens soon.|the clock tower stopped.|a boat sank in the pond.
|the old mill burns.|the train brought visitors.|a circus tent stands in the field.|the river rose.|the lamps are out.
|a stranger came to town.|the roof of the barn leaks.|the harvest was good.""".replace("\n", "").split("|")
