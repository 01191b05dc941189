"""Model profiles: which base model draws, how it is run, and which classifier reads it. `shipped/` holds
ours; a user's TOML file of the same form names any SDXL or Stable Diffusion 1.5 model."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fairdemo.checked import Real, Whole, one_line, read_toml, shown
from fairdemo.models import hub
from fairdemo.places import SHIPPED

DEFAULT = "embedded"
PINNED = {"model": "revision", "vae": "vae_revision", "unet": "unet_revision"}


class Profile(BaseModel):
    """What a profile's TOML file holds. Paths that start with a dot begin at the file's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # also what responses and saved comparisons call it
    family: Literal["sdxl", "sd15"]
    model: str  # a local folder or a Hub id
    classifier: str  # a name that `readers.classify` knows, or a folder
    adapters: str  # which of the catalog's adapters fit
    size: Annotated[Whole, Field(ge=64, le=2048)]  # px
    steps: Annotated[Whole, Field(ge=2, le=100)]  # of the sampler, unless a request says otherwise
    guidance: Annotated[Real, Field(ge=1, le=20)]
    first: Annotated[Whole, Field(ge=1, le=64)]  # pairs in the first call, few so that something shows early
    batch: Annotated[Whole, Field(ge=1, le=64)]  # pairs in later calls
    title: str = ""
    revision: str | None = None  # the commit of a model from the Hub
    variant: str | None = None  # of the weights' files, e.g. fp16
    vae: str | None = None  # an autoencoder that replaces the model's
    vae_revision: str | None = None
    unet: str | None = None  # where `unet_file` lies
    unet_revision: str | None = None
    unet_file: str | None = None  # weights that replace the U-Net's
    crisp: str | None = None  # a decoder of twice the size for what is shown; readers read the autoencoder's
    scheduler: dict[str, Any] | None = None  # the sampler: its class as "name", and settings
    words: str | None = None  # a file with the words of the captions that it was trained on; none: any word
    opening: str = ""  # what "a photo of" at a prompt's start is replaced by
    suffix: str = ""  # added to every prompt
    negative: str = ""  # the negative prompt
    # Of the weights: "auto" is what the device multiplies fastest, "mixed" float32 weights used in that.
    dtype: Literal["auto", "mixed", "float32", "float16", "bfloat16"] = "auto"
    compile: str = ""  # a backend of torch.compile, e.g. "inductor"
    adapter: list[dict[str, Any]] = Field(default=[], exclude=True, repr=False)  # entries as in a catalog
    file: Path = Field(default=Path(), exclude=True, repr=False)  # the TOML file
    folder: Path = Field(default=Path(), exclude=True, repr=False)  # where relative paths begin

    @field_validator("size")
    @classmethod
    def _eights(cls, size: int) -> int:
        if size % 8:
            raise ValueError(f"size is {size}; a multiple of 8 is needed")
        return size

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if not hub.is_name(name):
            raise ValueError(f"name is {shown(name)}; up to 40 letters, digits, dots and dashes are allowed")
        return name

    @model_validator(mode="after")
    def _pinned(self) -> "Profile":
        for key, pin in PINNED.items():
            value, revision = getattr(self, key), getattr(self, pin)
            if value and not hub.is_local(value) and not hub.is_commit(revision):
                raise ValueError(
                    f"{pin} is {revision!r}; a model from the Hub is pinned to a commit (40 hex digits, see"
                    " its page's history), so that the same profile always draws the same. A local folder"
                    " starts with . or /"
                )
        return self

    def source(self, key: str) -> Path | str:
        """The local path or the Hub id in `model`, `vae`, `unet`, `crisp` or `classifier`."""
        value = getattr(self, key)
        return (self.folder / value).resolve() if hub.is_local(value) else value

    @property
    def shown(self) -> int:
        """Side in px of the images that are shown."""
        return 2 * self.size if self.crisp else self.size

    def worded(self, prompt: str) -> str:
        """A prompt as the model gets it."""
        plain = "a photo of "
        if self.opening and prompt.lower().startswith(plain):
            prompt = f"{self.opening} {prompt[len(plain) :]}"
        return prompt + self.suffix

    def but(self, **changed: Any) -> Self:
        """The same profile with some keys changed."""
        return self.model_copy(update=changed)


def read_profile(path: Path, folder: Path | None = None) -> Profile:
    """A profile from its TOML file; ValueError names the key that is wrong and what was expected. Relative
    paths begin at `folder`, by default the file's."""
    data = read_toml(path, "profile")
    for key in ("file", "folder"):
        if key in data:
            raise ValueError(f"profile {str(path)!r} has an unknown key {key!r}")
    try:
        return Profile.model_validate(
            {**data, "file": path.resolve(), "folder": folder or path.resolve().parent}
        )
    except ValidationError as error:
        told = one_line(error, Profile)
        raise ValueError(
            f"profile {str(path)!r}{' ' if told.startswith(('lacks', 'has an')) else ': '}{told}"
        ) from None


def _shipped(name: str) -> Profile:
    return read_profile(Path(__file__).parent / "shipped" / f"{name}.toml", SHIPPED)


PROFILES = {name: _shipped(name) for name in (DEFAULT, "sdxl", "sdxl-lightning", "sd15")}


def profile(name: str) -> Profile:
    """A profile by its name, or by the path of a TOML file that holds one; ValueError if there is none."""
    if name.endswith(".toml"):
        return read_profile(Path(name))
    if name not in PROFILES:
        raise ValueError(
            f"profile {name[:60]!r} is unknown; allowed are {', '.join(PROFILES)}, or a TOML file's path"
        )
    return PROFILES[name]
