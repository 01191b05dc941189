"""A study's rows as a dataset that others can open: Parquet that the Hub's viewer shows, with a card. Its
table is all that `findings.of` needs, so that everybody can make the report's numbers again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, List, Value

from fairdemo.audit import check, rows
from fairdemo.audit.run import STUDY, study_in
from fairdemo.audit.study import FOLDER
from fairdemo.models import hub
from fairdemo.stats.attributes import CLASSES, TARGET_CLASSES

GROUP = 100  # rows of a row group: the viewer reads one at a time
CARD = """---
license: cc-by-4.0
tags:
- fairness
- text-to-image
- synthetic
configs:
- config_name: default
  data_files: data/*.parquet
---

# An audit of text-to-image models

{images:,} images of {prompts} prompts: {origins}. {people}

Race, gender and age are **as perceived by a classifier**, which errs; a face doesn't say who somebody is,
and two genders and six races leave people out. An image without a face has no labels; it is kept, and counts
nowhere.

Each row is an image: what it was asked with (`prompt`, and `seen`, as changed for it), what drew it
(`origin`, `source`), its noise (`seed`, `slot`: equal ones of one model are
twins), what was read
(`race`, `gender`, `age` with probabilities, `box`, `embedding`, `subject`).{kept}

```python
from pathlib import Path
from fairdemo.audit import dataset, findings, run
study = run.study_in(Path("."))
found = findings.of(findings.seen(dataset.opened(Path(".")), study), study, findings.Known())
```

The study: `{study}`
"""


def features(images: bool) -> Features:
    """The columns as `datasets` knows them."""
    kinds: dict[str, Any] = {}
    for field in rows.SCHEMA:
        if field.name in CLASSES:
            kinds[field.name] = ClassLabel(names=list(CLASSES[field.name]))
        elif field.name.removeprefix("wanted_") in TARGET_CLASSES and field.name.startswith("wanted_"):
            kinds[field.name] = ClassLabel(names=list(TARGET_CLASSES[field.name.removeprefix("wanted_")]))
        elif pa.types.is_list(field.type):
            kinds[field.name] = List(Value("float32"))
        elif field.name != "image":
            kinds[field.name] = Value(str(field.type))
    return Features({**kinds, "image": Image()} if images else kinds)


def write(folder: Path, out: Path) -> Path:
    """A study's folder as a dataset in the new folder `out`; ValueError if it has no rows, or damaged
    ones."""
    asked = study_in(folder)
    if asked.data:
        raise ValueError(
            f"{str(folder)!r} is of captioned images; who is in them wasn't asked, so their rows aren't"
            " published"
        )
    if wrong := check.faults(folder):
        raise ValueError("\n".join(wrong))
    if out.exists():
        raise ValueError(f"{str(out)!r} exists already; name a new folder")
    table = rows.read(folder)
    if not len(table):
        raise ValueError(f"{str(folder)!r} has no rows yet; run the study first")
    (out / "data").mkdir(parents=True)
    images = bool(table.image.notna().any())
    for k, (_, own) in enumerate(table.groupby("origin", sort=False)):
        whole = pa.Table.from_pylist(list(encoded(own, images)), features(images).arrow_schema)
        path = out / "data" / f"{k:03d}.parquet"
        pq.write_table(whole, path, row_group_size=GROUP, write_page_index=True, compression="zstd")
    # Where folders lie here is nobody's business; their names stay.
    asked = asked.model_copy(update={"folders": tuple(Path(f).name for f in asked.folders)})
    (out / STUDY).write_text(asked.model_dump_json(indent=1), encoding="utf-8")
    elsewhere = any(origin.kind == FOLDER for origin in asked.origins)
    kept = (
        " The image is in `image`."
        if images
        else " Images weren't kept; they are drawn again from their noise."
    )
    (out / "README.md").write_text(
        CARD.format(
            images=len(table),
            prompts=table.prompt.nunique(),
            origins="; ".join(dict.fromkeys(table.origin)),
            kept=kept,
            people=(
                "Images of folders are as their makers have them."
                if elsewhere
                else "Images are generated; a name in a prompt doesn't make one a picture of that person."
            ),
            study=asked.model_dump_json(exclude_defaults=True),
        ),
        encoding="utf-8",
    )
    return out


def encoded(table: pd.DataFrame, images: bool) -> Iterator[dict[str, Any]]:
    """Rows as `features` store them: labels as numbers, images as files."""
    labels = {k: v for k, v in features(images).items() if isinstance(v, ClassLabel)}
    for row in table.to_dict("records"):
        for name in ("dtype", "failed"):  # older rows don't say, and pandas has no text that isn't there
            row[name] = text if isinstance(text := row.get(name), str) else None
        row["seed"] = None if pd.isna(row["seed"]) else int(row["seed"])  # of images that know none
        for name, kind in labels.items():
            row[name] = kind.str2int(row[name]) if isinstance(row[name], str) else None
        if images:
            row["image"] = {"bytes": row["image"], "path": f"{row['id']}.webp"} if row["image"] else None
        else:
            row.pop("image")
        yield row


def opened(folder: Path) -> pd.DataFrame:
    """A dataset's table as `findings.of` takes it, labels as words again."""
    table = pd.concat([pd.read_parquet(path) for path in sorted((folder / "data").glob("*.parquet"))])
    for name, kind in features(False).items():
        if isinstance(kind, ClassLabel):
            table[name] = [None if pd.isna(v) else kind.int2str(int(v)) for v in table[name]]
    return table


def push(folder: Path, repository: str) -> None:
    """Uploads a study as a dataset of the Hub, owner/name, with the key of HF_TOKEN; ValueError says what is
    wrong."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as place:
        made = write(folder, Path(place) / "dataset")
        api = HfApi()
        try:
            api.create_repo(repository, repo_type="dataset", exist_ok=True)
            api.upload_folder(repo_id=repository, repo_type="dataset", folder_path=made)
        except Exception as error:  # the Hub's client and the network each raise their own kinds
            raise ValueError(hub.explain(error, f"dataset {repository!r}")) from error
