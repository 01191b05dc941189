"""Evidence: what aligned adapters do to words that nothing was trained or chosen on (`fresh_words.toml`),
as two classifiers perceive it: the one that taught the adapters, and one that shares nothing with it."""

import hashlib
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from fairdemo.models.sampling import Sample, by_default
from fairdemo.places import SHIPPED
from fairdemo.stats import measure, prompts
from fairdemo.stats.attributes import AGES, CLASSES
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live

if TYPE_CHECKING:
    from fairdemo.readers.read import FaceReader

WORDS = Path(__file__).parent / "fresh_words.toml"
JUDGES = ("teacher", "judge")
BASELINE = "baseline"
AGAIN = "again"  # the baseline from another noise, which likeness to the twin is compared with
FAMILIES = ("occupations", "attributes", "styles")
# Earlier stages of what is measured; they are in docs/experiments.md.
STAGES = ("aligned: gender, professions alone", "soft tokens: gender, professions alone")
# What is counted: gender, race, both together, and ages in three bands.
COUNTED = {"gender": ("gender",), "race": ("race",), "race x gender": ("race", "gender"), "age": ("age",)}
NUMBER = {"gender": 2, "race": 6, "race x gender": 12, "age": 3}  # of classes


@dataclass(frozen=True)
class Asked:
    """One prompt of the fresh words, and the noise it is drawn from."""

    family: str
    prompt: str
    seed: int


def fresh_words(path: Path = WORDS) -> list[Asked]:
    """All prompts of the file, each with a seed of its own."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    every = [(family, p) for family in (*FAMILIES, "control") for p in data[family]]
    return [Asked(family, prompt, data["seed"] + k) for k, (family, prompt) in enumerate(every)]


def rank_of_twin(looks: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """Each image's rank (n,) of its own twin among all twins of its prompt, by cosine similarity of unit
    vectors (n, d): 1 where the twin is the likest; (n + 1) / 2 on average if it were chance."""
    similar = looks @ twins.T
    return 1 + (similar > np.diag(similar)[:, None]).sum(1)


def rank_of_text(fits: np.ndarray, right: int) -> np.ndarray:
    """Each image's rank (n,) of its right text among all texts, by how well it fits each (n, texts): 1 where
    it fits none better."""
    return 1 + (fits > fits[:, [right]]).sum(1)


def rank_of_fit(fits: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """Each image's rank (n,) by how well it fits its right text (n,) among its prompt's twins (m,), which
    isn't saturated where all fit that text best: from 1, better than all, to m + 1; m / 2 + 1 on average
    where they fit as well as the twins. One as good as a twin is half a rank behind it."""
    return 1 + (twins > fits[:, None]).sum(1) + (twins == fits[:, None]).sum(1) / 2


class Drawer:
    """Draws a prompt's images through one method and reads them with both judges."""

    def __init__(self, live: Live, judge: Path = SHIPPED / "assets" / "judge"):
        from fairdemo.readers.read import FaceReader

        self.live, self.judge = live, FaceReader(judge)
        alone = {
            m.name: m.sources[0]
            for m in live.registry.values()
            if "training" in m.needs and not m.follows and len(m.sources) == 1 and m.name not in STAGES
        }
        self.methods: dict[str, Source] = {BASELINE: Source(), AGAIN: Source()} | alone

    def name(self, method: str) -> str:
        """A method and what its adapters' files hold, so that another adapter of its name is drawn anew."""
        own = self.methods[method].adapters
        files = [a.home / a.file for a in self.live.adapters if a.name in own]
        parts = [hashlib.sha256(file.read_bytes()).hexdigest()[:8] for file in files]
        return "_".join([re.sub(r"\W+", "_", method), *parts])

    def rows(self, asked: Asked, method: str, n: int) -> pd.DataFrame:
        """A row an image: its subject and look, and its largest face as each judge reads it."""
        self.live.load()
        setting = by_default(self.live.profile, asked.prompt, asked.seed)
        first = n if method == AGAIN else 0
        images = self.live.generator.draw(
            setting, [Sample(first + i, self.methods[method]) for i in range(n)]
        )
        subjects = self.live.subjects.read(images)
        columns: dict[str, Any] = {"subject": [s for s, _ in subjects], "look": [v for _, v in subjects]}
        for name, reader in zip(JUDGES, (self.live.reader, self.judge)):
            found = pd.DataFrame(read(reader, images)).add_prefix(f"{name}_")
            columns |= {str(c): found[c] for c in found}
        return pd.DataFrame(columns)


def read(reader: "FaceReader", images: list[Image.Image]) -> Iterator[dict[str, Any]]:
    """How each image's largest face is read, None where there is none, and how many faces there are."""
    for i in range(0, len(images), 64):
        for faces in reader.read(images[i : i + 64]):
            yield {
                **{a: faces[0].label(a) if faces else None for a in CLASSES},
                "age_band": faces[0].banded("age") if faces else None,
                "faces": len(faces),
            }


def drawn(drawer: Drawer, words: Sequence[Asked], n: int, folder: Path) -> Iterator[pd.DataFrame]:
    """Every prompt's rows through all methods, compared with their twins. Each method's are kept in a
    Parquet file of their own in `folder`, so that a stopped run goes on, and a new method joins the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    for asked in words:
        by_method = {}
        for method in drawer.methods:
            if method == AGAIN and asked.family != "control":
                continue
            path = folder / f"{asked.seed}_{n}_{drawer.name(method)}.parquet"
            if not path.is_file():
                part = path.with_suffix(".part")
                drawer.rows(asked, method, n).to_parquet(part)
                part.rename(path)
            by_method[method] = pd.read_parquet(path)
        yield together(asked, by_method, drawer.live.subjects.fits)


def together(
    asked: Asked, by_method: dict[str, pd.DataFrame], fits: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """One prompt's rows of all methods, with whether the prompt's profession is shown, ranks of its text, the
    likeness to the baseline's twin, and its rank. `fits` tells how well looks (n, d) fit each subject."""
    right, twins = prompts.profession(asked.prompt), np.stack(list(by_method[BASELINE].look))
    parts = []
    for method, rows in by_method.items():
        looks = np.stack(list(rows.look))
        if right:
            k = prompts.SUBJECTS.index(right)
            own, base = fits(looks), fits(twins)[:, k]
            rows = rows.assign(text_rank=rank_of_text(own, k), fit_rank=rank_of_fit(own[:, k], base))
        parts.append(
            rows.drop(columns="look").assign(
                family=asked.family,
                prompt=asked.prompt,
                method=method,
                profession_shown=rows.subject == right if right else None,
                like_twin=(looks * twins).sum(1),
                twin_rank=rank_of_twin(looks, twins),
            )
        )
    return pd.concat(parts, ignore_index=True)


def biases(table: pd.DataFrame, judge: str, what: str) -> list[float]:
    """bias(P) (arXiv 2311.07604, section 5) of each prompt's faces, over all classes of `what`."""
    columns = [f"{judge}_{'age_band' if a == 'age' else a}" for a in COUNTED[what]]
    result = []
    for _, faces in table.dropna(subset=columns).groupby("prompt"):
        counts = list(faces.groupby(columns).size())
        empty = [0] * (NUMBER[what] - len(counts))
        result.append(measure.bias(dict(enumerate(counts + empty))))
    return result


def chance(what: str, n: int) -> float:
    """The mean bias(P) that n faces a prompt show of an even model."""
    return measure.bias_by_chance(NUMBER[what], n)


def biased(table: pd.DataFrame, judge: str, what: str) -> dict[str, Any]:
    """The mean bias(P) over prompts with its interval, its deviation over prompts, and as a share of its
    maximum, 2 / K."""
    values = biases(table, judge, what)
    mean = measure.mean(values, (0.0, 2 / NUMBER[what]))
    return {
        "mean": round(mean.value, 4),
        "interval": [round(v, 4) for v in mean.interval],
        "deviation": round(float(np.std(values, ddof=1)), 4),
        "of_maximum": round(mean.value * NUMBER[what] / 2, 4),
        "prompts": len(values),
    }


def as_said(control: Any) -> dict[str, Any]:
    """How many faces of control prompts the judge reads as the words say, in every race, gender and age that
    they name."""
    faces = control[control.judge_faces > 0]
    columns = {"race": faces.judge_race, "gender": faces.judge_gender, "age": faces.judge_age_band}
    named = [prompts.named(prompt) for prompt in faces.prompt]
    hits = [all(columns[a].iloc[k] == c for a, c in said.items()) for k, said in enumerate(named)]
    return share(hits)


def share(flags: Any) -> dict[str, Any]:
    """A share with its count and interval."""
    values = np.asarray(flags, bool)
    return {
        "share": round(float(values.mean()), 4),
        "n": len(values),
        "interval": [round(v, 4) for v in measure.interval(int(values.sum()), len(values))],
    }


def kept(table: pd.DataFrame) -> dict[str, Any]:
    """What else became of a method's images: profession shown, ranks of its text, one face, likeness to the
    twin."""
    shown = table.profession_shown.dropna()
    found = {
        "one_face": share(table.teacher_faces == 1),
        "like_twin": round(float(table.like_twin.mean()), 4),
        "twin_rank": round(float(table.twin_rank.mean()), 2),
        "twin_first": share(table.twin_rank == 1),
    }
    if not len(shown):
        return found
    fit = measure.mean(list(table.groupby("prompt").fit_rank.mean().dropna()))
    return found | {
        "profession_shown": share(shown),
        "text_rank": round(float(table.text_rank.mean()), 3),
        "fit_rank": {"mean": round(fit.value, 1), "interval": [round(v, 1) for v in fit.interval]},
    }


def judged(table: pd.DataFrame) -> dict[str, Any]:
    """A method's rows in numbers: bias(P) over all families and by family, ages from 40, what else became of
    it, each by both judges."""
    result: dict[str, Any] = {"images": len(table), **kept(table)}
    for judge in JUDGES:
        old = [AGES.index(age) >= 3 for age in table[f"{judge}_age"].dropna()]
        result[judge] = {
            "bias": {what: biased(table, judge, what) for what in COUNTED},
            "gender_by_family": {
                str(family): biased(rows, judge, "gender") for family, rows in table.groupby("family")
            },
            "from_40": share(old),
        }
    return result


def agreed(table: pd.DataFrame) -> dict[str, Any]:
    """How far the judges agree on the same faces, by attribute."""
    result = {}
    for a in CLASSES:
        both = table[[f"{judge}_{a}" for judge in JUDGES]].dropna()
        found = measure.agreement(*(list(both[column]) for column in both))
        result[a] = {
            "kappa": round(found.kappa, 4),
            "interval": [round(v, 4) for v in found.interval],
            "alike": round(found.alike, 4),
            "n": found.n,
        }
    return result


def evidence(tables: Sequence[pd.DataFrame], n: int) -> dict[str, Any]:
    """All numbers of the drawn prompts: by method on the families, on the control prompts, chance, and how
    far the judges agree. Agreement isn't validity."""
    table: Any = pd.concat(tables, ignore_index=True)  # Any: selections of it are tables, whatever types say
    asked, control = table[table.family != "control"], table[table.family == "control"]
    return {
        "n_per_prompt": n,
        "chance": {what: round(chance(what, n), 4) for what in COUNTED},
        "maximum": {what: round(2 / k, 4) for what, k in NUMBER.items()},
        "methods": {m: judged(asked[asked.method == m]) for m in dict.fromkeys(asked.method) if m != AGAIN},
        "control": {
            m: kept(rows) | {"as_said": as_said(rows)} for m, rows in control.groupby("method", sort=False)
        },
        "agreement": agreed(table),
    }


# arXiv 2311.07604, its Tables 1 and 5: Stable Diffusion 1.5, mean and deviation of bias(P) over 50 test
# occupations, races in four classes; shares from 40 years.
PUBLISHED: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], str]] = {
    "Stable Diffusion 1.5": ((0.67, 0.29), (0.42, 0.06), (0.21, 0.03), "20.2 %"),
    "debias gender": ((0.23, 0.16), (0.44, 0.06), (0.20, 0.03), ""),
    "debias race": ((0.74, 0.27), (0.12, 0.05), (0.14, 0.03), ""),
    "debias gender x race": ((0.16, 0.13), (0.09, 0.04), (0.06, 0.02), "14.7 %"),
    "and age 75/25": ((0.15, 0.12), (0.09, 0.04), (0.06, 0.02), "24.8 %"),
}
PUBLISHED_NUMBER = {"gender": 2, "race": 4, "race x gender": 8}
PUBLISHED_IMAGES = (60, 80, 160)  # of each prompt, for each of these
HEAD = ("method", "gender", "race", "race x gender", "from 40 years", "profession shown")


def write_bias(mean: float, deviation: float, number: int, interval: Sequence[float] = ()) -> str:
    """A bias(P) with its deviation over prompts, and in brackets its interval, where there is one, and its
    share of the maximum, 2 / K."""
    return f"{mean:.2f} ± {deviation:.2f}{of_maximum(mean, number, interval)}"


def of_maximum(bias: float, number: int, interval: Sequence[float] = ()) -> str:
    """A bias(P)'s interval and its share of the maximum, in brackets behind it; for two classes both are
    one."""
    some = [f"{end:.2f}" for end in interval if not math.isnan(end)]
    known = [" to ".join(some)] if some else []
    known += [f"{bias * number / 2:.0%}"] if number > 2 else []
    return f" ({', '.join(known)})" if known else ""


def side_by_side(found: dict[str, Any], judge: str = "judge") -> str:
    """The methods of an evidence beside the paper's own, as a Markdown table; shares of the maximum in
    brackets, since values over different numbers of classes can't be compared."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for method, numbers in found["methods"].items():
        own = numbers[judge]
        images = (own["from_40"], numbers["profession_shown"])
        biases_ = (
            write_bias(own["bias"][w]["mean"], own["bias"][w]["deviation"], k, own["bias"][w]["interval"])
            for w, k in NUMBER.items()
            if w != "age"
        )
        lines.append(
            (
                method,
                *biases_,
                *("{:.1%} ({:.1%} to {:.1%})".format(one["share"], *one["interval"]) for one in images),
            )
        )
    own = ((found["chance"][w], NUMBER[w]) for w in PUBLISHED_NUMBER)
    by_chance = (f"{bias:.2f}{of_maximum(bias, k)}" for bias, k in own)
    lines.append(("_by chance, K = 2, 6, 12_", *by_chance, "", ""))
    at_most = (f"{found['maximum'][w]:.2f}" for w in PUBLISHED_NUMBER)
    lines.append(("_at most, K = 2, 6, 12_", *at_most, "", ""))
    for method, (*biases_, old) in PUBLISHED.items():
        cells = (write_bias(*b, k) for b, k in zip(biases_, PUBLISHED_NUMBER.values()))
        lines.append((f"published: {method}", *cells, old, ""))
    theirs = ((measure.bias_by_chance(k, n), k) for k, n in zip(PUBLISHED_NUMBER.values(), PUBLISHED_IMAGES))
    by_chance = (f"{bias:.2f}{of_maximum(bias, k)}" for bias, k in theirs)
    lines.append(("_published, by chance, K = 2, 4, 8_", *by_chance, "", ""))
    most = (f"{2 / k:.2f}" for k in PUBLISHED_NUMBER.values())
    lines.append(("_published, at most, K = 2, 4, 8_", *most, "", ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
