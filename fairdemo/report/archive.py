"""A comparison as a zip with everything in it, and opening such a zip again."""

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from fairdemo import places
from fairdemo.comparison import Comparison, load
from fairdemo.pairs import SIDES
from fairdemo.places import is_leftover
from fairdemo.report import page, table

MAX_ZIP_BYTES, MAX_OPEN_BYTES, MAX_FILES = 300_000_000, 400_000_000, 1100


def zipped(comparison: Comparison) -> Path:
    """A zip with the saved comparison, `images.csv` and `report.html`, among the files that go soon."""
    name = f"fairdemo-{comparison.subject or 'comparison'}-{comparison.request.seed}.zip".replace(" ", "-")
    path = places.passing_file(name)
    try:
        write(comparison, path)
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
    return path


def write(comparison: Comparison, path: Path) -> None:
    """Writes the zip of a comparison. The same comparison gives the same bytes: no file in it has a time."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
    ):
        saved = Path(folder) / "saved"
        comparison.save(saved)
        for file in sorted(saved.rglob("*")):
            if file.is_file():
                add(archive, file.relative_to(saved).as_posix(), file.read_bytes())
        add(archive, "images.csv", table.images(comparison))
        add(archive, "report.html", page.report(comparison))


def add(archive: zipfile.ZipFile, name: str, content: str | bytes) -> None:
    """Adds a file that everybody may read, with the first day that a zip can tell for its time."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def unzipped(path: Path) -> Comparison:
    """The comparison in a zip that somebody uploaded; ValueError that says what is wrong with it. Only the
    files that a saved comparison has are ever written, under names of our own, and no more than
    `MAX_OPEN_BYTES`."""
    if path.stat().st_size > MAX_ZIP_BYTES:
        most = MAX_ZIP_BYTES // 10**6
        raise ValueError(f"{path.name!r} is larger than {most} MB; a comparison downloaded here is smaller")
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="fairdemo-") as folder:
            extract(archive, Path(folder), path.name)
            return load(Path(folder))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name!r} is no zip that was downloaded here ({error})") from None


def is_folder(name: str) -> bool:
    """Whether a member of a zip is a folder, as it may be named on Windows, too."""
    return name.endswith(("/", "\\"))


def common_folder(names: list[str]) -> str:
    """The folder that everything in a zip lies in, with its slash, as where a folder was zipped whole; else
    empty."""
    tops = {name.replace("\\", "/").partition("/")[0] for name in names}
    (top,) = tops if len(tops) == 1 else ("",)
    return (
        f"{top}/"
        if top
        and top not in (*SIDES, "..", ".")
        and f"{top}/comparison.json" in {name.replace("\\", "/") for name in names}
        else ""
    )


def extract(archive: zipfile.ZipFile, folder: Path, name: str) -> None:
    """Writes the files of a saved comparison into a folder; ValueError if the zip holds others, or more than
    it may."""
    members = [m for m in archive.infolist() if not is_leftover(m.filename)]
    folder_in = common_folder([m.filename for m in members])
    too_much = f"{name!r} unpacks to more than a comparison holds"
    if len(members) > MAX_FILES or sum(m.file_size for m in members) > MAX_OPEN_BYTES:
        raise ValueError(too_much)
    images = {f"{side}/{i:04d}.png" for side in SIDES for i in range(512)}
    own = {"comparison.json", "vectors.npz", *images}
    known = own | {"images.csv", "report.html"}
    own_names = {m.filename: m.filename.replace("\\", "/").removeprefix(folder_in) for m in members}
    strange = [
        m.filename for m in members if own_names[m.filename] not in known and not is_folder(m.filename)
    ]
    if strange:
        raise ValueError(f"{name!r} holds {strange[0][:60]!r}, which a saved comparison doesn't")
    for side in SIDES:
        (folder / side).mkdir()
    left = MAX_OPEN_BYTES
    for member in members:
        if own_names[member.filename] in own:
            with archive.open(member) as source:  # what a zip says of its sizes needn't be true
                data = source.read(left + 1)
            left -= len(data)
            if left < 0:
                raise ValueError(too_much)
            (folder / own_names[member.filename]).write_bytes(data)
