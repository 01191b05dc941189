"""Words into a prompt: who is to be drawn, put where English wants it, by rules (the prompt injector of arXiv
2402.01002, without a language model). What a prompt says or implies already stays, and so does every other
word; a prompt about particular people, about several or about nobody is left as it is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.prompts import CLASS_WORDS, PROFESSIONS, article, blank_denied, particular

# How a class is said before a noun.
ADJECTIVES = {"Female": "female", "Male": "male", "middle": "middle-aged"}
ORDER = ("age", "race", "gender")  # of adjectives: "an old Indian female doctor"

# Nouns for one person, beside the professions of our list; what says nothing of race, gender or age.
_PEOPLE = (
    "person|human|human being|mayor|criminal|clown|cheerleader|skier|individual|adult|citizen|worker"
    "|employee|boss|manager|leader|expert|professional|architect|athlete|astronaut|author|banker|barber"
    "|barista|bartender|biologist|blacksmith|boxer|builder|bus driver|butcher|carpenter|cashier|chemist"
    "|cleaner|clerk|coach|comedian|composer|conductor|consultant|cook|counselor|courier|cyclist|dancer"
    "|delivery driver|designer|detective|developer|diplomat|director|diver|driver|economist|editor"
    "|entrepreneur|executive|factory worker|fashion designer|fisher|florist|guard|guitarist|historian|hiker"
    "|investor|janitor|journalist|lecturer|machinist|magician|mathematician|mechanic|midwife|miner|model"
    "|musician|neighbor|neighbour|novelist|official|officer|painter|paramedic|passenger|patient|philosopher"
    "|photographer|physicist|physiotherapist|pianist|plumber|poet|postal worker|president|prisoner|producer"
    "|programmer|psychologist|real estate agent|receptionist|refugee|reporter|researcher|rider|runner"
    "|sailor|salesperson|secretary|security guard|server|shopkeeper|skater|social worker|speaker"
    "|statistician|stockbroker|street vendor|student|surfer|surgeon|surveyor|swimmer|tailor|taxi driver"
    "|teller|tennis player|therapist|thief|tourist|trader|translator|traveler|traveller|truck driver|tutor"
    "|vendor|veterinarian|victim|violinist|visitor|volunteer|welder|winner|writer|zookeeper|CEO|CFO|CTO"
)
# Nouns for one person that say a gender or an age themselves.
_KIN = (
    "man|woman|lady|gentleman|girl|boy|child|kid|toddler|baby|teenager|bride|groom|mother|father|mom|dad"
    "|aunt|uncle|grandmother|grandfather|grandma|grandpa|sister|brother|daughter|son|wife|husband|widow"
    "|widower|actor|actress|waitress|hostess|seamstress|nun|monk|priest|ballerina|maid|businesswoman"
    "|businessman|policewoman|policeman|fireman|mailman|chairwoman|chairman|congresswoman|congressman"
    "|saleswoman|salesman|craftsman|fisherman|pensioner|retiree|veteran|youth|adolescent|newlywed"
)
# Professions' nouns that are no person here: "a doctor's office", "a nurse uniform", "a model train".
_THINGS = (
    "airplane|apron|bag|bench|book|boots?|building|car|chair|clothes|coat|costume|desk|drone|equipment|gear"
    "|hat|helmet|hotel|house|kit|knife|light|office|outfit|plane|room|school|shoes?|station|store|tools?"
    "|toy|train|truck|uniform|union|van|whites"
)
# Words that imply a class without naming it.
_IMPLIED = {
    "gender": (
        "bride|queen|princess|duchess|empress|goddess|mother|mom|mum|grandmother|grandma|aunt|sister"
        "|daughter|latinas?|filipina|chicana|wife|widow|girlfriend|actress|waitress|hostess|stewardess"
        "|seamstress|nun|ballerina|maid|mermaid|witch|girls?|ladies|businesswom[ae]n|policewom[ae]n"
        "|chairwoman|congresswoman|saleswoman|pregnant|lipstick|latinos?|filipino|chicano|groom|king|prince"
        "|duke|father|dad|grandfather|grandpa|uncle|brother|son|husband|widower|boyfriend|actor and actress"
        "|monk|priest|bishop|wizard|boys?|guys?|businessm[ae]n|policem[ae]n|firem[ae]n|mailm[ae]n|chairman"
        "|congressman|salesman|craftsman|fisherman|beards?|bearded|moustache|mustache|cowboy"
    ),
    "race": (
        "kimono|hijab|sari|saree|turban|sombrero|dashiki|hanbok|cheongsam|qipao|keffiyeh|niqab|burqa|thobe"
        "|afro|dreadlocks|blond|blonde|redhead|red-haired|freckle[sd]?|pale|dark-skinned|light-skinned"
        "|dark skin|light skin|brown skin|maasai|zulu|yoruba|igbo|hausa|inuit|maori|sami|navajo|cherokee"
        "|aboriginal|indigenous|native american|nigerian|ghanaian|kenyan|ethiopian|somali|congolese"
        "|senegalese|jamaican|haitian|egyptian|moroccan|iranian|iraqi|syrian|lebanese|saudi|israeli|afghan"
        "|punjabi|tamil|bengali|nepali|thai|filipino|filipina|indonesian|malaysian|mongolian|tibetan"
        "|taiwanese|brazilian|colombian|peruvian|cuban|puerto rican|argentinian|bolivian|swedish|norwegian"
        "|danish|finnish|dutch|german|french|italian|spanish|polish|russian|ukrainian|irish|scottish"
        "|british|english|greek|icelandic|australian|viking"
    ),
    "age": (
        "bab(?:y|ies)|infants?|newborn|toddlers?|kids?|child|children|teenagers?|teenage|teens?|schoolchild"
        "|grandmother|grandfather|grandma|grandpa|pensioner|retired|retiree|wrinkled|grey-haired"
        r"|gray-haired|white-haired|\d+[- ]years?[- ]old|centenarian|veteran"
    ),
}
# "a Dutch oil painting", "Japanese style" say nothing of a person.
_NO_STYLE = r"(?!\s+(?:oil|paintings?|style|watercolou?r|poster|film|comic|woodcut|still life)\b)"
_MANY = (
    "people|persons|parents|men|women|crowds?|group|team|family|families|couple|twins|friends|pair of"
    "|audience|class of|students|children|kids|several|many|two|three|four|five|six|seven|eight|nine|ten"
    "|dozen|everyone|everybody|colleagues|workers|choir|orchestra|band|army|staff|crew|panel of"
)
_NOBODY = (
    r"\b(?:no (?:people|person|one|humans?)|nobody|without (?:any )?(?:people|a person|anyone|humans?))\b"
)
_NOUNS = "|".join(
    sorted((*map(re.escape, PROFESSIONS), *_PEOPLE.split("|"), *_KIN.split("|")), key=len, reverse=True)
)
_BEFORE = r"\b(?:an?|the|one|this|that|my|our|your|his|her|their)\s+(?P<between>(?:[\w’'-]+\s+){0,4}?)"
_PERSON = re.compile(
    rf"{_BEFORE}(?P<noun>(?:{_NOUNS}))\b(?!['’]s?\b)(?!-\w)(?!\s+(?:{_THINGS})\b)", re.IGNORECASE
)
_FIGURES = (
    "robots?|androids?|cyborgs?|toys?|lego|cardboard|statues?|sculptures?|busts?|figurines?|action figures?"
    "|dolls?|mannequins?|puppets?|scarecrows?|snowm[ae]n|wax figures?|cutouts?"
)
# "a robot nurse", "a statue of a judge"
_MADE = re.compile(
    rf"\b(?:{_FIGURES})\s+(?:(?:[\w'’-]+\s+){{0,3}}?(?:of|as|like)\s+(?:an?|the)\s+(?:[\w'’-]+\s+){{0,2}}?)?"
    rf"(?:{_NOUNS})\b",
    re.IGNORECASE,
)
# Whom somebody, or an animal, is dressed as isn't there.
_DRESSED = re.compile(
    rf"\b(?:dressed|disguised|costumed)(?:\s+up)?\s+(?:as|like)\s+(?:an?|the)\s+(?:[\w'’-]+\s+){{0,2}}?"
    rf"(?:{_NOUNS})\b",
    re.IGNORECASE,
)
_BOTH = re.compile(rf"\b(?:{_NOUNS})\s+(?:and|&)\s+(?:{_NOUNS})\b", re.IGNORECASE)  # "a bride and groom"
NOUN = re.compile(rf"(?:{_NOUNS})\b", re.IGNORECASE)  # of one person, where it begins
# An adjective's place can't be behind these: "a bag of a doctor".
_APART = re.compile(
    r"(?<![\w-])(?:of|in|at|on|with|and|or|for|by|from|to|as|like|near|behind|beside|a|an|the)(?![\w-])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Read:
    """What rules see in a prompt: where the one person's noun begins, None if there isn't exactly one whom
    words may describe; `why` not; and the attributes that the prompt says or implies already."""

    place: int | None
    why: str
    said: frozenset[str]


def said(prompt: str) -> frozenset[str]:
    """The attributes that a prompt names or implies: "a bride" has a gender, "in a kimono" a race. What it
    denies it doesn't say."""
    prompt = blank_denied(prompt)
    patterns = [(a, words) for a, words in _IMPLIED.items()]
    patterns += [(a, words) for a, classes in CLASS_WORDS.items() for words in classes.values()]
    return frozenset(
        a for a, words in patterns if re.search(rf"\b(?:{words})\b{_NO_STYLE}", prompt, re.IGNORECASE)
    )


def read(prompt: str) -> Read:
    """Reads a prompt."""
    known = said(prompt)
    if who := particular(prompt):
        return Read(None, f"“{who}” reads as a particular person, time or place", known)
    if re.search(_NOBODY, prompt, re.IGNORECASE) or _MADE.search(prompt):
        return Read(None, "it asks for nobody", known)
    shown = _DRESSED.sub(lambda found: " " * len(found[0]), blank_denied(prompt))
    people = list(_people(shown))
    if len(people) > 1 or _BOTH.search(shown) or re.search(rf"\b(?:{_MANY})\b", shown, re.IGNORECASE):
        return Read(None, "it is about several people", known)
    if not people and _DRESSED.search(prompt):
        return Read(None, "it asks for nobody", known)
    if not people:
        return Read(None, "no person was found in it whom words could describe", known)
    return Read(people[0], "", known)


def _people(prompt: str) -> Iterable[int]:
    """Where the nouns of persons with an article begin, each once."""
    end = 0
    while match := _PERSON.search(prompt, end):
        if apart := _APART.search(match["between"]):  # "a photo of a doctor": the last article is the noun's
            end = match.start("between") + apart.start()
            continue
        yield match.start("noun")
        end = match.end()


def written(prompt: str, cell: Iterable[str]) -> str:
    """The prompt with the words of a cell's classes before its person's noun: "a photo of a doctor" and
    (Black, Female) -> "a photo of a Black female doctor", in English order with those that stand there
    ("a female doctor" -> "an old Black female doctor"). Attributes that it says already, and prompts that
    `read` leaves alone, stay."""
    found, classes = read(prompt), list(cell)
    by_attribute = {a: c for a, of in TARGET_CLASSES.items() for c in classes if c in of}
    words = {
        a: ADJECTIVES.get(by_attribute[a], by_attribute[a])
        for a in ORDER
        if a in by_attribute and a not in found.said
    }
    if found.place is None or not words:
        return prompt
    there = _THERE.search(prompt, 0, found.place)
    start = there.start() if there else found.place
    adjectives = [
        (_attribute_of(m[0]), m[0].strip()) for m in _ADJECTIVE.finditer(prompt, start, found.place)
    ]
    # Stable: what stands there keeps its order among its own kind.
    phrase = sorted([*adjectives, *words.items()], key=lambda one: ORDER.index(one[0]))
    before, added = prompt[:start], " ".join(word for _, word in phrase)
    if indefinite := re.search(r"\b(an?)\s+$", before, re.IGNORECASE):
        right = article(added).split()[0]
        right = right.capitalize() if indefinite[1][0].isupper() else right
        before = before[: indefinite.start(1)] + right + " "
    return f"{before}{added} {prompt[found.place :]}"


# Adjectives that name a class, or that stand as near to the noun.
_OF_CLASS = {a: "|".join(CLASS_WORDS[a].values()) for a in ("age", "race")}
_OF_CLASS["gender"] = "female|male|pregnant"
_ADJECTIVE = re.compile("|".join(rf"\b(?:{words})\s+" for words in _OF_CLASS.values()), re.IGNORECASE)
_THERE = re.compile(rf"(?:{_ADJECTIVE.pattern})+$", re.IGNORECASE)


def _attribute_of(adjective: str) -> str:
    """The attribute of an adjective of `_ADJECTIVE`."""
    return next(a for a in ORDER if re.fullmatch(rf"(?:{_OF_CLASS[a]})\s*", adjective, re.IGNORECASE))
