"""What a profile needs from the Hub: how much of it isn't on this machine yet, and fetching it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from fairdemo.models import catalog, hub
from fairdemo.models.profiles import Profile

# Folders of a pipeline's parts; repositories hold other versions of them too.
PARTS = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "scheduler")
CLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
AT_HOME = 100e6 / 8  # bytes a second of an ordinary line


@dataclass(frozen=True)
class Source:
    """Files of one repository, by patterns."""

    repo: str
    revision: str | None
    patterns: tuple[str, ...]


def sources(profile: Profile) -> Iterator[Source]:
    """The repositories that a profile draws with; none for one that lies on this machine."""
    if not hub.is_local(profile.model):
        ending = f".{profile.variant}.safetensors" if profile.variant else ".safetensors"
        parts = [f"{part}/*{kind}" for part in PARTS for kind in (".json", ".txt", ending)]
        yield Source(profile.model, profile.revision, ("model_index.json", *parts))
    if profile.vae and not hub.is_local(profile.vae):
        files = ("config.json", "diffusion_pytorch_model.safetensors")
        yield Source(profile.vae, profile.vae_revision, files)
    if profile.unet and profile.unet_file and not hub.is_local(profile.unet):
        yield Source(profile.unet, profile.unet_revision, (profile.unet_file,))
    for adapter in catalog.of_profile(profile):
        if adapter.repo:
            yield Source(adapter.repo, adapter.revision, (adapter.file,))
    if profile.classifier.startswith("openclip"):
        yield Source(CLIP, None, ("open_clip_model.safetensors", "open_clip_config.json"))


def snapshot(source: Source, **options: Any) -> Any:
    """What the Hub's client gives for a source; ValueError says why it can't be had."""
    try:
        return snapshot_download(
            source.repo, revision=source.revision, allow_patterns=list(source.patterns), **options
        )
    except Exception as error:  # the Hub's client, the network and the disk each raise their own kinds
        raise ValueError(hub.explain(error, f"files of {source.repo!r}")) from error


def missing(profile: Profile) -> int:
    """Bytes that would be fetched before a profile can draw; ValueError if the Hub doesn't answer and not
    all is here."""
    return sum(_missing(source) for source in sources(profile))


def _missing(source: Source) -> int:
    try:
        asked = snapshot(source, dry_run=True)
    except ValueError:
        snapshot(source, local_files_only=True)  # all of it is here
        return 0
    return sum(one.file_size or 0 for one in asked if one.will_download)


def fetch(profile: Profile) -> None:
    """Fetches what is missing; ValueError says what can't be had. What was fetched halfway goes on."""
    for source in sources(profile):
        snapshot(source)


def commits(profile: Profile) -> dict[str, str]:
    """The commit of each repository that is on this machine now, as the Hub's client keeps it."""
    return {source.repo: Path(snapshot(source, local_files_only=True)).name for source in sources(profile)}


def told(size: float) -> str:
    """A size and how long it takes on an ordinary line, in words."""
    minutes = size / AT_HOME / 60
    time = f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"
    return f"{size / 1e9:.1f} GB, about {time} at 100 Mbit/s"
