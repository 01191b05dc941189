"""Who is in a caption: professions, attributes, and words for gender, race and age that say something of a
person who is shown. Rules on words; `captions.toml` holds the words."""

import html
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS

WORDS = tomllib.loads((Path(__file__).parent / "captions.toml").read_text(encoding="utf-8"))
ANY_CASE = re.IGNORECASE
LONGEST = 1000  # characters that are read of a caption; rules take time in proportion to their square
NONE, ONE, SEVERAL = "none", "one", "several"
GAP = r"(?:[\w'’-]+ ){0,3}?"  # words between an adjective and its noun


@dataclass(frozen=True)
class Read:
    """What a caption says of whom it shows."""

    professions: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    gender: tuple[str, ...] = ()
    race: tuple[str, ...] = ()
    age: tuple[str, ...] = ()  # child, young, middle-aged, old
    people: str = NONE  # NONE, ONE or SEVERAL

    @property
    def profession(self) -> str | None:
        """The one profession of the one person that is shown, if there is one."""
        return self.professions[0] if self.people == ONE and len(self.professions) == 1 else None


def any_of(words: Iterable[str]) -> str:
    """A pattern of words, the longest first."""
    return "|".join(sorted(words, key=len, reverse=True))


def plural(noun: str) -> str:
    """A pattern of a noun in the singular or plural."""
    return f"(?:{noun})(?:['’]?s)?" if not noun.endswith("(?:es)?") else noun


@cache
def jobs() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each name of a profession with its pattern, the longest first."""
    named = [(name, re.escape(name)) for name in PROFESSIONS]
    named += [(name, other) for name, others in WORDS["professions"].items() for other in others]
    named.sort(key=lambda one: len(one[1]), reverse=True)
    return tuple(
        (name, re.compile(rf"(?<![\w-])(?:{word})(s|es)?(?![\w])", ANY_CASE)) for name, word in named
    )


@cache
def job_nouns() -> str:
    """A pattern of names of professions."""
    named = [re.escape(name) for name in PROFESSIONS]
    return any_of((*named, *(other for others in WORDS["professions"].values() for other in others)))


@cache
def nouns() -> str:
    """A pattern of nouns of one person or several."""
    own = [w for words in WORDS["gender"].values() for w in words if w not in PRONOUNS]
    single = any_of((job_nouns(), *WORDS["people"]["one"], *own))
    return f"(?:{single})(?:s|es)?|{any_of(WORDS['people']['several'])}"


PRONOUNS = {"she", "her", "hers", "herself", "he", "him", "his", "himself", "pregnant", "bearded", "sir"}


@cache
def pattern(words: str) -> re.Pattern[str]:
    """A pattern of whole words, whatever their case."""
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w])", ANY_CASE)


@cache
def of_person(words: str) -> re.Pattern[str]:
    """Adjectives before a person's noun, which isn't the possessor or kind of a thing."""
    things = any_of(WORDS["traps"]["things"])
    return re.compile(
        rf"(?<![\w-])(?:{words})[- ,]+{GAP}(?:{nouns()})(?![\w])(?!['’]s? (?:{things})\b)(?! (?:{things})\b)",
        re.IGNORECASE,
    )


def cleaned(caption: str) -> str:
    """A caption's words: hashtags and file names taken apart, entities and rows of blanks undone."""
    text = html.unescape(caption).replace("’", "'").replace("#", " ").replace("_", " ").replace("/", " / ")
    text = re.sub(r"\b[\w-]+\.(?:jpe?g|png|gif|webp)\b", " ", text, flags=ANY_CASE)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)  # "femaleDoctor"
    return re.sub(r"\s+", " ", text).strip()


def shown(caption: str) -> str:
    """A caption without what holds a word for a person but shows nobody of it: "doctor's office", "The
    Police", "not a nurse"."""
    traps = WORDS["traps"]
    text = pattern(any_of(traps["phrases"])).sub("…", cleaned(caption))
    text = re.sub(
        rf"\b(?:{any_of(traps['negations'])})\s+(?:[\w-]+ )?(?:{nouns()})\b", "…", text, flags=ANY_CASE
    )
    things, kept = any_of(traps["things"]), any_of(traps["shown"])
    own = rf"(?<![\w-])(?:{nouns()})"
    text = re.sub(
        rf"(?<![\w-])(?:{job_nouns()})s?'s?\s+(?!(?:[\w-]+ )?(?:{kept})\b)(?:[\w-]+ ){{0,2}}?[\w-]+",
        "…",
        text,
        flags=re.I,
    )
    return re.sub(rf"{own} (?!{job_nouns()})(?:{things})\b", "…", text, flags=ANY_CASE)


def found_jobs(text: str) -> list[tuple[int, str, bool]]:
    """Professions in a text: where, which, and whether of several people; the longest name wins."""
    taken: list[tuple[int, int]] = []
    found = []
    for name, word in jobs():
        for match in word.finditer(text):
            if any(a < match.end() and match.start() < b for a, b in taken):
                continue
            taken.append(match.span())
            if not surname(text, match):
                found.append((match.start(), name, bool(match[1])))
    return sorted(found)


def surname(text: str, match: re.Match[str]) -> bool:
    """Whether a word reads as a name: "Tom Baker", "Judge Judy" in a text that isn't all in capitals."""
    if not match[0][0].isupper() or titled(text):
        return False
    before = re.search(r"([A-Z][a-z]+) $", text[: match.start()])
    first = match.start() == 0
    if before and before.start() > 0 and " " not in match[0]:
        return True
    return bool(before and not first and " " not in match[0] and not pattern(nouns()).search(before[1]))


def titled(text: str) -> bool:
    """Whether most of a text's words begin with a capital, as in a title."""
    words = [w for w in re.findall(r"[A-Za-z][\w'-]*", text) if len(w) > 3]
    return sum(w[0].isupper() for w in words) > 0.6 * len(words)


def read(caption: str) -> Read:
    """What a caption says of whom it shows."""
    text = shown(caption[:LONGEST])
    found = found_jobs(text)
    plain = pattern(any_of(WORDS["people"]["one"])).findall(text)
    said = {g: pattern(any_of(w)).findall(text) for g, w in WORDS["gender"].items()}
    if not found and NAMED.match(text):
        return Read(people=ONE)
    anybody = bool(found or plain or any(said.values()) or pattern(nouns()).search(text))
    if not anybody:
        return Read()
    races = [
        r
        for r, words in WORDS["race"].items()
        if of_person(any_of(words)).search(text)
        or (WORDS["alone"][r] and pattern(any_of(WORDS["alone"][r])).search(text))
    ]
    return Read(
        professions=tuple(dict.fromkeys(name for _, name, _ in found)),
        attributes=tuple(
            a for a in ATTRIBUTES if of_person(any_of((a, *WORDS["attributes"][a]))).search(text)
        ),
        gender=tuple(g for g in sorted(said) if said[g]),
        race=tuple(sorted(races)),
        age=tuple(a for a, words in WORDS["age"].items() if aged(a, words, text)),
        people=SEVERAL if many(text, found) else ONE,
    )


def aged(name: str, words: list[str], text: str) -> bool:
    """Whether a text names an age for a person: by a noun or number of its own, or by an adjective."""
    adjectives = {"young", "youthful", "old", "older", "elderly", "aged", "mature", "middle[- ]aged?"}
    own = [w for w in words if w not in adjectives]
    return bool(
        (own and pattern(any_of(own)).search(text))
        or of_person(any_of([w for w in words if w in adjectives] or ["(?!)"])).search(text)
    )


def many(text: str, found: list[tuple[int, str, bool]]) -> bool:
    """Whether a text is about several people: plurals, or a second noun with an article or a possessor of its
    own that doesn't tell more of the first ("Ann, a doctor")."""
    if any(plural_ for _, _, plural_ in found) or SPOUSES.search(text) or HE_AND_SHE.search(text):
        return True
    if pattern(any_of(WORDS["people"]["several"])).search(text):
        return True
    if pattern(f"(?:{any_of(WORDS['people']['one'])})s").search(text):
        return True
    person, start = rf"(?:{nouns()})(?!\w)", r"(?<![\w-])"
    again = rf"{person}[^.;:|]*?(?<!,) (?:an?|the|her|his|their|another)(?<!as a)(?<!like a) {GAP}{person}"
    towards = rf"{person} (?:\w+ )?(?:{'|'.join(TOWARDS)})\w* {GAP}{person}"
    joined = rf"(?i:{person}) (?:and|with|&) (?:[a-z'-]+ ){{0,2}}?(?i:{person})(?! [A-Z][a-z])"
    return any(
        re.search(start + one, text, flags)
        for one, flags in ((again, ANY_CASE), (towards, ANY_CASE), (joined, 0))
    )


# What one person does to another.
TOWARDS = ("carr", "hold", "teach", "greet", "hug", "kiss", "feed", "help")
# "James Brown performing": a name and what it does.
NAMED = re.compile(
    r"[A-Z][a-z]+(?: [A-Z]\.?)? [A-Z][a-z]+ (?:[a-z]+ing|waves|sings|speaks|smiles|poses|arrives)\b"
)
# "He is a nurse; she is an engineer."
HE_AND_SHE = re.compile(
    r"\bhe(?: is|'s| was)\b.*\bshe(?: is|'s| was)\b|\bshe(?: is|'s| was)\b.*\bhe(?: is|'s| was)\b", ANY_CASE
)
SPOUSES = re.compile(r"\bMr\.? (?:and|&) Mrs\b")
