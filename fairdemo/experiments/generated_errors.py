"""How the classifiers err on generated faces, as far as that can be known without the truth: people whose
race and gender the prompt names, read by both classifiers, and what the three have in common; people whom a
prompt leaves open, and how often the two differ."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from fairdemo.experiments.evidence import JUDGES, share
from fairdemo.models.sampling import Sample, by_default
from fairdemo.places import SHIPPED
from fairdemo.readers.read import FaceReader
from fairdemo.stats import measure, wording
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.stats.confusions import Confusion
from fairdemo.stats.latent_class import LatentClasses, fit_error_scale, fit_latent_classes
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import Live

SEED, NOISES = 9_400_000, 4
NAMED = {"race": RACES, "gender": GENDERS}  # what the prompts name


def draw_named(live: Live, folder: Path, noises: int = NOISES) -> pd.DataFrame:
    """A row a generated person of every profession, race and gender: who the prompt names (`named_race`),
    and how each classifier reads the largest face (`teacher_race`, finer as `teacher_reading_race`). Each
    profession is kept in a file of its own in `folder`, so that a stopped run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    readers, tables = (live.reader, FaceReader(SHIPPED / "assets" / "judge")), []
    for k, profession in enumerate(tqdm(PROFESSIONS, desc="drawing people whom the prompt names")):
        path = folder / f"{k:02d}_{noises}.parquet"
        if not path.is_file():
            rows = []
            for race in RACES:
                for gender in GENDERS:
                    prompt = wording.written(photo_of(profession), (race, gender))
                    setting = by_default(live.profile, prompt, SEED + k)
                    images = live.generator.draw(setting, [Sample(i) for i in range(noises)])
                    read = [reader.read(images) for reader in readers]
                    for faces in zip(*read):
                        if all(faces):
                            rows.append(
                                {"prompt": prompt, "named_race": race, "named_gender": gender}
                                | {
                                    f"{judge}_{what}{a}": getattr(own[0], how)(a)
                                    for judge, own in zip(JUDGES, faces)
                                    for what, how in (("", "label"), ("reading_", "reading"))
                                    for a in NAMED
                                }
                            )
            pd.DataFrame(rows).to_parquet(path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
        tables.append(pd.read_parquet(path))
    return pd.concat(tables, ignore_index=True)


def fit_errors(table: pd.DataFrame, attribute: str) -> tuple[list[str], LatentClasses]:
    """The first classifier's readings, and the classes behind its readings, the second's labels and the
    prompt's words."""
    classes = NAMED[attribute]
    readings = sorted(set(table[f"{JUDGES[0]}_reading_{attribute}"]))
    counts = np.zeros((len(readings), len(classes), len(classes)))
    columns = (f"{JUDGES[0]}_reading_{attribute}", f"{JUDGES[1]}_{attribute}", f"named_{attribute}")
    for own, other, named in zip(*(table[c] for c in columns)):
        counts[readings.index(own), classes.index(other), classes.index(named)] += 1
    return readings, fit_latent_classes(counts)


def error_of(confusion: Mapping[str, Mapping[str, float]]) -> float:
    """The share of faces that are read as another class, classes weighing alike."""
    right = [
        sum(k for r, k in row.items() if measure.label(r) == c) / sum(row.values())
        for c, row in confusion.items()
    ]
    return 1 - float(np.mean(right))


def as_law(confusion: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> np.ndarray:
    """How each class is labelled (K, K), rows that sum to one, half a face a class spread over all labels."""
    counts = np.full((len(classes), len(classes)), 0.5 / len(classes))
    for i, c in enumerate(classes):
        for reading, k in confusion[c].items():
            counts[i, classes.index(measure.label(reading))] += k
    return counts / counts.sum(1, keepdims=True)


def scale_confusion(
    confusion: Mapping[str, Mapping[str, float]], scale: float
) -> dict[str, dict[str, float]]:
    """A confusion with every wrong reading `scale` times as frequent, among as many faces."""
    found = {}
    for c, row in confusion.items():
        n, wrong = sum(row.values()), sum(k for r, k in row.items() if measure.label(r) != c)
        own = min(scale, 0.95 * n / wrong) if wrong else 1.0
        rest = (n - own * wrong) / (n - wrong)
        found[c] = {r: round(k * (rest if measure.label(r) == c else own), 2) for r, k in row.items()}
    return found


def fit_named(table: pd.DataFrame, known: Mapping[str, Any], attribute: str) -> dict[str, Any]:
    """How often each reader, and the words, are wrong of people whom a prompt names."""
    classes = NAMED[attribute]
    readings, fitted = fit_errors(table, attribute)
    names = (readings, classes, classes)
    rows = [
        {c: dict(zip(own, row)) for c, row in zip(classes, found)}
        for own, found in zip(names, fitted.readings)
    ]
    return {
        "read_differently": count_apart(table, attribute),
        "error_on_portraits": round(error_of(known[attribute]), 4),
        **{
            f"error_of_{who}": round(error_of(r), 4) for who, r in zip(("classifier", "judge", "words"), rows)
        },
    }


def count_apart(table: pd.DataFrame, attribute: str) -> dict[str, Any]:
    """How many faces the two read as different classes."""
    one, other = (table[f"{judge}_{attribute}"] for judge in JUDGES)
    return share((one != other).to_numpy())


def measure_errors(live: Live, named: pd.DataFrame, unnamed: pd.DataFrame, out: Path) -> dict[str, Any]:
    """Fits the errors on generated faces: of people whom prompts name, by both readings and the words; of
    those whom prompts leave open (`unnamed`), by both readings and one factor on the errors that each makes
    on portraits. The first classifier's portraits, with errors by that factor, go to `out`."""
    known = live.confusions.known
    other = json.loads((SHIPPED / "assets" / "judge" / "confusion.json").read_text(encoding="utf-8"))
    estimated: Confusion = {}
    found: dict[str, Any] = {"prompts_that_name": int(named.prompt.nunique())}
    for a, classes in NAMED.items():
        both: Any = unnamed.dropna(subset=[f"{judge}_{a}" for judge in JUDGES])
        seen = pd.crosstab(*(both[f"{judge}_{a}"] for judge in JUDGES))
        seen = seen.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
        scale = fit_error_scale(seen, *(as_law(one[a], classes) for one in (known, other)))
        estimated[a] = scale_confusion(known[a], scale.value)
        found[a] = {
            "named": fit_named(named, known, a),
            "unnamed": {
                "read_differently": count_apart(both, a),
                "error_scale": round(scale.value, 2),
                "interval": [round(v, 2) for v in scale.interval],
                "n": scale.n,
                "error_of_classifier": round(error_of(estimated[a]), 4),
            },
        }
    out.write_text(json.dumps(estimated, indent=1) + "\n", encoding="utf-8")
    return found
