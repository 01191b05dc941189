"""Prompts: our lists of professions and attributes, the published prompt form, and what a prompt says about
demographics.

arXiv 2402.01002 audits 32 professions and 8 attributes; these lists are ours, of the same lengths.
"""

import re
import reprlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import lru_cache

from fairdemo.stats.attributes import GENDERS, RACES

PROFESSIONS = (
    "accountant",
    "artist",
    "baker",
    "call center agent",
    "CEO",
    "chef",
    "construction worker",
    "dentist",
    "doctor",
    "electrician",
    "engineer",
    "farmer",
    "firefighter",
    "flight attendant",
    "gardener",
    "hairdresser",
    "housekeeper",
    "judge",
    "lawyer",
    "librarian",
    "nurse",
    "pharmacist",
    "pilot",
    "police officer",
    "politician",
    "professor",
    "scientist",
    "singer",
    "soldier",
    "software developer",
    "teacher",
    "waiter",
)
SUBJECTS = (*PROFESSIONS, "person")  # what a picture may be of
ATTRIBUTES = ("ambitious", "attractive", "confident", "friendly", "intelligent", "poor", "strong", "wealthy")
MAX_CHARACTERS = 1000

# "a white coat", "black and white", "a black leather jacket" say nothing of a person.
_NO_CLOTHES = (
    r"(?![- ](?:and[- ]white|background|(?:[\w'’-]+"
    r" )?(?:aprons?|background|blouse|boots?|board|cap|car|cat|chalk|coat"
    r"|dog|dress|gloves|gown|hair|hat|helmet|hoodie|horse|jacket|jeans|kimono|lace|mask|outfit|overalls"
    r"|pants|robes?"
    r"|scrubs|scarf|shirt|shoes|skirt|studio|suit|sunglasses|sweater|t-shirt|tie|trousers|tunic|turban"
    r"|turtleneck"
    r"|tuxedo|uniform|van|veil|vest|wall|walls)\b))"
)
# The words that name a class, as patterns, by attribute.
CLASS_WORDS = {
    "race": {
        "Asian": "asian|chinese|japanese|korean|vietnamese",
        "Black": f"black{_NO_CLOTHES}|african",
        "Indian": "indian|pakistani|bangladeshi",
        "Latinx": r"latin[xoa]|latin american|hispanic|mexican",
        "Middle Eastern": "middle[- ]eastern|arab|persian|turkish",
        "White": f"(?<!black and )(?<!black-and-)white{_NO_CLOTHES}|caucasian|european",
    },
    "gender": {"Female": "wom[ae]n|female|girl|lady|she|her", "Male": "m[ae]n|male|boy|gentleman|he|his"},
    "age": {
        "young": "young|youth|twenty-year-old",
        "middle": "middle-aged",
        "old": "old|elderly|senior|aged",
    },
}


# Capitals that begin a sentence or a place's name rather than a person's.
_FIRST = {"A", "An", "The", "Photo", "Portrait", "Picture", "Headshot", "North", "South", "New", "American"}
# Words that carry no picture of their own; a model that never saw them misses nothing.
_SMALL = frozenset(
    ("a", "an", "the", "of", "in", "at", "on", "with", "and", "or", "by", "from", "to", "as", "for")
    + ("is", "are", "being", "who", "while")
)
# People of one time, place or story: evening them out may be wrong.
_TIMES = (
    r"\d{1,2}(?:st|nd|rd|th)[-"
    r" ]century|1[0-9]{3}s?|medieval|mediaeval|ancient|prehistoric|renaissance|victorian|"
    r"edwardian|colonial|historical|biblical|mythical|vikings?|samurai|pharaohs?|popes?|geishas?|gladiators?|"
    r"crusaders?|cowboys?|conquistadors?|emperors?|empress|tsars?|sultans?|founding fathers?|nazis?|"
    r"roman (?:soldier|emperor|senator)s?|knights?|ninjas?|queen|king|prince|princess"
)
_TITLES = "President|Queen|King|Saint|Sir|Lord|Lady|Pope|Emperor|Prince|Princess|General|Captain|Chancellor"


# What other programs read as more than words.
_SYNTAX = re.compile(
    r"\([^()]*:\s*-?\d*\.?\d+\)"  # (doctor:1.3)
    r"|\(\([^()]*\)+|\[\[[^\[\]]*\]+"  # ((doctor))
    r"|\[[^\[\]]*[|:][^\[\]]*\]|\{[^{}]*\|[^{}]*\}"  # [nurse|doctor], {nurse|doctor}
    r"|(?:\w{3,}|\))(?:\+{2,}|-{2,})(?![\w-])"  # doctor+++
    r"|\b(?:AND|BREAK)\b"
    r"|<(?:lora|lyco|hypernet|segment)\b[^<>]*>"
    r"|\bembedding:\S+|__[\w/-]+__"
    r"|(?<!\S)--[a-z]+\b.*|\bNegative prompt:.*|(?<!\S)###.*",
    re.DOTALL,
)
# What isn't asked for, up to the end of the phrase.
_DENIED = re.compile(
    r"\b(?:not(?! only)|no(?! longer)|without|never|except|excluding|rather than|instead of)\s+"
    r"(?:[\w'’-]+\s+){0,4}?[\w'’-]+(?=\s*(?:[,.;:!?)]|$|\b(?:in|at|on|with|and|but|or|who|near|by|for)\b))"
    r"|\bNegative prompt:.*|(?<!\S)--no\b.*|(?<!\S)###.*",
    re.IGNORECASE | re.DOTALL,
)


def find_syntax(prompt: str) -> list[str]:
    """What a prompt holds of other programs' syntax ("(doctor:1.3)", "[a|b]", "BREAK", "<lora:x:0.8>", a
    pasted negative prompt), in order, each once. Here it is read as plain words."""
    return list(dict.fromkeys(found[0].strip() for found in _SYNTAX.finditer(prompt)))


def blank_denied(prompt: str) -> str:
    """A prompt with blanks for what it denies ("a doctor, not a man", "--no woman"), as long as it was."""
    return _DENIED.sub(lambda found: " " * len(found[0]), prompt)


def article(words: str) -> str:
    """`words` with the English indefinite article before it."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def photo_of(words: str) -> str:
    """The short prompt for a person, e.g. "a photo of a doctor"."""
    return f"a photo of {article(words)}"


def named(prompt: str) -> dict[str, str]:
    """The race, gender and age that a prompt asks for in words, e.g. {"race": "Black", "gender": "Male"};
    empty if none.

    Two different classes of one attribute ("a man and a woman") name none, and what is denied ("not a man")
    isn't named. "Black" in "black jacket" would count: the rule reads words, not grammar."""
    found, prompt = {}, blank_denied(prompt)
    for attribute, classes in CLASS_WORDS.items():
        hits = [
            c for c, pattern in classes.items() if re.search(rf"\b(?:{pattern})\b", prompt, re.IGNORECASE)
        ]
        if "middle" in hits:  # "middle-aged" also holds "aged"
            hits = ["middle"]
        if len(hits) == 1:
            found[attribute] = hits[0]
    return found


@dataclass(frozen=True)
class Prompt:
    """A prompt, read once: its `text`, the classes that it names itself (`named`), and the `profession`
    or `attribute` of our lists that it names."""

    text: str
    named: dict[str, str] = field(compare=False)
    profession: str | None = field(compare=False)
    attribute: str | None = field(compare=False)

    def __str__(self) -> str:
        return self.text


def unknown(prompt: str, known: Collection[str] | None) -> list[str]:
    """The words of a prompt that a model doesn't know, in order, each once; none where nothing is said of
    what it knows (`known` is None; else words in lower case). A model whose captions never held a word
    draws as if it weren't there."""
    if known is None:
        return []
    words = re.findall(r"[^\W\d_][\w'’-]*", prompt)
    return list(dict.fromkeys(w for w in words if w.lower() not in known and w.lower() not in _SMALL))


def heard(prompt: Prompt, known: Collection[str] | None) -> Prompt:
    """A prompt as a model hears it: what words that it doesn't know name isn't named."""
    lost = unknown(prompt.text, known)
    if not lost:
        return prompt
    rest = re.sub(rf"\b(?:{'|'.join(map(re.escape, lost))})\b", " ", prompt.text)
    return replace(prompt, named=named(rest))


def particular(prompt: str) -> str | None:
    """What in a prompt reads as a particular person or people of one time or place ("Marie Curie",
    "10th-century", "samurai"), None if nothing does. A rule of capitals and a short list: it errs on both
    sides."""
    title = re.search(rf"\b(?:{_TITLES})\s+[A-Z]\w+", prompt)
    if title:
        return title[0]
    when = re.search(rf"\b(?:{_TIMES})\b", prompt, re.IGNORECASE)
    if when:
        return when[0]
    for name in re.findall(r"\b[A-Z][\w'’]+(?:[ -](?:de |da |van |von |bin )?[A-Z][\w'’]+)+", prompt):
        words = re.split(r"[ -]", name)
        if not any(named(w) or w.isupper() for w in words) and not named(name) and words[0] not in _FIRST:
            return name
    return None


def profession(prompt: str) -> str | None:
    """The one profession of `PROFESSIONS` that a prompt names, None if it names none or several."""
    return _only_one(PROFESSIONS, "s?", prompt)


def attribute(prompt: str) -> str | None:
    """The one attribute of `ATTRIBUTES` that a prompt names, None if it names none or several."""
    return _only_one(ATTRIBUTES, "", prompt)


@lru_cache(4096)  # a slider asks for the same prompts at each position
def _only_one(words: tuple[str, ...], ending: str, prompt: str) -> str | None:
    hits = [w for w in words if re.search(rf"\b{re.escape(w)}{ending}\b", prompt, re.IGNORECASE)]
    return hits[0] if len(hits) == 1 else None


def check(prompt: str) -> str:
    """The prompt, stripped; ValueError if it is no text, empty, or longer than `MAX_CHARACTERS`."""
    if not isinstance(prompt, str):
        raise ValueError(f'prompt is {reprlib.repr(prompt)}; expected text, e.g. "a photo of a doctor"')
    prompt = prompt.strip()
    if not prompt:
        raise ValueError('prompt is empty; write what to draw, e.g. "a photo of a doctor"')
    if len(prompt) > MAX_CHARACTERS:
        raise ValueError(f"prompt has {len(prompt):,} characters; at most {MAX_CHARACTERS:,} are allowed")
    if any("\ud800" <= c <= "\udfff" for c in prompt):
        raise ValueError("prompt holds half a character (a lone surrogate); expected text")
    return prompt


def read(prompt: str | Prompt) -> Prompt:
    """Reads a prompt that anybody may have written; ValueError says what is wrong with it."""
    if isinstance(prompt, Prompt):
        return prompt
    text = check(prompt)
    return Prompt(text, named(text), profession(text), attribute(text))


assert set(CLASS_WORDS["race"]) == set(RACES) and set(CLASS_WORDS["gender"]) == set(GENDERS)
