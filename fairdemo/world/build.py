"""Makes the embedded assets from nothing: portraits, autoencoder, denoiser, classifier, adapters.

Every stage leaves its result in the work folder and is skipped if that exists, so a stopped build goes on
where it was."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomlkit
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from fairdemo.models import profiles
from fairdemo.models.catalog import CATALOG, Adapter, table_of
from fairdemo.models.crisp import CrispDecoder
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import autocast
from fairdemo.models.routing import Router, read_factors, routable, weighted
from fairdemo.models.sampling import by_default, through
from fairdemo.pairs import Face
from fairdemo.places import SHIPPED
from fairdemo.readers import classify, embed, subject
from fairdemo.readers.detect import Detector
from fairdemo.readers.read import FaceReader
from fairdemo.readers.vision import load_weights, save_weights, to_pixels
from fairdemo.stats.attributes import AGE_BANDS, CLASSES, GENDERS, RACES, age_group, band
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.training import classifier, denoise, inc, lora
from fairdemo.training import crisp as crisp_training
from fairdemo.training import subject as subject_training
from fairdemo.training.steps import without_denormals
from fairdemo.world import corpus, parts, tiny

# Adapters never see these; what they do to them is measured (`fairdemo world measure`).
HELD_OUT = ("CEO", "dentist", "farmer", "judge", "nurse", "pilot", "singer", "teacher")
TABLES = {
    "explicit": lambda: corpus.alike(380, 2, "explicit"),
    "biased": lambda: corpus.biased(200, 1),
    "balanced": lambda: corpus.alike(320, 3, "balanced"),
    "test": lambda: corpus.alike(250, 4, "balanced"),
    "reference": lambda: corpus.alike(250, 6, "balanced"),
    "reference_more": lambda: corpus.alike(250, 8, "balanced"),
    # The judge's own, which nothing else sees.
    "judge": lambda: corpus.alike(200, 51, "balanced"),
    "judge_explicit": lambda: corpus.alike(200, 52, "explicit"),
    # The next three are drawn at twice the size.
    "crisp": lambda: corpus.alike(160, 32, "balanced"),
    "crisp_test": lambda: corpus.alike(40, 33, "balanced"),
    "crisp_reference": lambda: corpus.alike(160, 31, "explicit"),
}
# The adapters that stand for a race and a gender.
GROUPS = {f"{r} {g}": (r, g) for r in RACES for g in GENDERS}
WEIGHTS = (0.7, 0.8, 0.9, 1.0)  # that an adapter may be applied with


def again(table: pd.DataFrame) -> pd.DataFrame:
    """The first half of the people photographed a second time, in the same clothes."""
    return table.head(len(table) // 2).assign(photograph=lambda t: t.seed + 1)


def portraits(name: str, work: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """A corpus's table and images (n, 128, 128, 3), drawn if they aren't there. "again" is "balanced"
    photographed anew."""
    table = again(TABLES["balanced"]()) if name == "again" else TABLES[name]()
    return table, drawn(table, name, work)


def together(names: Sequence[str], work: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Several corpora's tables and images, one after another."""
    every = [portraits(name, work) for name in names]
    return pd.concat([table for table, _ in every], ignore_index=True), np.concatenate([x for _, x in every])


def drawn(table: pd.DataFrame, name: str, work: Path, size: int = tiny.SIZE) -> np.ndarray:
    """Portraits (n, size, size, 3) of a table's people, kept in the work folder under `name`."""
    with tqdm(total=len(table), desc=f"drawing {name}") as bar:
        return corpus.draw_all(table, work / name, size, lambda done, _: bar.update(done - bar.n))


def followed(steps: Iterator[tuple], title: str) -> tuple:
    """Runs a trainer to its end behind a progress bar that shows a smoothed loss; its last item."""
    smooth, bar, item = None, None, ()
    for item in steps:
        step, total, loss, *_ = item
        smooth = loss if smooth is None else 0.99 * smooth + 0.01 * loss
        if bar is None:
            bar = tqdm(total=total, initial=step - 1, desc=title, mininterval=5)
        bar.update(1)
        if step % 50 == 0:
            bar.set_postfix(loss=f"{smooth:.4f}")
    if bar:
        bar.close()
    return item


def build_autoencoder(work: Path) -> AutoencoderKL:
    """The autoencoder, its latents standardised."""
    folder = work / "vae"
    if not folder.exists():
        _, images = portraits("explicit", work)
        torch.manual_seed(0)
        vae = tiny.autoencoder()
        followed(tiny.train_autoencoder(vae, images, 3000, 0), "autoencoder")
        tiny.standardize_latents(vae, images[::3])
        vae.save_pretrained(folder)
    return AutoencoderKL.from_pretrained(folder)


def latents(vae: AutoencoderKL, name: str, work: Path) -> tuple[pd.DataFrame, torch.Tensor]:
    """A corpus's table and its latents with those of the mirror images, float16 (n, 2, 16, 16, 16)."""
    path = work / f"latents_{name}.safetensors"
    if not path.exists():
        table, images = portraits(name, work)
        z = torch.stack([tiny.encode(vae, images), tiny.encode(vae, images[:, :, ::-1])], 1).contiguous()
        save_file({"z": z}, path)
        return table, z
    return TABLES[name](), load_file(path)["z"]


def build_denoiser(work: Path, steps: int) -> StableDiffusionXLPipeline:
    """The pipeline: U-Net and text encoders trained on the explicit and the biased corpus."""
    folder = work / "pipeline"
    if not folder.exists():
        vae = build_decoder(work)
        tables, zs = zip(*(latents(vae, name, work) for name in ("explicit", "biased")))
        rows = list(pd.concat(tables).itertuples())
        torch.manual_seed(1)
        net, (one, two) = tiny.unet(), tiny.text_encoders()
        tokenizer, rng = tiny.tokenizer(), np.random.default_rng(5)
        used = {49406, 49407}
        for row in rows * 3:
            used.update(tokenizer(corpus.training_caption(row, rng)).input_ids)
        for encoder in (one, two):
            tiny.silence_unused_tokens(encoder, used)
        followed(
            tiny.train_denoiser(
                net,
                one,
                two,
                torch.cat(zs),
                lambda picked, rng: [corpus.training_caption(rows[i], rng) for i in picked],
                work / "denoiser.pt",
                tiny.Training(steps, 7),
            ),
            "denoiser",
        )
        choose_candidate(tiny.pipeline(vae, net, one, two), work)
        tiny.pipeline(vae, net, one, two).save_pretrained(folder)
    return StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)


def choose_candidate(pipe: StableDiffusionXLPipeline, work: Path) -> None:
    """Leaves in the pipeline the candidate whose faces the parts checker finds whole most often: 4 images
    of each profession, the same noise for all candidates."""
    checker = load_weights(parts.PartsChecker(), work / "parts_checker.safetensors")
    generator = PairedGenerator(pipe, Router(pipe.unet, {}), profiles.profile("embedded"))
    pipe.set_progress_bar_config(disable=True)
    whole: dict[int, float] = {}
    for step in tiny.candidates(
        work / "denoiser.pt", pipe.unet.eval(), pipe.text_encoder.eval(), pipe.text_encoder_2.eval()
    ):
        images = [
            np.asarray(image)
            for p in PROFESSIONS
            for image in generator.draw(by_default(generator.profile, photo_of(p), 900), through([()], 4))
        ]
        whole[step] = float(parts.whole(checker, np.stack(images)).mean())
        print(f"candidate {step}: {whole[step]:.1%} of {len(images)} faces whole")
    best = max(whole, key=whole.__getitem__)
    for step in tiny.candidates(work / "denoiser.pt", pipe.unet, pipe.text_encoder, pipe.text_encoder_2):
        if step == best:
            break


def build_decoder(work: Path) -> AutoencoderKL:
    """The autoencoder with its decoder trained on; latents stay what they are."""
    folder = work / "vae_final"
    if not folder.exists():
        vae = build_autoencoder(work)
        images = [portraits(name, work)[1] for name in ("explicit", "biased")]
        z = torch.cat([latents(vae, name, work)[1] for name in ("explicit", "biased")])
        followed(tiny.train_decoder(vae, z, np.concatenate(images), 900, 29), "decoder")
        vae.save_pretrained(folder)
    return AutoencoderKL.from_pretrained(folder)


def denoised(work: Path) -> torch.Tensor:
    """Latents of the finished model: each profession at the baseline and through every adapter of a race and
    gender, and people named by all three attributes; float16 (n, 16, 16, 16)."""
    path = work / "denoised.safetensors"
    if not path.exists():
        pipe, weights = build_denoiser(work, 0), weigh_adapters(work)
        factors = {
            n: weighted(read_factors(pipe, work / "adapters" / adapter_file(n)), weights[n]) for n in GROUPS
        }
        generator = PairedGenerator(pipe, Router(routable(pipe), factors), profiles.profile("embedded"))
        of_each = through([()], 6) + through([(name,) for name in GROUPS], 1)
        orders = [(photo_of(p), of_each) for p in PROFESSIONS]
        orders += [(photo_of(who), through([()], 14)) for who in corpus.named()]
        z = [
            generator.denoise(by_default(generator.profile, prompt, 70_000 + k), wanted)
            for k, (prompt, wanted) in enumerate(tqdm(orders, desc="denoising"))
        ]
        save_file({"z": torch.cat(z).half()}, path)
    return load_file(path)["z"]


def build_crisp(work: Path) -> None:
    """The decoder of twice the size."""
    path = work / "crisp.safetensors"
    if not path.exists():
        vae, table = build_decoder(work), TABLES["crisp"]()
        images = drawn(table, "crisp", work, 2 * tiny.SIZE)
        small = halved(images)
        z = torch.stack([tiny.encode(vae, small), tiny.encode(vae, small[:, :, ::-1])], 1)
        sight = crisp_training.Sight(
            load_weights(embed.FaceNetwork(), work / "classifier" / "face_network.safetensors")
        )
        sight.learn(np.concatenate([small, reconstructed(vae, small)]), true_classes(pd.concat([table] * 2)))
        torch.manual_seed(41)
        decoder = CrispDecoder()
        data = crisp_training.Drawings(images, z, denoised(work))
        how = crisp_training.Training(1500, 41)
        followed(crisp_training.train(decoder, vae, sight, data, work / "crisp.pt", how), "crisp decoder")
        save_weights(decoder, path)


def halved(images: np.ndarray) -> np.ndarray:
    """uint8 images (n, 2 h, 2 w, 3) at half the size: the means of 2 x 2 pixels."""
    n, h, w, _ = images.shape
    return np.concatenate(
        [
            x.reshape(len(x), h // 2, 2, w // 2, 2, 3).mean((2, 4)).round().astype(np.uint8)
            for x in np.array_split(images, -(-n // 64))
        ]
    )


def face_boxes(detector: Detector, images: np.ndarray) -> list[tuple[float, float, float, float] | None]:
    """The largest face's box in each of (n, 128, 128, 3), None where none is found."""
    boxes = []
    for i in tqdm(range(0, len(images), 64), desc="finding faces"):
        boxes += [
            f[0].box if f else None
            for f in detector.detect([Image.fromarray(im) for im in images[i : i + 64]])
        ]
    return boxes


def reconstructed(vae: AutoencoderKL, images: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Images through the autoencoder and back, so that what reads generated images knows their softness.
    `noise` (latents have deviation 1) is for a generator's small errors."""
    out: list[np.ndarray] = []
    coder: Any = vae  # diffusers' types don't know what its parts return
    generator = torch.Generator().manual_seed(23)
    for i in range(0, len(images), 64):
        z = tiny.encode(vae, images[i : i + 64]).float()
        z += noise * torch.randn(z.shape, generator=generator)
        with torch.no_grad(), autocast():
            out.append(to_pixels(coder.decode(z).sample.float()))
    return np.concatenate(out)


def build_classifier(work: Path) -> None:
    """The face network and the SVMs on its embeddings."""
    folder = work / "classifier"
    if folder.exists():
        return
    vae = build_decoder(work)
    table, first = together(("balanced", "explicit"), work)
    # Of the first people in the table; the others' second picture is a reconstruction.
    _, photographs = portraits("again", work)
    second = np.concatenate([photographs, reconstructed(vae, first[len(photographs) :])])
    detector = Detector()
    boxes = face_boxes(detector, first)
    again_boxes = face_boxes(detector, photographs) + boxes[len(photographs) :]
    kept = [i for i in range(len(first)) if boxes[i] and again_boxes[i]]
    a, b = (
        np.stack([embed.crop(Image.fromarray(pictures[i]), box) for i in kept if (box := found[i])])
        for pictures, found in ((first, boxes), (second, again_boxes))
    )
    table = table.iloc[kept]
    labels = {
        "race": table.race.to_numpy(),
        "gender": table.gender.to_numpy(),
        "age": table.age.map(age_group).to_numpy(),
    }
    codes = {k: np.array([CLASSES[k].index(v) for v in y]) for k, y in labels.items()}
    codes["age"] -= 1  # no drawn person is under 20
    *_, network = followed(classifier.train_network(a, b, codes, 1000, 11), "face network")
    half = np.random.default_rng(0).permutation(len(a))[:4000]
    backbone = embed.Backbone(network, embed.CROP, embed.MARGIN)
    heads = classify.fit(
        np.concatenate([backbone.embed(a[half]), backbone.embed(b[half])]),
        {k: np.tile(y[half], 2) for k, y in labels.items()},
    )
    with tempfile.TemporaryDirectory(dir=work) as part:
        save_weights(network, Path(part) / "face_network.safetensors")
        classify.save(heads, Path(part))
        (Path(part) / "classifier.json").write_text(
            '{"backbone": "embedded", "kind": "svm"}\n', encoding="utf-8"
        )
        shutil.copytree(part, folder)


def build_judge(work: Path) -> None:
    """Another classifier, which shares neither network nor portraits nor seed with the first: what that one
    says of a method that it taught is judged by this one."""
    folder = work / "judge_classifier"
    if folder.exists():
        return
    vae = build_decoder(work)
    table, sharp = together(("judge", "judge_explicit"), work)
    boxes = face_boxes(Detector(), sharp)
    kept = np.array([i for i, box in enumerate(boxes) if box])
    softer = np.concatenate([reconstructed(vae, sharp[k::2], 0.15 * k) for k in (0, 1)])
    order = np.concatenate([np.arange(len(sharp))[k::2] for k in (0, 1)])
    softer = softer[np.argsort(order)]
    crops = np.stack(
        [
            embed.crop(Image.fromarray(pictures[i]), box, margin=embed.JUDGE_MARGIN)
            for pictures in (sharp, softer)
            for i in kept
            if (box := boxes[i])
        ]
    )
    codes = {
        a: np.array([CLASSES[a].index(c) for c in classes])[np.tile(kept, 2)]
        for a, classes in true_classes(table).items()
    }
    codes["age"] -= 1  # no drawn person is under 20
    *_, (network, lines) = followed(classifier.train_judge(crops, codes, 2400, 53), "judge")
    with tempfile.TemporaryDirectory(dir=work) as part:
        save_weights(network, Path(part) / "network.safetensors")
        save_file({name: t.contiguous() for name, t in lines.items()}, Path(part) / "heads.safetensors")
        (Path(part) / "classifier.json").write_text(
            '{"backbone": "judge", "kind": "linear"}\n', encoding="utf-8"
        )
        shutil.copytree(part, folder)


def build_parts_checker(work: Path) -> None:
    """The network that tells whole faces from damaged ones."""
    path = work / "parts_checker.safetensors"
    if not path.exists():
        vae = build_decoder(work)
        images = np.concatenate([portraits("balanced", work)[1], portraits("explicit", work)[1]])
        whole = parts.middle(
            np.concatenate(
                [
                    images[::4],
                    *(
                        reconstructed(vae, images[k::4], noise)
                        for k, noise in ((1, 0.0), (2, 0.15), (3, 0.3))
                    ),
                ]
            )
        )
        *_, network = followed(parts.train(whole, 2000, 13), "parts checker")
        save_weights(network, path)


def read_faces(reader: FaceReader, images: np.ndarray) -> list[Face | None]:
    """The largest face of each portrait, None where no face is found."""
    faces = []
    for i in tqdm(range(0, len(images), 64), desc="reading"):
        faces += [
            f[0] if f else None for f in reader.read([Image.fromarray(im) for im in images[i : i + 64]])
        ]
    return faces


def true_classes(table: pd.DataFrame) -> dict[str, list[str]]:
    """Who the people of a table are, by attribute."""
    return {
        "race": list(table.race),
        "gender": list(table.gender),
        "age": [age_group(years) for years in table.age],
    }


def build_confusion(work: Path) -> None:
    """How faces of known class are read, on portraits that no other part was trained on: `confusion.json`
    in each classifier's folder."""
    for name, tables in (
        ("classifier", ("test", "reference", "reference_more")),
        ("judge_classifier", ("test",)),
    ):
        path = work / name / "confusion.json"
        if path.exists():
            continue
        table, images = together(tables, work)
        truth, faces = true_classes(table), read_faces(FaceReader(work / name), images)
        counts = {
            a: {
                c: Counter(f.reading(a) for f, true in zip(faces, truth[a]) if f and true == c)
                for c in classes
                if c in truth[a]
            }
            for a, classes in CLASSES.items()
        }
        path.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def build_subject_reader(work: Path) -> None:
    """The network that reads professions."""
    path = work / "classifier" / "subject.safetensors"
    if not path.exists():
        vae = build_decoder(work)
        table, sharp = together(("balanced", "explicit"), work)
        labels = np.array(
            [
                subject.SUBJECTS.index(s) if s in subject.SUBJECTS else subject.SUBJECTS.index("person")
                for s in table.subject
            ]
        )
        inputs = torch.cat([subject.to_input(sharp), subject.to_input(reconstructed(vae, sharp[::2]))])
        *_, network = followed(
            subject_training.train(inputs, np.concatenate([labels, labels[::2]]), 1200, 19), "subject reader"
        )
        save_weights(network, path)


def build_adapters(work: Path, steps: int) -> None:
    """An adapter for each race and gender, and for each age band, trained in one run."""
    folder = work / "adapters"
    if folder.exists():
        return
    table, z = latents(build_autoencoder(work), "balanced", work)
    seen = ~table.subject.isin(HELD_OUT).to_numpy()
    rows: list[Any] = list(table[seen].itertuples())
    config = inc.EMBEDDED.but(iterations=steps)
    routes = [
        [
            (f"{r.race} {r.gender}",),
            (f"{r.race} {r.gender}",),
            (f"{r.race} {r.gender}", band(age_group(r.age))),
            (band(age_group(r.age)),),
        ]
        for r in rows
    ]
    pipe = build_denoiser(work, 0)
    captions = lambda picked, rng: [corpus.caption(rows[i], rng) for i in picked]  # noqa: E731
    data = denoise.TrainingSet([*GROUPS, *AGE_BANDS], z[torch.from_numpy(seen)], routes, captions)
    *_, router = followed(denoise.train(pipe, data, config, work / "adapters.pt"), "adapters")
    with tempfile.TemporaryDirectory(dir=work) as part:
        for name in router.names:
            layers: dict[str, Any] = lora.tensors(router, name, config.strength)
            (Path(part) / adapter_file(name)).parent.mkdir(exist_ok=True)
            pipe.save_lora_weights(
                Path(part) / "embedded",
                unet_lora_layers=layers,
                weight_name=Path(adapter_file(name)).name,
            )
        shutil.copytree(part, folder)


def adapter_file(name: str) -> str:
    """Where an adapter's weights lie, from the catalog."""
    return f"embedded/{name.replace(' ', '_')}.safetensors"


def weigh_adapters(work: Path, n: int = 6) -> dict[str, float]:
    """For each race and gender's adapter the weight of `WEIGHTS` that is best in what it does worse there:
    showing its group, or leaving faces whole. Tried on n images of each profession that it was trained on,
    the same noise for all weights."""
    path = work / "adapter_weights.json"
    if not path.exists():
        good = tried_weights(work, n)
        for name, counts in good.items():
            told = ", ".join(f"{hit} and {whole} at {w}" for w, (hit, whole) in counts.items())
            print(f"{name}: of its group and whole: {told}")
        best = {n: max(WEIGHTS, key=lambda w: (min(c[w]), sum(c[w]))) for n, c in good.items()}
        path.write_text(json.dumps(best, indent=1) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def tried_weights(work: Path, n: int) -> dict[str, dict[float, np.ndarray]]:
    """By adapter and weight, how many of its images are of its group, and how many whole (2,)."""
    pipe, reader = build_denoiser(work, 0), FaceReader(work / "classifier")
    checker = load_weights(parts.PartsChecker(), work / "parts_checker.safetensors")
    pipe.set_progress_bar_config(disable=True)
    factors = {name: read_factors(pipe, work / "adapters" / adapter_file(name)) for name in GROUPS}
    at_weights = {f"{name} {w}": weighted(f, w) for name, f in factors.items() for w in WEIGHTS}
    generator = PairedGenerator(pipe, Router(routable(pipe), at_weights), profiles.profile("embedded"))
    good = {name: {w: np.zeros(2, int) for w in WEIGHTS} for name in GROUPS}
    seen = [p for p in PROFESSIONS if p not in HELD_OUT]
    for seed, profession in enumerate(tqdm(seen, desc="weighing adapters"), 5000):
        setting = by_default(generator.profile, photo_of(profession), seed)
        for name, cell in GROUPS.items():
            images = generator.draw(setting, through([(f"{name} {w}",) for w in WEIGHTS], n))
            whole = parts.whole(checker, np.stack([np.asarray(im) for im in images]))
            for k, (intact, f) in enumerate(zip(whole, reader.read(images))):
                good[name][WEIGHTS[k // n]] += [bool(f) and (f[0].race, f[0].gender) == cell, intact]
    return good


def write_catalog(path: Path, weights: dict[str, float]) -> None:
    """Puts the embedded model's adapters into `catalog.toml` (those of an age have weight 1); other models'
    entries stay."""
    document, entries = tomlkit.parse(path.read_text(encoding="utf-8")), tomlkit.aot()
    for name, cell in (GROUPS | {b: (b,) for b in AGE_BANDS}).items():
        made = Adapter(
            name=name,
            base="embedded",
            file=adapter_file(name),
            cell=cell,
            weight=weights.get(name, 1.0),
            license="Apache-2.0",
            source="trained by this project on drawn people: python -m fairdemo world build",
        )
        entries.append(table_of(made))
    for entry in document.get("adapter", []):
        if entry["base"] != "embedded":
            entries.append(entry)
    document["adapter"] = entries
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def export(work: Path, out: Path) -> None:
    """Copies what the build made into `assets/` and `adapters/` of the folder `out`, weights as fp16
    safetensors in files under 10 MB, since a Space's git refuses larger ones."""
    pipe = StableDiffusionXLPipeline.from_pretrained(work / "pipeline", dtype=torch.float16)
    assets, adapters = out / "assets", out / "adapters"
    shutil.rmtree(assets / "embedded", ignore_errors=True)
    pipe.save_pretrained(assets / "embedded", safe_serialization=True, max_shard_size="9MB")
    for folder in ("tokenizer", "tokenizer_2"):  # the same vocabulary in CLIP's older, smaller files
        written = assets / "embedded" / folder / "tokenizer.json"
        model = json.loads(written.read_text(encoding="utf-8"))["model"]
        vocabulary = json.dumps(model["vocab"], ensure_ascii=False, separators=(",", ":"))
        (written.parent / "vocab.json").write_text(vocabulary, encoding="utf-8")
        merges = "\n".join(" ".join(pair) for pair in model["merges"])
        (written.parent / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
        written.unlink()
    for config in (assets / "embedded").rglob("*.json"):
        lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
        # diffusers notes where it loaded from; that is nobody's business
        config.write_text("".join(line for line in lines if '"_name_or_path"' not in line), encoding="utf-8")
    shutil.copy(work / "crisp.safetensors", assets / "embedded" / "crisp.safetensors")
    (assets / "embedded" / "words.txt").write_text("\n".join(corpus.words()) + "\n", encoding="utf-8")
    for source, target in (
        (work / "classifier", assets / "classifier"),
        (work / "judge_classifier", assets / "judge"),
        (work / "adapters" / "embedded", adapters / "embedded"),
    ):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    shutil.copy(work / "parts_checker.safetensors", assets / "classifier" / "parts_checker.safetensors")
    if out != SHIPPED:
        shutil.copy(CATALOG, adapters / "catalog.toml")
    write_catalog(adapters / "catalog.toml", weigh_adapters(work))


@without_denormals()
def build(work: Path, out: Path, denoiser_steps: int, adapter_steps: int) -> None:
    """All stages in order, into the folder `out`; see the module's docstring."""
    work.mkdir(parents=True, exist_ok=True)
    build_decoder(work)
    build_parts_checker(work)
    build_denoiser(work, denoiser_steps)
    build_classifier(work)
    build_judge(work)
    build_confusion(work)
    build_subject_reader(work)
    build_adapters(work, adapter_steps)
    weigh_adapters(work)
    build_crisp(work)
    export(work, out)
