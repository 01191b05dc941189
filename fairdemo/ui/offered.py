"""Which models the app offers, and their studios, each made once."""

import os
import sys
from functools import cache

from fairdemo.models import fetching, profiles
from fairdemo.request import SERVER, Request
from fairdemo.stats import mix, prompts, targets
from fairdemo.stats.mix import BASELINE
from fairdemo.studio.live import Live
from fairdemo.studio.pool import PACK_SEED, is_pack, open_pack
from fairdemo.studio.studio import Artist, Plan, Studio, artist_of
from fairdemo.ui import reach

EXAMPLE = "a photo of a doctor"
OPENING_PAIRS = 16


@cache
def _named() -> dict[str, str]:
    """What whoever started the program named, by name."""
    named: dict[str, str] = {}
    for source in filter(None, (part.strip() for part in os.environ.get("FAIRDEMO_PROFILE", "").split(","))):
        try:
            named.setdefault(name_of(source), source)
        except ValueError as error:
            print(f"fairdemo: {error}", file=sys.stderr)
    return named


@cache
def offered() -> dict[str, str]:
    """What the app offers, by name, the default first: what FAIRDEMO_PROFILE lists (names of profiles, TOML
    files, packs; separated by commas), then our own profiles; where others can visit only what is listed, or
    else the embedded one. The values are what `artist_of` opens. What is listed and can't be opened is said
    on the terminal and left out."""
    named = _named()
    own = [name for name in profiles.PROFILES if name not in named]
    if reach.others_reach():  # nobody who visits is to start a download of 7 GB, or hours of drawing
        own = [] if named else [profiles.DEFAULT]
    return {**named, **{name: name for name in own}}


AGREED: set[str] = set()  # profiles whose download or long drawing somebody agreed to, on one's own machine


def to_agree(profile: str) -> bool:
    """Whether a profile wasn't asked for by whoever started the program, and needs a download or a GPU: it
    says what it takes first."""
    if profile in AGREED or profile in _named() or profile == profiles.DEFAULT:
        return False
    artist = studio(profile).artist
    return isinstance(artist, Live) and not artist.loaded


def takes(profile: str) -> str:
    """What drawing with a profile takes on this machine: how much is fetched first, and how long an image
    takes; empty if that is nothing to speak of."""
    artist = studio(profile).artist
    try:
        size = fetching.missing(artist.profile)
        fetched = f"{fetching.told(size)}, are fetched first" if size else ""
    except ValueError as error:
        fetched = str(error)
    slow = "" if artist.device != "cpu" else "without a GPU an image takes minutes"
    return "; ".join(filter(None, (fetched, slow)))


def agreed(profile: str) -> None:
    """ValueError if somebody has to agree to what a profile takes first."""
    if to_agree(profile) and (told := takes(profile)):
        raise ValueError(
            f"profile {profile!r}: {told}. Draw with it in the Studio first, which asks, or start the app"
            f" with --profile {profile}"
        )


def withheld() -> list[str]:
    """Our own profiles that whoever runs this server doesn't offer."""
    return [name for name in profiles.PROFILES if name not in offered()]


def name_of(source: str) -> str:
    """What a profile, a TOML file or a pack is called; ValueError if it can't be opened."""
    if source in profiles.PROFILES:
        return source
    return open_pack(source).profile.name if is_pack(source) else profiles.profile(source).name


@cache
def default() -> str:
    """The first offered profile whose files and catalogs are in order; what is wrong with others is said on
    the terminal."""
    for name in offered():
        try:
            _opened(name)
            return name
        except ValueError as error:
            print(f"fairdemo: {error}", file=sys.stderr)
    raise SystemExit("fairdemo: no profile can be opened")


@cache
def _opened(profile: str) -> Studio:
    return Studio(artist_of(offered()[profile]))


def studio(profile: str) -> Studio:
    """The studio of an offered profile; ValueError for any other, since a browser may ask for anything."""
    if profile in withheld():
        raise ValueError(
            f"profile {profile!r} isn't offered here; whoever runs this server can offer it by"
            f" FAIRDEMO_PROFILE={profile}, and on one's own machine it is offered: python app.py"
        )
    if not isinstance(profile, str) or profile not in offered():
        raise ValueError(f"profile {str(profile)[:60]!r} is unknown; offered are {', '.join(offered())}")
    return _opened(profile)


@cache
def opening(profile: str, prompt: str) -> Plan | None:
    """A finished wall that comes with a model and is shown before that is loaded; None if there is none for
    the prompt. Its slots are chosen as for a moved slider, from what was drawn."""
    if profile not in offered():
        return None
    room = studio(profile)
    own = room.artist.shipped if isinstance(room.artist, Live) else None
    if own is None or prompt not in own.prompts:
        return None
    seed = PACK_SEED + list(own.prompts).index(prompt)
    request = Request.checked(
        SERVER, prompt=prompt, profile=profile, n=min(OPENING_PAIRS, own.most), seed=seed
    )
    return room.filled(room.plan(request, [BASELINE] * request.n))


def asked_first(artist: Artist) -> str:
    """The prompt that a visitor finds."""
    return artist.prompts[0] if artist.prompts and EXAMPLE not in artist.prompts else EXAMPLE


def described(profile: str) -> str:
    """A profile in the list."""
    source = offered().get(profile, profile)
    if source in profiles.PROFILES or source.endswith(".toml"):
        return profiles.profile(source).title or profile
    return f"{profile} (pack)"


def reference(prompt: str, profile: str) -> targets.Target:
    """The shares that the baseline is expected to give for a prompt."""
    task = studio(profile).task(prompts.read(prompt or EXAMPLE), {}, targets.DEPENDENCES[0])
    return targets.marginals(task.wanted.reshape(mix.SHAPE))
