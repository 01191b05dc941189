"""The catalog of adapters: which there are, what they stand for, and where their weights lie."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import tomlkit
from huggingface_hub import HfApi
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from tomlkit.items import Table

from fairdemo.checked import Real, Whole, one_line, read_toml
from fairdemo.models import hub
from fairdemo.models.lora_file import check_lora, read_vectors
from fairdemo.models.profiles import Profile
from fairdemo.places import SHIPPED
from fairdemo.stats.attributes import TARGET_CLASSES

CATALOG = SHIPPED / "adapters" / "catalog.toml"


class Adapter(BaseModel):
    """One entry of a catalog; keys of a user's own are left alone."""

    model_config = ConfigDict(frozen=True)

    name: str
    base: str  # the base model that it was made for, as profiles name it in `adapters`
    file: str  # in the catalog's folder, or in the repository `repo`
    cell: tuple[str, ...]  # the classes that it draws, at most one an attribute; none: a free label, its name
    weight: Annotated[Real, Field(ge=-10, le=10)]  # how strongly it is applied, as in `set_adapters`
    license: str
    source: str  # where it comes from, in words
    repo: str = ""  # of the Hub
    revision: str | None = None  # the repository's commit
    # Not in the mix: it draws under this name, alone or with others of the same method. One of those that has
    # no cell has a whole distribution in its weights (arXiv 2311.07604).
    method: str = ""
    tokens: Annotated[Whole, Field(ge=0, le=77)] = 0  # no LoRA, but this many soft tokens before the prompt
    home: Path = Field(default=CATALOG.parent, exclude=True, repr=False)  # the catalog's folder

    @field_validator("name")
    @classmethod
    def _speakable(cls, name: str) -> str:
        """A name stands in tables, in links and in the names of combinations."""
        reserved = name == "baseline" or " + " in name
        if reserved or not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 100:
            raise ValueError(
                f"name is {name[:100]!r}; expected a line of at most 100 characters without blanks around it,"
                ' not "baseline", and without " + ", which combinations are named with'
            )
        return name

    @field_validator("cell")
    @classmethod
    def _apart(cls, cell: tuple[str, ...]) -> tuple[str, ...]:
        of = [next((a for a, classes in TARGET_CLASSES.items() if c in classes), None) for c in cell]
        if None in of or len(set(of)) < len(of):
            known = ", ".join(c for classes in TARGET_CLASSES.values() for c in classes)
            raise ValueError(
                f"cell is {list(cell)}; expected at most one class of race, gender and age each: {known}"
            )
        return cell

    @field_validator("revision")
    @classmethod
    def _commit(cls, revision: str | None) -> str | None:
        if revision is not None and not hub.is_commit(revision):
            raise ValueError(f"revision is {revision!r}; expected a commit of 40 hex digits")
        return revision

    @property
    def path(self) -> Path:
        """Its weights' file on this machine, fetched from the Hub where that is its place; ValueError says
        why it can't be had."""
        if self.repo:
            return hub.weights_file(self.repo, self.file, self.revision)
        path = self.home / self.file
        if not path.is_file():
            raise ValueError(f"adapter file {path.name} is missing")
        return hub.weights_file(path.parent, path.name)

    def but(self, **changed: Any) -> Self:
        """The same entry with some keys changed."""
        return self.model_copy(update=changed)


def catalog(base: str, path: Path = CATALOG) -> list[Adapter]:
    """The adapters made for `base` in a catalog, or in a profile's own file; ValueError that names what is
    wrong."""
    what = f"catalog of adapters {path.name} is damaged"
    try:
        entries = read_toml(path, "file").get("adapter", [])
        if not isinstance(entries, list):
            raise ValueError("its adapter entries begin with [[adapter]]")
        adapters = [entry(e, path.resolve().parent) for e in entries]
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    found = [a for a in adapters if a.base == base]
    twice = _twice(found)
    if twice:
        raise ValueError(f"{what}: {twice!r} is in it twice")
    return found


def of_profile(profile: Profile) -> list[Adapter]:
    """All adapters that a profile can use: ours, those in the catalog that FAIRDEMO_CATALOG names, and the
    [[adapter]] entries of the profile's own file."""
    own = [Path(path) for path in (os.environ.get("FAIRDEMO_CATALOG"),) if path]
    found = [a for path in (CATALOG, *own, profile.file) for a in catalog(profile.adapters, path)]
    twice = _twice(found)
    if twice:
        raise ValueError(f"adapter {twice!r} is in more than one catalog; give yours another name")
    return found


def find_faults(adapters: Sequence[Adapter]) -> dict[str, str]:
    """Why adapters can't be used, by name, as far as their files on this machine tell without a model: one
    that isn't there, is damaged, or holds something else. Files of the Hub aren't fetched for it."""
    faults = {}
    for adapter in adapters:
        if not adapter.repo:
            try:
                check_file(adapter)
            except ValueError as error:
                faults[adapter.name] = str(error)
    return faults


def check_file(adapter: Adapter) -> None:
    """ValueError in one line if an adapter's file can't be had or holds something else, whatever model it was
    made for."""
    (read_vectors if adapter.tokens else check_lora)(adapter.path)


def _twice(adapters: list[Adapter]) -> str | None:
    names = [a.name for a in adapters]
    return next((n for n in names if names.count(n) > 1), None)


def entry(table: Any, home: Path) -> Adapter:
    """An entry of a catalog in the folder `home`; ValueError names the entry and the key."""
    try:
        return Adapter.model_validate({**table, "home": home})
    except (ValidationError, TypeError) as error:
        name = repr(table.get("name", "an entry")) if isinstance(table, dict) else "an entry"
        told = one_line(error, Adapter) if isinstance(error, ValidationError) else "expected a table"
        raise ValueError(f"{name}{' ' if told.startswith(('lacks', 'has an')) else ': '}{told}") from None


def add(path: Path, adapter: Adapter) -> None:
    """Appends an adapter to a user's catalog, made if it isn't there; ValueError if its file can't be had
    or is no LoRA, or the catalog has its name."""
    check_file(adapter)
    for own in dict.fromkeys((path, CATALOG)):
        if own.is_file() and adapter.name in [a.name for a in catalog(adapter.base, own)]:
            where = repr(str(own)) if own == path else "of the program"
            raise ValueError(
                f"catalog {where} has an adapter {adapter.name!r} for {adapter.base!r} already; give this one"
                " another name"
            )
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else tomlkit.document()
    document.setdefault("adapter", tomlkit.aot()).append(table_of(adapter))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def table_of(adapter: Adapter) -> Table:
    """An adapter as a catalog's entry; what is empty is left out."""
    table = tomlkit.table()
    table.update({k: v for k, v in adapter.model_dump(mode="json").items() if v or k in ("cell", "weight")})
    return table


def pin(path: Path) -> list[tuple[str, str]]:
    """Writes the present commit of its repository into each entry of a catalog that has none, so that the
    same catalog always means the same weights; returns (repository, commit). ValueError if the Hub doesn't
    answer."""
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    pinned = []
    for table in document.get("adapter", []):
        if table.get("repo") and "revision" not in table:
            try:
                table["revision"] = HfApi().model_info(table["repo"]).sha
            except Exception as error:  # the Hub's client and the network each raise their own kinds
                raise ValueError(hub.explain(error, f"commit of {table['repo']!r}")) from error
            pinned.append((str(table["repo"]), str(table["revision"])))
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return pinned
