"""Checks the rows of a study's folder: every file opens and is whole, no image is there twice, and each row
is of the study."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fairdemo.audit import rows
from fairdemo.audit.run import series, study_in


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
        # Rows of earlier versions don't say their dtype, or what failed.
        names = {*table.schema.names, "dtype", "failed"}
        if names not in (set(rows.SCHEMA.names), set(rows.SET_SCHEMA.names)):
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
    study = study_in(folder)
    wrong, there = faults(folder), rows.finished(folder)
    wanted = series(study)
    names = {name for one in wanted for part in one.parts for name, _ in part}
    wrong += [f"{name}.parquet isn't of the study as it is now" for name in sorted(there - names)]
    if wrong:
        raise ValueError("\n".join(wrong))
    table = rows.read(folder, columns=["origin", "prompt", "faces"])
    most = sum(one.images(slice(None)) for one in wanted)
    lines = [
        f"{table.prompt.nunique()} prompts, {table.origin.nunique()} origins; {len(table):,} images of"
        f" {most:,} at most, all whole."
    ]
    for origin, own in table.groupby("origin"):
        none = int((own.faces == 0).sum())
        lines.append(
            f"{origin}: {own.prompt.nunique()} prompts, {len(own):,} images, {none:,} without a face"
        )
    return lines
