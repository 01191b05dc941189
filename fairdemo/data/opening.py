"""Opens captioned image sets, whatever kind they are."""

from functools import lru_cache
from pathlib import Path

from fairdemo.data.captioned import Captioned, ImageSet
from fairdemo.data.embedded import SETS, Embedded
from fairdemo.data.tables import FOLDER_TABLES, SUFFIXES, Tabled, on_hub
from fairdemo.data.webdataset import Shards, places
from fairdemo.places import is_leftover


@lru_cache(4)
def opened(asked: Captioned) -> ImageSet:
    """A captioned image set; ValueError names what is wrong with it."""
    source = asked.source
    if source in SETS:
        return Embedded(source)
    path = Path(source)
    if path.is_dir():
        return in_folder(asked, path)
    if path.is_file():
        return of_files(asked, [path])
    if any(c in source for c in "*?["):
        return of_files(asked, sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))))
    if source.startswith((".", "/")) or source.count("/") != 1 or path.suffix in (*SUFFIXES, ".tar"):
        raise ValueError(
            f"source {source!r} isn't there; expected {' or '.join(map(repr, SETS))}, a folder, files"
            f" ({', '.join((*SUFFIXES, '.tar'))}), or owner/name of a dataset on the Hub"
        )
    return on_hub(asked)


def drawn(asked: Captioned) -> bool:
    """Whether a set's people are drawn."""
    return asked.source in SETS


def in_folder(asked: Captioned, folder: Path) -> ImageSet:
    """A folder with a table of captions, with tar files, with captions beside its images, or with Parquet
    files. What is on the disk comes before addresses: img2dataset leaves both."""
    table = next((folder / name for name in FOLDER_TABLES if (folder / name).is_file()), None)
    if table:
        return Tabled(asked, [str(table)], folder)
    tars, tables = (
        [p for p in sorted(folder.rglob(f"*{suffix}")) if p.is_file() and not is_leftover(p.name)]
        for suffix in (".tar", ".parquet")
    )
    beside = f"{len(tables)} Parquet files beside them aren't read." if tables else ""
    if tars:
        return Shards(asked, [str(path) for path in tars], beside)
    if any(place.size and place.caption for place in places(str(folder), asked.caption)):
        return Shards(asked, [str(folder)], beside)
    if tables:
        return of_files(asked, tables)
    raise ValueError(
        f"folder {asked.source!r} has no captions; expected {' or '.join(FOLDER_TABLES)}, Parquet or tar"
        " files, or texts of its images' names"
    )


def of_files(asked: Captioned, files: list[Path]) -> ImageSet:
    """Files of one kind."""
    kinds = {path.suffix for path in files}
    if len(kinds) != 1 or not kinds <= {*SUFFIXES, ".tar"}:
        found = ", ".join(sorted(filter(None, kinds))) or "no such file"
        raise ValueError(
            f"source {asked.source!r} is {found}; expected files of one kind:"
            f" {', '.join((*SUFFIXES, '.tar'))}"
        )
    names = [str(path) for path in files]
    return Shards(asked, names) if kinds == {".tar"} else Tabled(asked, names, files[0].parent)
