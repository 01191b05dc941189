"""Sets, tables and zips as people have them: every image and caption is found, or why not is said."""

import base64
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fairdemo.audit import folders, rows
from fairdemo.audit.painter import Painter, decided
from fairdemo.audit.study import FOLDER, Asked, Origin, Shard, Study
from fairdemo.cli import main
from fairdemo.data import label, opening, tables
from fairdemo.data.captioned import Captioned
from fairdemo.readers.labelled import read_labelled
from fairdemo.report import archive
from fairdemo.studio.pool import inside


def picture(kind: str = "JPEG") -> bytes:
    """A small image that shows nothing."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)).save(file, kind)
    return file.getvalue()


def tar(path: Path, files: dict[str, bytes]) -> str:
    """A tar file; a text instead of bytes is a hard link to that name."""
    with tarfile.open(path, "w") as archive_:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE, content
                archive_.addfile(info)
            else:
                info.size = len(content)
                archive_.addfile(info, io.BytesIO(content))
    return str(path)


def found_in(source: str) -> list[tuple[str, str]]:
    """Each item's caption, and why it has no image."""
    own = opening.opened(Captioned(source=source))
    return [(one.caption, one.failed) for one in own.items(range(own.count))]


JPEG, GIF = picture(), picture("GIF")


@pytest.mark.parametrize(
    "files",
    [
        {"a.jpg": JPEG, "a.txt": b"a nurse", "b.jpg": JPEG, "b.txt": b"a chef"},
        {
            "photo.v2.1.jpg": JPEG,
            "photo.v2.1.txt": b"a nurse",
            "photo.v2.2.jpg": JPEG,
            "photo.v2.2.txt": b"a chef",
        },
        {"A.JPG": JPEG, "A.TXT": b"a nurse", "B.JPG": JPEG, "B.TXT": b"a chef"},
        {"a.gif": GIF, "a.caption": b"a nurse", "b.bmp": picture("BMP"), "b.caption": b"a chef"},
        {"a.left.jpg": JPEG, "a.txt": b"a nurse", "b.left.jpg": JPEG, "b.txt": b"a chef"},
        {
            "a.jpg": JPEG,
            "a.txt": b"a nurse",
            "._a.jpg": b"x",
            "__MACOSX/._a.txt": b"x",
            "b.jpg": JPEG,
            "b.txt": b"a chef",
            "._b.txt": b"x",
        },
        {"a.jpg": JPEG, "a.txt": b"a nurse", "b.jpg": "a.jpg", "b.txt": b"a chef"},
        # The text counts, whichever comes first.
        {
            "a.txt": b"a nurse",
            "a.json": b'{"caption": "no"}',
            "a.jpg": JPEG,
            "b.json": b'{"caption": "no"}',
            "b.txt": b"a chef",
            "b.jpg": JPEG,
        },
        {
            "a.jpg": JPEG,
            "a.json": b'{"caption": ["a nurse", "another"]}',
            "b.jpg": JPEG,
            "b.json": b'{"text": {"de": "ein Koch", "en": "a chef"}}',
        },
    ],
    ids=["plain", "dots", "capitals", "other formats", "views", "a Mac's", "hard links", "both", "lists"],
)
def test_a_tar_files_images_and_captions_are_found(tmp_path, files):
    assert found_in(tar(tmp_path / "x.tar", files)) == [("a nurse", ""), ("a chef", "")]


def test_a_compressed_tar_file_is_called_so(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w:gz") as made:
        made.addfile(tarfile.TarInfo("a.txt"))
    with pytest.raises(ValueError, match="is compressed; unpack it with gunzip first"):
        opening.opened(Captioned(source=str(tmp_path / "x.tar")))


def downloaded(folder: Path) -> pd.DataFrame:
    """The table that img2dataset leaves: of three addresses one couldn't be fetched."""
    table = pd.DataFrame(
        {
            "url": [f"http://127.0.0.1:9/{k}.jpg" for k in range(3)],
            "caption": ["a nurse", "a chef", "a judge"],
            "key": [f"{k:09d}" for k in range(3)],
            "status": ["success", "success", "failed_to_download"],
        }
    )
    table.to_parquet(folder / "00000.parquet")
    (folder / "00000_stats.json").write_text("{}")
    return table


def test_what_img2dataset_fetched_is_not_fetched_again(tmp_path):
    """Its three formats: tar files, images in folders, a table with the images in it."""
    for kind in ("webdataset", "files", "parquet"):
        folder = tmp_path / kind
        folder.mkdir()
        own = downloaded(folder)
        files = {}
        for key, caption in zip(own.key[:2], own.caption):
            said = {"caption": caption, "key": key}
            files |= {f"{key}.jpg": JPEG, f"{key}.txt": caption.encode()}
            files[f"{key}.json"] = json.dumps(said).encode()
        if kind == "webdataset":
            tar(folder / "00000.tar", files)
        elif kind == "files":
            (folder / "00000").mkdir()
            for name, content in files.items():
                (folder / "00000" / name).write_bytes(content)
        else:
            images = [JPEG, JPEG, None]
            pq.write_table(pa.Table.from_pandas(own.assign(jpg=images)), folder / "00000.parquet")
        there = [("a nurse", ""), ("a chef", "")]
        failed = [("a judge", tables.UNFETCHED)] if kind == "parquet" else []
        assert found_in(str(folder)) == there + failed


def test_failed_rows_of_addresses_are_failures(tmp_path):
    downloaded(tmp_path)
    assert found_in(str(tmp_path))[2] == ("a judge", tables.UNFETCHED)


@pytest.mark.parametrize(
    "name, text",
    [
        ("metadata.csv", "file_name, caption\n0.jpg, a nurse\n"),
        ("metadata.csv", "\ufeffFile_Name,Caption\n0.jpg,a nurse\n"),
        ("metadata.tsv", 'caption\tfile_name\na nurse" of the year\t0.jpg\n'),
        ("metadata.jsonl", '\ufeff{"file_name": "0.jpg", "caption": "a nurse"}\n'),
        (
            "metadata.jsonl",
            '{"file_name": "0.jpg", "caption": ["a nurse", "b"]}\n{"file_name": "0.jpg", "caption": "x"}\n',
        ),
        ("metadata.csv", "image,file_name,caption\n17,0.jpg,a nurse\n"),
        (
            "metadata.jsonl",
            '{"file_name": "0.jpg", "caption": "a nurse"}\n{"file_name": null}\n{"file_name": 7}\n',
        ),
        ("metadata.csv", "file_name,caption\nsub\\0.jpg,a nurse\n"),
    ],
    ids=["blank", "BOM and case", "lone quote", "BOM", "lists", "numbers", "nothing", "Windows"],
)
def test_a_tables_images_and_captions_are_found(tmp_path, name, text):
    (tmp_path / "sub").mkdir()
    for place in ("0.jpg", "sub/0.jpg"):
        (tmp_path / place).write_bytes(JPEG)
    (tmp_path / name).write_text(text, encoding="utf-8")
    caption, failed = found_in(str(tmp_path))[0]
    assert caption.strip().startswith("a nurse") and not failed


@pytest.mark.parametrize("head", ["", "data:image/jpeg;base64,"])
def test_images_written_as_text_are_read(tmp_path, head):
    written = base64.b64encode(JPEG).decode()
    lines = f'image,caption\n"{head}{written}",a nurse\n"{head}{written}!",a judge\n'
    (tmp_path / "metadata.csv").write_text(lines, encoding="utf-8")
    assert found_in(str(tmp_path)) == [("a nurse", ""), ("a judge", tables.UNREADABLE)]


@pytest.mark.parametrize(
    "rows, swallowed",
    [
        ('"nurse of the year,0.jpg\na judge,1.jpg\n"a doctor",2.jpg', True),
        ('"nurse of the year",0.jpg\n"a judge,\nas seen by a painter, in oil",1.jpg', False),
        ("nurse of the year,0.jpg\na judge", False),
    ],
    ids=["open", "closed", "short"],
)
def test_rows_that_an_open_quotation_mark_swallows_are_noticed(tmp_path, rows, swallowed):
    (tmp_path / "metadata.csv").write_text(f"caption,image\n{rows}\n", encoding="utf-8")
    try:
        notice = opening.opened(Captioned(source=str(tmp_path))).notice
    except ValueError as error:
        notice = str(error)
    assert ("quotation mark" in notice) == swallowed, notice


def hub_cache(folder: Path, files: dict[str, bytes]) -> Path:
    """A snapshot as the Hub's cache has it: each file is a link to a blob."""
    snapshot, blobs = folder / "snapshots" / ("0" * 40), folder / "blobs"
    blobs.mkdir(parents=True)
    for k, (name, content) in enumerate(files.items()):
        (blobs / str(k)).write_bytes(content)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blobs / str(k))
    return snapshot


def test_links_of_the_hubs_cache_are_followed_and_no_others(tmp_path):
    files = {
        "data/images/0.jpg": JPEG,
        "0.jpg": JPEG,
        "metadata.csv": b"file_name,caption,prompt\n0.jpg,a nurse,a nurse\n",
    }
    snapshot = hub_cache(tmp_path / "datasets--a--b", files)
    assert inside(snapshot, "images/0.jpg").read_bytes() == JPEG
    assert found_in(str(snapshot)) == [("a nurse", "")]
    assert len(label.images_in(snapshot)) == 2
    assert list(folders.prompts(str(snapshot))) == ["a nurse"]
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (snapshot / "data" / "images" / "1.jpg").symlink_to(tmp_path / "secret.jpg")
    for name in ("images/1.jpg", "images/../../0.jpg", "/etc/passwd"):
        with pytest.raises(ValueError, match="lies outside of its images"):
            inside(snapshot, name)
    assert tables.beside(snapshot / "data" / "images", "1.jpg") == tables.LINKED


FAIRFACE = "file,age,gender,race,service_test\ntrain/1.jpg,50-59,Male,East Asian,True\n"


@pytest.mark.parametrize("name", ["labels.csv", "fairface_label_train.csv"])
def test_fairface_as_it_is_distributed_opens(tmp_path, name):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.jpg").write_bytes(JPEG)
    (tmp_path / name).write_text(FAIRFACE)
    found = read_labelled(str(tmp_path))
    assert found.table.iloc[0].to_dict() == {"race": "Asian", "gender": "Male", "age": "50-59"}
    assert all(found.images())


@pytest.mark.parametrize(
    "row, why",
    [
        ("1.jpg,9-Mar,Male,White", "1.jpg: age is '9-Mar'.*Excel makes dates of 3-9"),
        ("1.jpg,20-29,,White", "1.jpg: gender is ''; allowed are Female, Male"),
        (",20-29,Male,White", "has no image in row 1"),
    ],
)
def test_a_label_that_is_none_is_named_with_its_row(tmp_path, row, why):
    (tmp_path / "labels.csv").write_text(f"image,age,gender,race\n{row}\n")
    with pytest.raises(ValueError, match=why):
        read_labelled(str(tmp_path))


@pytest.mark.parametrize(
    "row, why", [(",a nurse", "no file_name in row 1"), ("0.jpg,", "no prompt in row 1")]
)
def test_an_empty_cell_of_a_study_is_named(tmp_path, row, why):
    (tmp_path / "0.jpg").write_bytes(JPEG)
    (tmp_path / "metadata.csv").write_text(f"file_name,prompt\n{row}\n")
    with pytest.raises(ValueError, match=why):
        folders.prompts(str(tmp_path))


def test_a_damaged_image_of_a_study_loses_none_beside_it(tmp_path, live):
    (tmp_path / "0.jpg").write_bytes(JPEG)
    (tmp_path / "1.jpg").write_bytes(JPEG[:100])
    (tmp_path / "metadata.csv").write_text("file_name,prompt\n0.jpg,a nurse\n1.jpg,a nurse\n")
    study = Study(folders=(str(tmp_path),), reader="embedded")
    (origin,) = study.origins
    shard = Shard(origin, Asked("a nurse", "", 0, 2), 0, 2)
    assert origin == Origin(FOLDER, str(tmp_path))
    name = rows.digest(shard, decided(study, origin))
    found = pq.read_table(io.BytesIO(Painter(study).paint(shard, name))).to_pandas()
    assert found.failed.isna().tolist() == [True, False] and "1.jpg can't be opened" in found.failed[1]


def test_a_set_of_which_nothing_can_be_had_is_a_failure(tmp_path, capsys):
    (tmp_path / "metadata.csv").write_text("file_name,caption\nnone.jpg,a nurse\n")
    command = ["data", "audit", str(tmp_path), "--out", str(tmp_path / "out"), "--reader", "embedded"]
    assert main([*command, "--drawings", "--actors", "1"]) == 2
    assert "none of 1 images could be had: 1 no such file" in capsys.readouterr().err
    (tmp_path / "labels.csv").write_text("image,age,gender,race\nnone.jpg,20-29,Male,White\n")
    classifier = str(Path(__file__).parents[1] / "assets" / "classifier")
    assert main(["evaluate", "classifier", "--classifier", classifier, "--data", str(tmp_path)]) == 2
    assert "none of 1 pictures can be opened; first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: f"doctor/{name}",
        lambda name: name.replace("/", "\\"),
    ],
    ids=["as it was", "its folder", "Windows"],
)
def test_a_zip_that_was_unpacked_and_zipped_again_opens(tmp_path, rename):
    """Finder adds __MACOSX and .DS_Store."""
    files = {rename("comparison.json"): b"{}", "__MACOSX/._comparison.json": b"x", rename(".DS_Store"): b"x"}
    for side in archive.SIDES:
        files[rename(f"{side}/0000.png")] = b"x"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    out = tmp_path / "out"
    out.mkdir()
    with zipfile.ZipFile(tmp_path / "x.zip") as made:
        archive.extract(made, out, "x.zip")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "baseline/0000.png",
        "comparison.json",
        "debiased/0000.png",
    ]
