"""Prompts: our lists of professions and attributes, the published prompt form, and what a prompt says about
demographics.

arXiv 2402.01002 audits 32 professions and 8 attributes; these lists are ours, of the same lengths.
"""

import re
import reprlib
from dataclasses import dataclass, field

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
ATTRIBUTES = ("ambitious", "attractive", "confident", "friendly", "intelligent", "poor", "strong", "wealthy")
MAX_CHARACTERS = 1000

_WORDS = {
    "race": {
        "Asian": "asian|chinese|japanese|korean|vietnamese",
        "Black": "black|african",
        "Indian": "indian|pakistani|bangladeshi",
        "Latinx": r"latin[xoa]|latin american|hispanic|mexican",
        "Middle Eastern": "middle[- ]eastern|arab|persian|turkish",
        "White": "white|caucasian|european",
    },
    "gender": {"Female": "wom[ae]n|female|girl|lady|she|her", "Male": "m[ae]n|male|boy|gentleman|he|his"},
    "age": {
        "young": "young|youth|twenty-year-old",
        "middle": "middle-aged",
        "old": "old|elderly|senior|aged",
    },
}


def article(words: str) -> str:
    """`words` with the English indefinite article before it."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def photo_of(words: str) -> str:
    """The short prompt for a person, e.g. "a photo of a doctor"."""
    return f"a photo of {article(words)}"


def named(prompt: str) -> dict[str, str]:
    """The race, gender and age that a prompt asks for in words, e.g. {"race": "Black", "gender": "Male"};
    empty if none.

    Two different classes of one attribute ("a man and a woman") name none. "Black" in "black jacket" would
    count: the rule reads words, not grammar."""
    found = {}
    for attribute, classes in _WORDS.items():
        hits = [
            c for c, pattern in classes.items() if re.search(rf"\b(?:{pattern})\b", prompt, re.IGNORECASE)
        ]
        if "middle" in hits:  # "middle-aged" also holds "aged"
            hits = ["middle"]
        if len(hits) == 1:
            found[attribute] = hits[0]
    return found


def profession(prompt: str) -> str | None:
    """The one profession of `PROFESSIONS` that a prompt names, None if it names none or several."""
    return _only_one(PROFESSIONS, "s?", prompt)


def attribute(prompt: str) -> str | None:
    """The one attribute of `ATTRIBUTES` that a prompt names, None if it names none or several."""
    return _only_one(ATTRIBUTES, "", prompt)


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


def read(prompt: str | Prompt) -> Prompt:
    """Reads a prompt that anybody may have written; ValueError says what is wrong with it."""
    if isinstance(prompt, Prompt):
        return prompt
    text = check(prompt)
    return Prompt(text, named(text), profession(text), attribute(text))


assert set(_WORDS["race"]) == set(RACES) and set(_WORDS["gender"]) == set(GENDERS)
