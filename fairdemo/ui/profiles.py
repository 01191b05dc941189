"""Which models the app offers, and their studios, each made once."""

import os
import sys
from functools import cache

from fairdemo.models import profiles
from fairdemo.stats import mix
from fairdemo.studio.packs import is_pack, open_pack
from fairdemo.studio.studio import Studio

EXAMPLE = "a photo of a doctor"


@cache
def profiles() -> dict[str, str]:
    """What the app offers, by name, the default first: what FAIRDEMO_PROFILE lists (names of profiles, TOML
    files, packs; separated by commas), then our own profiles. The values are what `Studio` opens. What is
    listed and can't be opened is said on the terminal and left out."""
    named: dict[str, str] = {}
    for source in filter(None, (part.strip() for part in os.environ.get("FAIRDEMO_PROFILE", "").split(","))):
        try:
            named.setdefault(
                (
                    source
                    if source in profiles.PROFILES
                    else open_pack(source).profile.name
                    if is_pack(source)
                    else profiles.profile(source).name
                ),
                source,
            )
        except ValueError as error:
            print(f"fairdemo: {error}", file=sys.stderr)
    return {**named, **{name: name for name in profiles.PROFILES if name not in named}}


@cache
def default() -> str:
    """The first offered profile whose files and catalogs are in order; what is wrong with others is said on
    the terminal."""
    for name in profiles():
        try:
            opened(name)
            return name
        except ValueError as error:
            print(f"fairdemo: {error}", file=sys.stderr)
    raise SystemExit("fairdemo: no profile can be opened")


@cache
def opened(profile: str) -> Studio:
    return Studio(profiles()[profile])


def studio(profile: str) -> Studio:
    """The studio of an offered profile; ValueError for any other, since a browser may ask for anything."""
    if profile not in profiles():
        raise ValueError(f"profile {str(profile)[:60]!r} is unknown; offered are {', '.join(profiles())}")
    return opened(profile)


def drawable(ready: Studio) -> list[mix.Slot]:
    """All that a link's slots can name."""
    return [*ready.sources, *(slot for slots in ready.own_methods.values() for slot in slots)]


def asked_first(ready: Studio) -> str:
    """The prompt that a visitor finds."""
    return ready.pack.prompts[0] if ready.pack and EXAMPLE not in ready.pack.prompts else EXAMPLE


def described(profile: str) -> str:
    """A profile in the list."""
    source = profiles()[profile]
    if source in profiles.PROFILES or source.endswith(".toml"):
        return profiles.profile(source).title or profile
    return f"{profile} (pack)"
