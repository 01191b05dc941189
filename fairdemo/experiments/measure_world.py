"""Measures the shipped embedded assets against what they should show; results go to
`assets/measured.json`."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, confusion_matrix
from tqdm import tqdm

from fairdemo.experiments import against_naive, crisper, generated_errors, methods_table
from fairdemo.experiments import evidence as fresh
from fairdemo.experiments.bars import missed, read_bars
from fairdemo.models.sampling import Sample, by_default
from fairdemo.pairs import SIDES, Drawn
from fairdemo.places import SHIPPED, made
from fairdemo.readers.vision import load_weights, to_tensor
from fairdemo.request import Request
from fairdemo.stats import measure
from fairdemo.stats.attributes import AGES, CLASSES
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, photo_of
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.training.looks import looks_of
from fairdemo.world import build, parts
from fairdemo.world.professions import SKEWS

MEASURED = made() / "assets" / "measured.json"
CONCEPTS = (
    "aligned: gender, professions alone",
    "aligned: gender",
    "soft tokens: gender, professions alone",
    "soft tokens: gender",
)


Route = tuple[str, ...]  # the adapters that an image is drawn through


class Bench:
    """The shipped model, adapters, classifier and parts checker, and images drawn with them."""

    def __init__(self, work: Path):
        self.work = work
        self.live = Live("embedded", "cpu")
        checker = SHIPPED / "assets/classifier/parts_checker.safetensors"
        self.checker = load_weights(parts.PartsChecker(), checker)

    def draw(self, prompt: str, wanted: list[tuple[int, Route]], seed: int = 1) -> list[Image.Image]:
        """Images for slots through routes."""
        return self.live.generator.draw(by_default(self.live.profile, prompt, seed), samples(wanted))

    def read(self, prompt: str, wanted: list[tuple[int, Route]], seed: int) -> list[Drawn]:
        """Images for slots through routes, and what is read in them."""
        return self.live.fresh(by_default(self.live.profile, prompt, seed), samples(wanted))


def samples(wanted: list[tuple[int, Route]]) -> list[Sample]:
    """Slots through routes, as a generator draws them."""
    return [Sample(slot, Source(route)) for slot, route in wanted]


def share(flags) -> dict[str, float | int | list[float]]:
    """A proportion with its count and 95 % interval."""
    flags = np.asarray(flags, bool)
    return {
        "share": round(float(flags.mean()), 4),
        "n": len(flags),
        "interval": [round(v, 4) for v in measure.interval(int(flags.sum()), len(flags))],
    }


def portraits(bench: Bench) -> dict:
    """1,000 drawn people: in how many MTCNN finds exactly one face."""
    _, images = build.portraits("test", bench.work)
    found = bench.live.reader.detector.detect([Image.fromarray(im) for im in images[:1000]])
    return {"one_face": share([len(f) == 1 for f in found])}


def checker(bench: Bench) -> dict:
    """The parts checker on held-out portraits, half of them damaged: how many it gets right, by damage."""
    _, images = build.portraits("test", bench.work)
    whole = parts.middle(images[:1000])
    rng = np.random.default_rng(3)
    right = list(parts.whole(bench.checker, images[:1000]))
    result = {"whole_right": share(right)}
    soft = build.reconstructed(bench.live.generator.pipeline.vae, images[:1000])
    result["whole_right_through_autoencoder"] = share(parts.whole(bench.checker, soft))
    for kind in parts.DAMAGES:
        broken = np.stack([parts.damage(p, kind, rng) for p in whole[:250]])
        with torch.no_grad():
            seen = (bench.checker(to_tensor(broken)) < 0).numpy()
        result[f"{kind}_right"] = share(seen)
        right += list(seen)
    broken = to_tensor(parts.spoiled(parts.middle(soft), 5))
    with torch.no_grad():
        result["damage_right_through_autoencoder"] = share((bench.checker(broken) < 0).numpy())
    return result | {"right": share(right)}


def subjects(bench: Bench) -> dict:
    """The subject reader on 1,000 portraits never seen: is the profession (or "person") the right one?"""
    table, images = build.portraits("test", bench.work)
    read = bench.live.subjects.read([Image.fromarray(im) for im in images[:1000]])
    return {"right": share([s == t for (s, _), t in zip(read, table.subject)])}


def classifier(bench: Bench) -> dict:
    """3,000 portraits never seen: how many are read right in gender, race and age, and within one age
    group."""
    table, images = build.portraits("test", bench.work)
    read, truth = build.read_faces(bench.live.reader, images), build.true_classes(table)
    seen = [(i, face) for i, face in enumerate(read) if face]
    result: dict = {"no_face": len(read) - len(seen), "n": len(seen)}
    for a, classes in CLASSES.items():
        true, said = [truth[a][i] for i, _ in seen], [face.label(a) for _, face in seen]
        used = classes[1:] if a == "age" else classes
        matrix = confusion_matrix(true, said, labels=used)
        result[a] = {
            "accuracy": round(accuracy_score(true, said), 4),
            "recall": {c: round(matrix[k, k] / matrix[k].sum(), 4) for k, c in enumerate(used)},
            "confusion": matrix.tolist(),
        }
        if a == "age":
            result[a]["within_one_group"] = round(
                float(np.mean([abs(AGES.index(t) - AGES.index(r)) <= 1 for t, r in zip(true, said)])), 4
            )
    return result


def faces(bench: Bench) -> dict:
    """32 professions x 8 images, baseline and each race x gender adapter, every profession with noise of
    its own: how many show one face, and are whole."""
    routes = [()] + [(a.name,) for a in bench.live.adapters if len(a.cell) == 2]
    one: dict[str, list[bool]] = {" ".join(r) or "baseline": [] for r in routes}
    whole: dict[str, list[bool]] = {name: [] for name in one}
    for k, profession in enumerate(tqdm(PROFESSIONS, desc="faces")):
        images = bench.draw(photo_of(profession), [(i, r) for r in routes for i in range(8)], seed=k)
        for flags, found in (
            (one, [len(f) == 1 for f in bench.live.reader.detector.detect(images)]),
            (whole, list(parts.whole(bench.checker, np.stack([np.asarray(im) for im in images])))),
        ):
            for j, name in enumerate(flags):
                flags[name] += found[8 * j : 8 * j + 8]
    return {
        name: {"all": share(sum(flags.values(), [])), **{r: share(f) for r, f in flags.items()}}
        for name, flags in (("one_face", one), ("whole", whole))
    }


def adapters(bench: Bench, n: int = 16) -> dict:
    """Each of the twelve adapters on the eight professions that it never saw, n images each, every
    profession with noise of its own: how many are read as its race and gender, both."""
    groups = [a for a in bench.live.adapters if len(a.cell) == 2]
    hits: dict[str, list[bool]] = {a.name: [] for a in groups}
    for seed, profession in enumerate(tqdm(build.HELD_OUT, desc="adapters")):
        read = bench.live.reader.read(
            bench.draw(photo_of(profession), [(i, (a.name,)) for a in groups for i in range(n)], seed)
        )
        for k, a in enumerate(groups):
            hits[a.name] += [
                bool(f) and (f[0].race, f[0].gender) == a.cell for f in read[n * k : n * (k + 1)]
            ]
    return {name: share(h) for name, h in hits.items()} | {
        "all": share([x for h in hits.values() for x in h])
    }


def learned_bias(bench: Bench, n: int = 100) -> dict:
    """Share of women by profession at the default guidance, corpus against generated (n images each): rank
    correlation, mean difference, and the mean distance from one half, generated over corpus."""
    corpus = np.array([SKEWS[p].women for p in PROFESSIONS])
    shares = []
    for seed, profession in enumerate(tqdm(PROFESSIONS, desc="learned bias")):
        read = bench.live.reader.read(bench.draw(photo_of(profession), [(i, ()) for i in range(n)], seed))
        counts = Counter(f[0].gender for f in read if f)
        shares.append(counts["Female"] / max(1, counts.total()))
    generated = np.array(shares)
    ranks: Any = spearmanr(corpus, generated)
    strength = np.abs(generated - 0.5).mean() / np.abs(corpus - 0.5).mean()
    return {
        "n_per_profession": n,
        "guidance": bench.live.profile.guidance,
        "rank_correlation": round(float(ranks.statistic), 4),
        "mean_difference": round(float(np.abs(corpus - generated).mean()), 4),
        "amplification": round(float(strength), 3),
        "women": {
            p: {"corpus": float(c), "generated": round(float(s), 3)}
            for p, c, s in zip(PROFESSIONS, corpus, generated)
        },
    }


def targets(bench: Bench, n: int = 240) -> dict:
    """Of "a photo of a doctor", n = 240: bias(P) of the baseline and of an even target, and the share of
    women where 70 % were wished."""
    result, studio = {}, Studio(bench.live)
    for name in ("uniform", "women 70"):
        request = Request.checked(prompt="a photo of a doctor", target=name, n=n, seed=3)
        plan = studio.plan(request)
        with tqdm(total=n, desc=name) as bar:
            for grown in studio.run(plan):
                bar.update(len(grown.pairs) - bar.n)
        found = plan.comparison.measures
        result[name] = {
            "bias": found.summary()["bias"],
            "no_face": {s: found.side(s).no_face for s in SIDES},
            "debiased_race": plan.comparison.counts("debiased")["race"],
            "women": {s: round(found.side(s).gender.classes["Female"].share, 4) for s in SIDES},
            "n": found.debiased.gender.n,
        }
    return result


def explicit(bench: Bench, n: int = 8) -> dict:
    """Prompts that name race, gender and age ("an old Black man"), at the baseline: how many images show
    each."""
    bands = {"young": ("20-29", "30-39"), "middle-aged": ("30-39", "40-49", "50-59"), "old": ("50-59", "60+")}
    hits: dict[str, list[bool]] = {a: [] for a in CLASSES}
    people = itertools.product(CLASSES["race"], (("Female", "woman"), ("Male", "man")), bands.items())
    for seed, (race, (gender, noun), (word, groups)) in enumerate(tqdm(list(people), desc="explicit")):
        for f in bench.live.reader.read(
            bench.draw(photo_of(f"{word} {race} {noun}"), [(i, ()) for i in range(n)], seed)
        ):
            hits["race"].append(bool(f) and f[0].race == race)
            hits["gender"].append(bool(f) and f[0].gender == gender)
            hits["age"].append(bool(f) and f[0].age in groups)
    return {a: share(h) for a, h in hits.items()} | {"age_groups_that_count": bands}


def drawn_through(
    bench: Bench, routes: list[tuple[str, ...]], prompt: str, seed: int, n: int
) -> list[list[Drawn]]:
    """n images of a prompt through each route, all from the same noise."""
    drawn = bench.read(prompt, [(i, route) for route in routes for i in range(n)], seed)
    return [drawn[n * k : n * (k + 1)] for k in range(len(routes))]


def mean_bias(walls: list[list[Drawn]], attribute: str) -> dict[str, float | int | list[float]]:
    """bias(P) of each prompt's images, averaged over prompts."""
    values = [
        measure.bias(
            {c: sum(d.faces[0].label(attribute) == c for d in wall if d.faces) for c in CLASSES[attribute]}
        )
        for wall in walls
    ]
    mean = measure.mean(values)
    return {"mean": round(mean.value, 4), "prompts": mean.n, "interval": [round(v, 4) for v in mean.interval]}


def aligned(bench: Bench, n: int = 64) -> dict:
    """Each adapter with a distribution in it, on the 16 professions and two prompt styles that it never saw
    (one style a profession in turn), n images a prompt, every prompt with noise of its own: mean bias(P)
    over prompts before and after (and what chance alone gives an even model), share of faces from 40 years,
    one face, the prompt's profession shown, and likeness to the frozen twin against that of two noises of
    the baseline."""
    routes = [(), *((a.name,) for a in bench.live.adapters if a.method and not a.cell)]
    seen: dict[tuple[str, ...], list[list[Drawn]]] = {route: [] for route in routes}
    again: list[list[Drawn]] = []
    prompts = [
        (p, photo_of(p) + (" reading", ", oil painting")[k % 2]) for k, p in enumerate(PROFESSIONS[1::2])
    ]
    for seed, (_, prompt) in enumerate(tqdm(prompts, desc="aligned")):
        for walls, wall in zip(seen.values(), drawn_through(bench, routes, prompt, 3000 + seed, n)):
            walls.append(wall)
        again += drawn_through(bench, [()], prompt, 4000 + seed, n)

    def likeness(some: list[list[Drawn]], others: list[list[Drawn]]) -> float:
        return round(
            float(np.mean([np.dot(a.look, b.look) for x, y in zip(some, others) for a, b in zip(x, y)])), 4
        )

    chance = {
        a: round(
            float(
                np.mean(
                    [
                        measure.bias(dict(enumerate(row)))
                        for row in np.random.default_rng(0).multinomial(
                            n, np.full(len(CLASSES[a]), 1 / len(CLASSES[a])), 4000
                        )
                    ]
                )
            ),
            4,
        )
        for a in ("gender", "race")
    }
    result: dict = {"n_per_prompt": n, "bias_by_chance": chance}
    for route, walls in seen.items():
        faces = [d.faces[0] for wall in walls for d in wall if d.faces]
        result[" ".join(route) or "baseline"] = {
            "gender_bias": mean_bias(walls, "gender"),
            "race_bias": mean_bias(walls, "race"),
            "women": share([f.gender == "Female" for f in faces]),
            "from_40": share([AGES.index(f.age) >= 3 for f in faces]),
            "one_face": share([len(d.faces) == 1 for wall in walls for d in wall]),
            "profession_shown": share(
                [d.subject == profession for (profession, _), wall in zip(prompts, walls) for d in wall]
            ),
            "like_twin": likeness(walls, again if not route else seen[()]),
        }
    return result


def concepts(bench: Bench, n: int = 64) -> dict:
    """Many concepts (arXiv 2311.07604, section 5): mean bias(P) for gender over two families of prompts,
    professions and attributes, of the baseline and of `CONCEPTS`: LoRA and soft tokens, each trained on the
    first family alone, and trained on with both; n images a prompt."""
    families = {
        "professions": [photo_of(p) for p in PROFESSIONS[0::4]],
        "attributes": [photo_of(f"{a} person") for a in ATTRIBUTES],
    }
    routes = [(), *((name,) for name in CONCEPTS)]
    result: dict = {" ".join(route) or "baseline": {} for route in routes}
    for family, prompts in families.items():
        by_prompt = [
            drawn_through(bench, routes, prompt, 6000 + seed, n)
            for seed, prompt in enumerate(tqdm(prompts, desc=family))
        ]
        for found, walls in zip(result.values(), zip(*by_prompt)):
            found[family] = mean_bias(list(walls), "gender")
    return {"n_per_prompt": n, **result}


def evidence(bench: Bench, n: int = 64) -> dict:
    """Aligned adapters on words, styles and contexts that nothing was trained or chosen on
    (`fresh_words.toml`), n images a prompt, by two judges: bias(P) for gender, race, both and age, with its
    deviation over prompts, share of its maximum and chance; from 40 years; profession shown; likeness to the
    twin, and its rank among the twins of all n noises; what becomes of prompts that say who is drawn; how far
    the judges agree, which isn't validity."""
    words = fresh.fresh_words()
    prompts = fresh.drawn(fresh.Drawer(bench.live), words, n, bench.work / "evidence")
    found = fresh.evidence(list(tqdm(prompts, total=len(words), desc="evidence")), n)
    print(fresh.side_by_side(found))
    return found


def methods(bench: Bench, n: int = 64, few: int = 16) -> dict:
    """Every method on eight of the fresh words, unsteered, wished even over race and gender, n images a
    prompt at the profile's guidance and `few` at 1 and 4: bias(P) for gender, race and both by two judges,
    with its share of the maximum and chance; distance to the wish; likeness within a race and gender, and
    distinct faces; whole faces, profession shown, rank of the twin among those of all noises; seconds
    against the baseline. bias(P) and likeness are drawn in docs/methods.png."""
    words = methods_table.chosen()
    table = methods_table.Table(bench.live, bench.checker, bench.work / "methods")
    result = {}
    for guidance, images in ((bench.live.profile.guidance, n), (1.0, few), (4.0, few)):
        drawn = table.drawn(words, images, guidance, table.methods)
        bar = tqdm(drawn, total=len(words), desc=f"methods, guidance {guidance:g}")
        result[f"guidance {guidance:g}"] = measured = methods_table.measured(list(bar), images)
        print(methods_table.as_markdown(measured))
    found = result[f"guidance {bench.live.profile.guidance:g}"]
    methods_table.picture(found).savefig(made() / "docs" / "methods.png", dpi=110)
    return result


FEW = 8  # images a prompt, of methods on many prompts
ALIGNED = ("aligned: gender", "aligned: gender, race", "aligned: gender, race, age 75/25")


def draw_fresh(bench: Bench, methods: Sequence[str], step: int = 1) -> list[pd.DataFrame]:
    """The images of methods, and of the baseline, on every `step`-th of the 48 fresh prompts that ask for
    nobody in particular."""
    words = [w for w in fresh.fresh_words() if w.family in fresh.FAMILIES][::step]
    table = methods_table.Table(bench.live, bench.checker, bench.work / "methods")
    drawn = table.drawn(words, FEW, bench.live.profile.guidance, (fresh.BASELINE, *methods))
    return list(tqdm(drawn, total=len(words), desc="fresh words"))


def authors(bench: Bench) -> dict:
    """The methods that were rewritten after their authors' code, on the 48 fresh prompts that ask for nobody
    in particular, eight images each at the profile's guidance: what `methods` has of the others."""
    found = methods_table.measured(draw_fresh(bench, methods_table.REWRITTEN), FEW)
    print(methods_table.as_markdown(found))
    return found


def varied(bench: Bench, n: int = 192) -> dict:
    """The adapters of varied faces (arXiv 2402.01002, SDXL-Div), "a photo of a <race> person", n images:
    cosine similarity of face embeddings within a race, against the baseline's and that of as many portraits
    of the wide corpus; the share of the gap between these two that is closed, its interval by resampling
    faces; faces found, race right, eyes, nose and mouth whole."""
    table: Any = build.TABLES["reference"]()
    table = table[table.groupby("race").cumcount() < n]
    portraits_ = build.drawn(table, f"reference_{n}_of_each_race", bench.work)
    result = {}
    for k, race in enumerate(tqdm(CLASSES["race"], desc="varied")):
        names = [a.name for a in bench.live.adapters if a.method and race in a.cell]
        prompt = photo_of(f"{race} person")
        wanted = [(i, ()) for i in range(n)] + [(i, (names[i % len(names)],)) for i in range(n)]
        drawn = bench.read(prompt, wanted, 5000 + k)
        halves = {"_baseline": drawn[:n], "": drawn[n:]}
        sides = [[d.faces[0] for d in half if d.faces] for half in halves.values()]
        wide = [
            f
            for f in build.read_faces(bench.live.reader, portraits_[np.flatnonzero(table.race == race)])
            if f
        ]
        vectors = [np.stack([f.embedding for f in some]) for some in (*sides, wide)]
        before, after, goal = (measure.likeness(v) for v in vectors)
        closed = [
            (b - a) / (b - w) for b, a, w in zip(*(resampled(v, seed) for seed, v in enumerate(vectors)))
        ]
        result[race] = {
            name: {"similarity": round(e.value, 4), "n": e.n, "interval": [round(v, 4) for v in e.interval]}
            for name, e in (("baseline", before), ("varied", after), ("wide corpus", goal))
        }
        result[race] |= {
            "gap_closed": round((before.value - after.value) / (before.value - goal.value), 4),
            "gap_closed_interval": [round(float(v), 4) for v in np.quantile(closed, [0.025, 0.975])],
            "face_found": share([bool(d.faces) for d in drawn[n:]]),
            **{
                f"race_right{which}": share([f.race == race for f in side])
                for which, side in zip(halves, sides)
            },
            **{
                f"whole{which}": share(
                    list(
                        parts.whole(
                            bench.checker, build.halved(np.stack([np.asarray(d.image) for d in half]))
                        )
                    )
                )
                for which, half in halves.items()
            },
        }
    return result


def resampled(vectors: np.ndarray, seed: int, times: int = 500) -> list[float]:
    """Mean similarity within resampled faces (n, d)."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(times):
        i = rng.integers(len(vectors), size=len(vectors))
        different = i[:, None] != i[None]
        values.append(float((vectors[i] @ vectors[i].T)[different].mean()))
    return values


def adjusted(bench: Bench) -> dict:
    """Adjusted against naive direct finetuning (figure 1 of arXiv 2311.07604): five soft tokens before "a
    photo of a doctor" fitted to one fixed image by semantics alone, 1,000 iterations, three seeds at 12
    sampler steps, one at 50: mean distance to the image in the first and the last fifty iterations, for the
    naive gradient, the adjusted one with the sampler's weights A_t, and with these standardised. Curves and
    the gradients' sizes over the sampler's steps are drawn in docs/adjusted.png; finished runs are in
    docs/adjusted.csv, and aren't made again."""
    picture = made() / "docs" / "adjusted.png"
    looks = looks_of(bench.live, "")
    return against_naive.compare(bench.live.profile, looks, picture.with_suffix(".csv"), picture)


def crisp(bench: Bench) -> dict:
    """What is shown, of 256 px, against the 128 px that are read. Of drawings through the autoencoder, and of
    generated people of the same ages, races and genders as drawings: mean gradient as a share of the
    drawings' (>= 0.9), and the squared Frechet distance of the face network's unit vectors, generated against
    drawn (at least halved). Labels of both sizes the same (>= 99 %). Of generated faces, exactly one (>= 99
    %) and parts whole (>= 95 %). Seconds an image, decoding a batch of 32. "before" is the 128 px image,
    enlarged where sizes must be equal; both grids are in `assets/crisp.webp`."""
    return crisper.measure(bench.live, bench.checker, bench.work, made() / "assets" / "crisp.webp")


def readers(bench: Bench) -> dict:
    """How the classifiers err on generated faces, of which nobody knows the truth. Named: people of every
    profession, race and gender that a prompt names, four noises each, read by both; a latent class behind
    both readings and the words (Dawid and Skene 1979). Unnamed: every second prompt of `authors`, its
    methods and three aligned adapters, read by both; one factor on the errors that each makes on portraits.
    Readers are taken to err independently; errors that both make are invisible. The first classifier's
    errors by that factor go to `assets/classifier/confusion_on_generated.json`, and intervals of corrected
    shares hold what they would give."""
    out = made() / "assets" / "classifier" / "confusion_on_generated.json"
    named = generated_errors.draw_named(bench.live, bench.work / "named")
    unnamed = pd.concat(draw_fresh(bench, (*methods_table.REWRITTEN, *ALIGNED), step=2))
    return generated_errors.measure_errors(bench.live, named, unnamed, out)


CHECKS: dict[str, Callable[[Bench], dict]] = {
    f.__name__: f
    for f in (
        portraits,
        checker,
        classifier,
        subjects,
        faces,
        adapters,
        targets,
        explicit,
        learned_bias,
        aligned,
        concepts,
        evidence,
        methods,
        authors,
        readers,
        varied,
        adjusted,
        crisp,
    )
}


def measure_world(work: Path, only: str | None) -> None:
    """Runs all checks or the one named `only`, printing each and adding it to `MEASURED`; then what of all
    that is in there doesn't reach its bar."""
    if only is not None and only not in CHECKS:
        raise ValueError(f"check {only!r} is unknown; allowed are {', '.join(CHECKS)}")
    bench = Bench(work)
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    for name, check in CHECKS.items():
        if only in (None, name):
            measured[name] = {"what": " ".join((check.__doc__ or "").split()), **check(bench)}
            print(name, json.dumps(measured[name], indent=1))
            MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for bar, value in missed(measured, read_bars()):
        print(f"Not reached: {bar.told()}; it is {value:g}.")
