"""Checks the rows of a study's folder: every file opens and is whole, no image is there twice, and each row
is of the study."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fairdemo.audit import rows
from fairdemo.audit.run import STUDY
from fairdemo.audit.study import Study


def study_of(folder: Path) -> Study:
    """The study that a folder holds; ValueError if it holds none."""
    path = folder / STUDY
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} holds no study; expected a folder that `audit run` made")
    try:
        return Study.model_validate_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {str(error).splitlines()[0]}") from None


def faults(folder: Path) -> list[str]:
    """What is wrong with a folder's rows, each in a line that names the file."""
    found, seen = [], {}
    for name in sorted(rows.finished(folder)):
        path = folder / rows.FOLDER / f"{name}.parquet"
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            found.append(f"{path.name} is damaged: {str(error).splitlines()[0]}")
            continue
        if table.schema.names != rows.SCHEMA.names:
            found.append(f"{path.name} has other columns than rows have")
            continue
        ids = table.column("id").to_pylist()
        if ids != [f"{name}-{k:03d}" for k in range(len(ids))]:
            found.append(f"{path.name} holds rows of another shard")
        keys = zip(*(table.column(c).to_pylist() for c in ("origin", "prompt", "slot")))
        for key in keys:
            if key in seen:
                found.append(
                    f"{path.name} has an image that {seen[key]} has: {key[1]!r}, {key[0]}, slot {key[2]}"
                )
                break
            seen[key] = path.name
    return found


def told(folder: Path) -> list[str]:
    """What a folder holds, in lines; ValueError with everything that is wrong."""
    study = study_of(folder)
    if wrong := faults(folder):
        raise ValueError("\n".join(wrong))
    table = rows.read(folder, columns=["origin", "prompt", "faces"])
    lines = [
        f"{table.prompt.nunique()} prompts, {len(study.origins)} origins; {len(table):,} images, all whole."
    ]
    for origin, own in table.groupby("origin"):
        none = int((own.faces == 0).sum())
        lines.append(
            f"{origin}: {own.prompt.nunique()} prompts, {len(own):,} images, {none:,} without a face"
        )
    return lines
