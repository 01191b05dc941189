"""Where a caption stands in a finding: at its profession or attribute, or among what tells nothing of one
person."""

from functools import lru_cache

from fairdemo.stats import captions
from fairdemo.stats.captions import ONE, SEVERAL, Read
from fairdemo.stats.prompts import article, photo_of

PROFESSIONS, PERSON = "professions", "person"  # lists, as a study has them
NOBODY, MANY, JOBS = "no person named", "several people named", "several professions named"


@lru_cache(100_000)
def read(caption: str) -> Read:
    """What a caption says of whom it shows."""
    return captions.read(caption)


def placed(caption: str) -> tuple[str, str]:
    """The list and the prompt that a caption belongs to; no list, and why, where it isn't about one person
    of one profession at most."""
    found = read(caption)
    if found.people != ONE:
        return "", MANY if found.people == SEVERAL else NOBODY
    if len(found.professions) > 1:
        return "", JOBS
    if found.professions:
        return PROFESSIONS, photo_of(found.professions[0])
    if len(found.attributes) == 1:
        return PROFESSIONS, f"a photo of {article(found.attributes[0])} person"
    return PERSON, "a photo of a person"
