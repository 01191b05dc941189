"""A study summed up: its findings, and its rows without embeddings and images. It is small enough to be
shipped and to be opened at once, and holds all that a report says."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from fairdemo import places
from fairdemo.audit import folders, in_set, known, painter, rows, set_rows
from fairdemo.audit.findings import OLD, Findings, Known, Seen, of, seen
from fairdemo.audit.in_set import InSet
from fairdemo.audit.run import STUDY, study_in
from fairdemo.audit.study import FOLDER, PROFILE, Origin, Study
from fairdemo.stats.confusions import Confusions

FINDINGS, ROWS, ALIKE = "findings.json", "rows.parquet", "alike.parquet"
IN_SET = "set.json"
AUDITS, DATA_SETS = "audit", "data"  # what summaries are of, and their shelves
COLUMNS = [c for c in rows.SET_SCHEMA.names if c not in ("image", "box")]
# What follows from others (`id`, `seen`, what was wanted) or nobody asks a summary for.
LEFT_OUT = ["id", "seen", "look", "wanted_race", "wanted_gender", "wanted_age", "detection"]


@dataclass(frozen=True)
class Summary:
    """A study, what was found, and where its rows are."""

    folder: Path
    study: Study
    found: Findings
    in_set: InSet | None  # of captioned sets

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row an image, without embeddings."""
        return pd.read_parquet(self.folder / ROWS)

    def cell(self, origin: str, prompt: str, group: str) -> pd.DataFrame:
        """The rows behind a cell of the map: of a prompt's images from an origin those of a group ("women",
        a race, "from 40"), in the order of their slots."""
        own: Any = set_rows.kept(self.rows, self.study)
        own = own[(own.origin == origin) & (own.prompt == prompt) & (own.faces > 0)]
        return own[in_group(own, group)].sort_values("slot")


def in_group(faces: Any, group: str) -> Any:
    """Which faces are of a group of the map."""
    if group == "women":
        return faces.gender == "Female"
    return faces.age.isin(OLD) if group == "from 40" else faces.race == group


def seen_in(folder: Path) -> tuple[Study, Seen]:
    """A study and its rows summed up, from the folder of a run or of a summary; ValueError if it holds none,
    or no rows."""
    study = study_in(folder)
    if (folder / ROWS).is_file():
        return study, Seen(pd.read_parquet(folder / ROWS), pd.read_parquet(folder / ALIKE))
    table = rows.read(folder, columns=COLUMNS)
    if not len(table):
        raise ValueError(f"{str(folder)!r} has no rows yet; run the study first")
    if table.duplicated(["origin", "prompt", "slot"]).any():
        raise ValueError(f"{str(folder)!r} has images twice; python -m fairdemo audit check says which")
    return study, seen(table, study)


def found_in(folder: Path) -> tuple[Study, Seen, Findings]:
    """A study, its rows summed up, and its findings, from the folder of a run or of a summary."""
    study, summed = seen_in(folder)
    return study, summed, of(summed, study, known_of(study))


def known_of(study: Study) -> Known:
    """What is known beside a study's rows."""
    confusions = {o.name: confusions_of(o, study.reader) for o in study.origins}
    trained = {o.name: known.women(o.model) for o in study.origins if o.kind == PROFILE}
    shares = {o.name: folders.truth(o.model) for o in study.origins if o.kind == FOLDER}
    return Known(confusions, trained, shares)


def confusions_of(origin: Origin, reader: str) -> Confusions:
    """How an origin's classifier reads each class. Errors on generated faces say nothing of photographs and
    drawings."""
    if origin.kind == PROFILE:
        return painter.live(origin.model).confusions
    return Confusions(painter.live(reader).confusions.known)


def write(folder: Path, out: Path) -> Path:
    """Sums up a run's folder into the folder `out`; ValueError if that holds another study."""
    study, summed, found = found_in(folder)
    if (out / STUDY).is_file() and study_in(out) != study:
        raise ValueError(f"{str(out)!r} holds another study; name a new folder")
    table = summed.rows.drop(columns=LEFT_OUT, errors="ignore").sort_values(["origin", "prompt", "slot"])
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in ((ROWS, table), (ALIKE, summed.alike)):
        whole = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(whole, out / name, compression="zstd", compression_level=19)
    if study.data:
        of_set = in_set.of(summed.rows, study, known_of(study))
        places.replace(out / IN_SET, to_json(of_set))
    places.replace(out / FINDINGS, to_json(found))
    places.replace(out / STUDY, study.model_dump_json(indent=1))
    return out


def to_json(found: Findings | InSet) -> str:
    """Findings as JSON. What isn't known is the text "NaN", since JSON has no such number."""

    def strict(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strict(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [strict(one) for one in value]
        return "NaN" if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(strict(asdict(found)), default=sorted, allow_nan=False)


def opened(folder: Path) -> Summary:
    """A summary; ValueError says what is wrong with it."""
    study = study_in(folder)
    try:
        found = TypeAdapter(Findings).validate_python(
            json.loads((folder / FINDINGS).read_text(encoding="utf-8"))
        )
        held_ = json.loads((folder / IN_SET).read_text(encoding="utf-8")) if study.data else None
        of_set = TypeAdapter(InSet).validate_python(held_) if held_ else None
    except (OSError, ValidationError, ValueError):
        raise ValueError(
            f"{str(folder)!r} holds no summary, or an older one; python -m fairdemo audit show makes it"
        ) from None
    return Summary(folder, study, found, of_set)


def offered(shelf: str = AUDITS) -> dict[str, Path]:
    """Summaries by name, of `AUDITS` or `DATA_SETS`: those that come with the program, then one's own."""
    shipped = places.SHIPPED / "assets" / shelf
    return {name: path for place in (shipped, own(shelf)) for name, path in held(place)}


def own(shelf: str) -> Path:
    """Where one's own summaries are."""
    return places.home() / {AUDITS: "audits", DATA_SETS: "data"}[shelf]


def held(place: Path) -> Sequence[tuple[str, Path]]:
    """The summaries in a folder, by name."""
    return [(path.parent.name, path.parent) for path in sorted(place.glob(f"*/{FINDINGS}"))]
