"""A study: what of which models is asked for, how often, and with which methods; a TOML file that is checked
here alone."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from fairdemo.checked import Real, Whole, one_line, read_toml
from fairdemo.data.captioned import Captioned
from fairdemo.stats import prompts, targets
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, article
from fairdemo.stats.stopping import looks

BASELINE = "baseline"  # the method that is none
PROFILE, PIPELINE, API, FOLDER, DATA = "profile", "pipeline", "api", "folder", "data"  # kinds of origins
AT_ONCE = 32  # images of a shard
REFUSED = "refused"  # how a row's reason begins whose prompt a server's content filter refused
SEEDS = 2**31


class Study(BaseModel):
    """What a study asks for. `read` makes one from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: tuple[str, ...] = ()  # whole prompts
    lists: tuple[str, ...] = ()  # names of lists (`lists.toml`, and "professions")
    templates: tuple[str, ...] = ("a photo of {}",)  # what a list's words are put into
    styles: tuple[str, ...] = ("",)  # what stands behind each prompt
    profiles: tuple[str, ...] = ("embedded",)  # our profiles
    methods: tuple[str, ...] = (BASELINE,)  # of each profile
    guidance: tuple[Annotated[Real, Field(ge=1, le=20)], ...] = ()  # none: each profile's own
    pipelines: tuple[str, ...] = ()  # other models: diffusers pipelines, folders or of the Hub
    apis: tuple[str, ...] = ()  # other models: of the Hub's inference providers, or addresses
    price: Annotated[Real, Field(ge=0, le=1000)] | None = None  # of an image of the APIs, for `--most`
    folders: tuple[str, ...] = ()  # images that were made elsewhere, with their prompts
    data: tuple[Captioned, ...] = ()  # captioned image sets, as training data are
    reader: str = ""  # the profile whose classifiers read what no profile has drawn
    # Images of a prompt, and of each list's prompts by the list's name.
    images: Annotated[Whole, Field(ge=1, le=100_000)] = 32
    images_of: dict[str, Annotated[Whole, Field(ge=1, le=100_000)]] = {}
    # Instead: a prompt ends once the interval of its women's share is as narrow as plus and minus this.
    half_width: Annotated[Real, Field(ge=0.05, le=0.4)] | None = None
    seed: Annotated[Whole, Field(ge=0, le=SEEDS - 1)] = 0
    target: str = "uniform"  # what methods are to reach, as a request writes it
    keep: StrictBool = False  # whether images are kept, as WebP

    @field_validator("target")
    @classmethod
    def _reachable(cls, target: str) -> str:
        if target != "workforce":
            targets.parse(target)
        return target

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = named_lists()
        for name in (*self.lists, *self.images_of):
            if name not in known:
                raise ValueError(f"list {name!r} isn't known; known are {', '.join(known)}")
        if wrong := [t for t in self.templates if t.count("{}") != 1]:
            raise ValueError(f'template {wrong[0]!r} needs one {{}}, e.g. "a photo of {{}}"')
        if not (self.prompts or self.lists or self.folders or self.data):
            raise ValueError(
                'asks for nothing; it needs prompts, lists (e.g. ["professions"]), folders or data'
            )
        for asked in self.asked:
            prompts.read(asked.prompt)
        if not (self.profiles or self.pipelines or self.apis or self.folders or self.data):
            raise ValueError("has no profiles, pipelines, apis, folders or data: nothing to take images from")
        if (self.pipelines or self.apis or self.folders or self.data) and not self.reader:
            raise ValueError("lacks 'reader': the profile whose classifiers read them, e.g. \"sdxl\"")
        if self.data and (self.prompts or self.lists or self.folders):
            raise ValueError(
                "has data beside prompts, lists or folders; captioned sets take a study of their own"
            )
        names = [origin.name for origin in self.origins]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two origins are called {twice[0]!r}; each needs a name of its own")
        return self

    @cached_property
    def asked(self) -> list["Asked"]:
        """All prompts, each once, in order."""
        found: dict[str, Asked] = {}
        for listed, text in [("", p) for p in self.prompts] + [
            (name, text) for name in self.lists for text in self._texts(name)
        ]:
            for style in self.styles:
                prompt = f"{text}{style}"
                n = self.images_of.get(listed, self.images)
                found.setdefault(prompt, Asked(prompt, listed, seed_of(self.seed, prompt), n))
        return list(found.values())

    def as_read(self) -> "Study":
        """The study without what changes only how its rows are fetched or told."""
        usual = {
            name: Captioned.model_fields[name].default for name in ("leave_out", "allow_hosts", "seconds")
        }
        return self.model_copy(update={"data": tuple(d.model_copy(update=usual) for d in self.data)})

    def set_of(self, origin: "Origin") -> Captioned:
        """The captioned image set that an origin is."""
        return next(d for d in self.data if d.source == origin.model)

    def _texts(self, name: str) -> list[str]:
        """A list's prompts, its words in every template."""
        entry = named_lists()[name]
        words = [template.replace("{}", w) for template in self.templates for w in entry.get("words", ())]
        return [*words, *entry.get("prompts", ())]

    @cached_property
    def origins(self) -> list["Origin"]:
        """Where images come from, in order."""
        values = self.guidance or (None,)
        kinds = {PROFILE: self.profiles, PIPELINE: self.pipelines, API: self.apis}
        drawn = [
            Origin(kind, name, m, g)
            for kind, names in kinds.items()
            for name in names
            for m in self.methods
            for g in values
        ]
        kept = [*(Origin(FOLDER, f) for f in self.folders), *(Origin(DATA, d.source) for d in self.data)]
        every = [*(drawn if self.asked else ()), *kept]
        return list(dict.fromkeys(every))


@dataclass(frozen=True)
class Asked:
    """One prompt of a study, the noise that it is drawn from, and how often at most."""

    prompt: str
    listed: str  # the list that it is from; empty: the study's own prompts
    seed: int
    images: int


@dataclass(frozen=True)
class Origin:
    """Where images come from: a model through a method, or a folder of them."""

    kind: str  # PROFILE, PIPELINE, API, FOLDER or DATA
    model: str  # its name; of a folder its path, of data their source
    method: str = BASELINE
    guidance: float | None = None  # None: the model's own

    @property
    def name(self) -> str:
        """Its name in tables: the model, then the method, then the guidance where it isn't the usual one."""
        if self.kind == FOLDER:
            return Path(self.model).resolve().name.replace(",", "")
        if self.kind == DATA:
            return Captioned(source=self.model).name
        return f"{self.model}, {self.method}" + (f", guidance {self.guidance:g}" if self.guidance else "")


@dataclass(frozen=True)
class Shard:
    """Some images of one prompt from one origin: slots `first` to before `end`."""

    origin: Origin
    asked: Asked
    first: int
    end: int


def named_lists() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """All lists by name: words that take a template, or prompts that stand as they are."""
    words = [*map(article, PROFESSIONS), *(f"{article(a)} person" for a in ATTRIBUTES)]
    stored = tomllib.loads((Path(__file__).parent / "lists.toml").read_text(encoding="utf-8"))
    return {"professions": {"words": tuple(words)}} | {
        name: {kind: tuple(texts) for kind, texts in entry.items()} for name, entry in stored.items()
    }


def seed_of(seed: int, prompt: str) -> int:
    """The seed of a prompt's noise: it stays whatever other prompts a study has, and methods share it."""
    return int(hashlib.sha256(f"{seed} {prompt}".encode()).hexdigest()[:12], 16) % SEEDS


def read(path: Path) -> Study:
    """A study from a TOML file; ValueError says in one line what is wrong with it."""
    asked = read_toml(path, "study")
    for key in ("folders", "pipelines"):  # so that actors find what a relative path means here
        if isinstance(asked.get(key), list):
            asked[key] = [str(Path(p).resolve()) if Path(str(p)).exists() else p for p in asked[key]]
    for one in asked.get("data", ()):
        if isinstance(one, dict) and Path(str(one.get("source", ""))).exists():
            one["source"] = str(Path(str(one["source"])).resolve())
    try:
        return Study.model_validate(asked)
    except ValidationError as error:
        told = one_line(error, Study)
        joint = " " if told.startswith(("has ", "lacks ", "asks ")) else ": "
        raise ValueError(f"study {path.name}{joint}{told}") from None


def shards(study: Study, origin: Origin, asked: Asked) -> list[list[Shard]]:
    """The shards of one prompt and origin up to each look, in order: one list for a fixed number of
    images."""
    ends = [asked.images]
    if study.half_width and origin.kind not in (FOLDER, DATA):
        ends = [look.n for look in looks(study.half_width)]
    return [
        [Shard(origin, asked, start, min(start + AT_ONCE, end)) for start in range(first, end, AT_ONCE)]
        for first, end in zip([0, *ends], ends)
    ]
