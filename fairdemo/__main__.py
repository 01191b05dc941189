"""Command line; `python -m fairdemo --help` lists the commands."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from fairdemo import measure, mix, response, targets
from fairdemo.attributes import CLASSES
from fairdemo.comparison import SIDES, Comparison, measures
from fairdemo.prompts import PROFESSIONS, photo_of
from fairdemo.workforce import wished


def percent(share: float, interval: list[float]) -> str:
    return f"{share:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


def table(comparison: Comparison) -> str:
    """Every class of every attribute: count, share and interval as observed, the corrected share beside it, and the target."""
    found = measures(comparison)

    def line(title: str, cells: dict[str, tuple[str, str]], last: str = "") -> str:
        return (
            f"{title:26}"
            + "".join(f"{observed:>26}{corrected:>22}" for observed, corrected in cells.values())
            + f"{last:>9}"
        ).rstrip()

    def alone(title: str, text: Callable[[dict], str]) -> str:
        return line(title, {side: (text(found[side]), "") for side in SIDES})

    lines = [
        line("as perceived by the", {side: (side, "corrected") for side in SIDES}, "target"),
        "classifier",
    ]
    for attribute, classes in CLASSES.items():
        lines.append(alone(attribute, lambda side: f"bias {side[attribute]['bias']:.2f}"))
        wanted = comparison.target.get(attribute, {})
        for c in classes:
            cells = {}
            for side in SIDES:
                row = found[side][attribute]["classes"][c]
                cells[side] = (
                    f"{row['count']} of {found[side][attribute]['n']}, "
                    + percent(row["share"], row["interval"]),
                    percent(row["corrected"], row["corrected_interval"]) if "corrected" in row else "",
                )
            lines.append(line(f"  {c}", cells, f"{wanted[c]:.0%}" if c in wanted else ""))
        if attribute == "age" and wanted:
            lines.append("  wanted: " + ", ".join(f"{name} {share:.0%}" for name, share in wanted.items()))
        if "to_target" in found["debiased"][attribute]:
            lines.append(
                alone(
                    "  distance to target",
                    lambda side: f"{side[attribute]['to_target']['total_variation']:.2f}",
                )
            )
    lines.append(alone("no face", lambda side: str(side["no_face"])))
    if comparison.subject:
        lines.append(
            alone(
                f"shows a {comparison.subject}", lambda side: "{count} of {n}".format(**side["subject_kept"])
            )
        )
    n = found["debiased"]["gender"]["n"]
    low, high = measure.interval(round(n / 2), n)
    lines.append(
        f"{n} faces: a share near one half is known to about ± {50 * (high - low):.0f} points; ± 10 points need {measure.images_for_width(0.1)} faces, "
        f"and telling 50 % from 60 % needs {measure.images_to_tell(0.5, 0.6)} on each side."
    )
    lines.append(
        "mix: "
        + ", ".join(
            f"{name} {weight:.0%}" for name, weight in comparison.mix["weights"].items() if weight >= 0.005
        )
    )
    lines.append(
        "Intervals are 95 %. Corrected: an estimate with the classifier's known confusion taken out. Every person is generated."
    )
    return "\n".join(lines)


def compare(args: argparse.Namespace) -> None:
    from fairdemo.compare import Studio  # torch and diffusers take seconds to import

    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    studio = Studio(args.profile)
    target = wished(args.target, args.prompt)
    plan = studio.plan(
        args.prompt,
        target,
        args.n,
        args.seed,
        args.slots,
        args.steps,
        args.guidance,
        args.steer,
        args.dependence,
    )
    comparison = plan.comparison
    with tqdm(
        total=100, desc="drawing", unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining}", file=sys.stderr
    ) as bar:
        for _ in studio.run(plan, lambda share: bar.update(round(100 * share) - bar.n)):
            pass
    for notice in comparison.notices:
        print(notice, file=sys.stderr)
    if args.out is not None:
        comparison.save(args.out)
    print(json.dumps(comparison.as_json()) if args.json else table(comparison))


def following(bar: tqdm) -> Callable[[int, int], None]:
    """Moves a bar to (done, of)."""

    def follow(done: int, of: int) -> None:
        bar.total = of
        bar.update(done - bar.n)

    return follow


def calibrate(args: argparse.Namespace) -> None:
    from fairdemo.calibrate import calibrate as run
    from fairdemo.compare import Studio

    studio = Studio(args.profile)
    with tqdm(desc="calibrating, professions") as bar:
        for done, of in run(studio, args.images, args.baseline_images):
            following(bar)(done, of)
    print("\n".join(response.report(response.load(studio.response_file), studio.sources, studio.confusion)))
    print(
        f"Counts are in {studio.response_file.name}, beside the catalog of adapters. As perceived by the classifier, on generated faces; corrected is an estimate."
    )


def validate(args: argparse.Namespace) -> None:
    from fairdemo.validate import validate as run

    run(args.only, args.work)


def world(args: argparse.Namespace) -> None:
    if args.action == "build":
        from fairdemo.world.build import build

        build(args.work, args.denoiser_steps, args.adapter_steps)
    else:
        from fairdemo.world.evaluate import evaluate

        evaluate(args.work, args.only)


def train(args: argparse.Namespace) -> None:
    if args.what == "align":
        train_align(args)
    elif args.what in ("inc", "div"):
        train_faces(args)
    else:
        train_classifier(args)


def train_align(args: argparse.Namespace) -> None:
    from fairdemo.training import align

    if args.config is None or args.out is None:
        raise ValueError(
            "train align needs --config (a TOML file with prompts and target, see docs/training.md) and --out (a folder)"
        )
    made = align.run(args.profile, align.read_config(args.config), args.out)
    print(
        f"The adapter is {made}, what it does is in {args.out / 'card.md'}. To see it in the app: FAIRDEMO_CATALOG={args.out / 'catalog.toml'} python app.py"
    )


def train_faces(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from fairdemo.training import denoise, div, inc

    method = inc if args.what == "inc" else div
    if args.out is None:
        raise ValueError(f"train {args.what} needs --out (a folder)")
    config = denoise.read_config(args.config, method.DEFAULTS)
    made = method.run(args.profile, replace(config, data=args.data or config.data), args.out, args.work)
    print(
        f"{len(made)} adapters are in {args.out}, what they do is in {args.out / 'card.md'}. To see them in the app: FAIRDEMO_CATALOG={args.out / 'catalog.toml'} python app.py"
    )


def train_classifier(args: argparse.Namespace) -> None:
    from fairdemo import clip, models
    from fairdemo.faces import classify, judge
    from fairdemo.faces.labelled import FAIRFACE, read_labelled
    from fairdemo.training import heads

    name = args.backbone if args.backbone == "openclip-zero-shot" else f"{args.backbone}-svm"
    out = args.out or classify.home() / (name if args.model == "ViT-B-32" else f"{name}-{args.model}")
    data = read_labelled(args.data or FAIRFACE, args.limit)
    with tqdm(total=len(data), desc="embedding faces", file=sys.stderr) as bar:
        report = heads.train(
            args.backbone,
            args.model,
            args.weights or clip.TOWERS.get(args.model, ""),
            data,
            out,
            models.default_device(),
            lambda done: bar.update(done - bar.n),
        )
    print("\n".join(judge.lines(report)))
    print(
        f"The classifier is in {out}; a profile names it as {out.name if args.out is None else str(out.resolve())!r}. Race, gender and age are as perceived by the classifier."
    )


def evaluate(args: argparse.Namespace) -> None:
    from fairdemo import hub, models
    from fairdemo.faces import FaceReader, judge
    from fairdemo.faces.labelled import read_labelled

    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    data = read_labelled(args.data, args.limit)
    reader = FaceReader(
        Path(args.classifier).resolve()
        if hub.is_local(args.classifier) or Path(args.classifier).is_dir()
        else args.classifier,
        models.default_device(),
    )
    with tqdm(total=len(data), desc="reading faces", file=sys.stderr) as bar:
        judged = judge.judge(reader, data, lambda done: bar.update(done - bar.n))
    report = judged.report()
    if args.out is not None:
        args.out.mkdir(parents=True)
        (args.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        (args.out / "confusion.json").write_text(json.dumps(judged.confusion(), indent=1) + "\n")
        judged.table.to_csv(args.out / "pictures.csv", index=False)
    print("\n".join(judge.lines(report)))
    print("Labels are as perceived by the classifier, against those of the data; intervals are 95 %.")


def adapters(args: argparse.Namespace) -> None:
    from fairdemo import adapters as catalogs
    from fairdemo import hub, models

    if args.action == "list":
        for name, profile in models.PROFILES.items():
            for a in catalogs.of_profile(profile):
                where = f"{a.repo}@{(a.revision or 'main, not pinned')[:16]}" if a.repo else a.file
                print(f"{name:16}{a.name:26}{' '.join(a.cell) or 'free label':24}{a.weight:<6}{where}")
    elif args.action == "pin":
        for repo, commit in catalogs.pin(args.catalog or catalogs.CATALOG):
            print(f"{repo} at {commit}")
    else:
        if not args.source or not args.name or args.catalog is None:
            raise ValueError(
                "adapters add needs a LoRA file or a Hub repository, --name, and --catalog (your own TOML file, named in FAIRDEMO_CATALOG when the app runs)"
            )
        local = hub.is_local(args.source) or Path(args.source).is_file()
        cell = tuple(c.strip() for c in args.cell.split(",") if c.strip())
        path = Path(args.source).resolve()
        catalogs.add(
            args.catalog,
            catalogs.Adapter(
                args.name,
                models.profile(args.base).adapters,
                str(path) if local else args.file,
                cell,
                args.weight,
                args.license,
                args.origin or args.source,
                "" if local else args.source,
                None if local else args.revision,
                args.method,
                args.tokens,
                args.catalog.resolve().parent,
            ),
        )
        print(
            f"{args.name} is in {args.catalog}. Measure what it draws with: FAIRDEMO_CATALOG={args.catalog} python -m fairdemo calibrate --profile {args.base}"
        )


def pack(args: argparse.Namespace) -> None:
    from fairdemo import pack as packs

    if args.action == "check":
        with tqdm(desc="checking", file=sys.stderr) as bar:
            problems = packs.check(args.folder, following(bar))
        if problems:
            raise ValueError(
                f"pack in {str(args.folder)!r} has {len(problems)} faults:\n  " + "\n  ".join(problems[:20])
            )
        print(f"{args.folder}: {bar.total} images, all right.")
        return
    from fairdemo.compare import Studio

    texts = args.prompts or [photo_of(p) for p in PROFESSIONS]
    with tqdm(desc="drawing", unit="image", file=sys.stderr) as bar:
        packs.make(
            Studio(args.profile),
            args.folder,
            texts,
            args.seeds,
            args.name or args.folder.name,
            following(bar),
        )
    print(
        f"{args.folder} is a pack. Look at it: FAIRDEMO_PROFILE={args.folder} python app.py; check it: python -m fairdemo pack check {args.folder}"
    )


def bench(args: argparse.Namespace) -> None:
    from fairdemo import bench as benches

    if args.full_size:
        benches.bench_full_size()
    elif args.gradients:
        from fairdemo.training import cost

        cost.table(args.profile)
    else:
        benches.bench(args.profile)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m fairdemo",
        description="Shows a text-to-image model's demographic bias next to a debiased version of it.",
    )
    commands = top.add_subparsers(required=True, metavar="command")
    p = commands.add_parser("compare", help="draw pairs, baseline and debiased, and count the faces")
    p.add_argument("prompt")
    p.add_argument("-n", type=int, default=16, help="number of pairs (default 16)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--target",
        default="uniform",
        help=f"{', '.join(targets.PRESETS)}, workforce (of the prompt's profession), shares like 'race:Black=0.3;gender:Female=0.6', or JSON (default uniform); "
        "what isn't named stays as the baseline has it",
    )
    p.add_argument("--out", type=Path, help="new folder for comparison.json and the images")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    p.add_argument("--profile", default="embedded")
    p.add_argument(
        "--slots", default=mix.METHODS[0], help=f"how slots are chosen: {' or '.join(mix.METHODS)}"
    )
    p.add_argument(
        "--steer",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let what was classified so far change the remaining slots (default)",
    )
    p.add_argument(
        "--dependence",
        default=targets.DEPENDENCES[0],
        help=f"how the target's attributes go together: {' or '.join(targets.DEPENDENCES)}",
    )
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    p.set_defaults(run=compare)
    p = commands.add_parser(
        "calibrate", help="measure what each adapter's images are classified as; resumable"
    )
    p.add_argument("--profile", default="embedded")
    p.add_argument("--images", type=int, default=2, help="images for each adapter and profession (default 2)")
    p.add_argument(
        "--baseline-images",
        type=int,
        default=24,
        help="images of the baseline for each profession (default 24)",
    )
    p.set_defaults(run=calibrate)
    p = commands.add_parser(
        "validate", help="check intervals, corrections, mix and steering against known truth"
    )
    p.add_argument("--only", help="check only this, by its name")
    p.add_argument(
        "--work",
        type=Path,
        default=Path("build/world"),
        help="folder for drawn portraits (default build/world)",
    )
    p.set_defaults(run=validate)
    p = commands.add_parser("world", help="make or measure the embedded model")
    p.add_argument("action", choices=("build", "measure"))
    p.add_argument(
        "--work",
        type=Path,
        default=Path("build/world"),
        help="folder for intermediate results (default build/world)",
    )
    p.add_argument("--denoiser-steps", type=int, default=6500)
    p.add_argument("--adapter-steps", type=int, default=2500)
    p.add_argument("--only", help="measure only this, by its name")
    p.set_defaults(run=world)
    p = commands.add_parser(
        "train",
        help="train adapters on balanced (inc) or varied faces (div), one that aligns a model's distribution (align), or a face classifier",
    )
    p.add_argument("what", choices=("inc", "div", "align", "classifier"))
    p.add_argument("--profile", default="embedded", help="adapters: the model (default embedded)")
    p.add_argument(
        "--config", type=Path, help="adapters: a TOML file with settings; align: with prompts and target"
    )
    p.add_argument(
        "--work",
        type=Path,
        default=Path("build/world"),
        help="inc, div: folder for the embedded world's people (default build/world)",
    )
    p.add_argument(
        "--backbone",
        choices=("facenet", "openclip", "openclip-zero-shot"),
        default="facenet",
        help="what embeds faces (default facenet); zero-shot only gets its temperature",
    )
    p.add_argument(
        "--data",
        help="a folder with labels.csv (image, race, gender, age; inc and div: prompt if you like), or a dataset of the Hub (classifier: default HuggingFaceM4/FairFace)",
    )
    p.add_argument("--model", default="ViT-B-32", help="open_clip's model (default ViT-B-32)")
    p.add_argument("--weights", help="open_clip's name of the weights, or their file (default LAION's)")
    p.add_argument(
        "--limit",
        type=int,
        default=20_000,
        help="pictures to use (default 20000; machines take time in proportion to its square)",
    )
    p.add_argument(
        "--out", type=Path, help="folder for what is made (classifier: default where profiles look for it)"
    )
    p.set_defaults(run=train)
    p = commands.add_parser("evaluate", help="measure a face classifier on labelled photographs")
    p.add_argument("what", choices=("classifier",))
    p.add_argument(
        "--classifier",
        default="openclip-zero-shot",
        help="facenet-svm, openclip-svm, openclip-zero-shot, or a classifier's folder (default openclip-zero-shot)",
    )
    p.add_argument(
        "--data",
        required=True,
        help="a folder with labels.csv (image, race, gender, age), or a dataset of the Hub",
    )
    p.add_argument("--limit", type=int)
    p.add_argument("--out", type=Path, help="new folder for the report, the confusions and a row a picture")
    p.set_defaults(run=evaluate)
    p = commands.add_parser(
        "adapters", help="list the adapters, add one of your own, or pin those of the Hub to their commits"
    )
    p.add_argument("action", choices=("list", "add", "pin"))
    p.add_argument("source", nargs="?", help="add: a .safetensors file, or a repository of the Hub")
    p.add_argument("--name", help="add: what the app calls it")
    p.add_argument("--base", default="sdxl", help="add: a profile that it was made for (default sdxl)")
    p.add_argument(
        "--cell",
        default="",
        help='add: what it draws, e.g. "Asian, Female" or "old"; nothing for a free label',
    )
    p.add_argument(
        "--file", default="pytorch_lora_weights.safetensors", help="add: the file in the repository"
    )
    p.add_argument("--revision", help="add: the repository's commit")
    p.add_argument(
        "--method",
        default="",
        help="add: the method that it draws under beside the mix; without a cell, it has a whole distribution in it",
    )
    p.add_argument("--tokens", type=int, default=0, help="add: it is no LoRA but this many soft tokens")
    p.add_argument("--weight", type=float, default=1.0)
    p.add_argument("--license", default="unknown")
    p.add_argument("--origin", help="add: where it comes from, in words")
    p.add_argument("--catalog", type=Path, help="a TOML file of your own (pin: default ours)")
    p.set_defaults(run=adapters)
    p = commands.add_parser("pack", help="draw a pool of images to be shown without a GPU, or check one")
    p.add_argument("action", choices=("make", "check"))
    p.add_argument("folder", type=Path)
    p.add_argument("--profile", default="sdxl", help="what draws it (default sdxl)")
    p.add_argument("--prompts", nargs="+", help="default: a photo of each of our professions")
    p.add_argument(
        "--seeds",
        type=int,
        default=24,
        help="images for each prompt and adapter, so the most pairs that can be shown (default 24)",
    )
    p.add_argument("--name", help="default: the folder's")
    p.set_defaults(run=pack)
    p = commands.add_parser("bench", help="time the chain against the naive ways")
    p.add_argument("--profile", default="embedded")
    p.add_argument("--full-size", action="store_true", help="SDXL in full size with random weights, on a GPU")
    p.add_argument(
        "--gradients",
        action="store_true",
        help="memory and time of a gradient through the sampler, at 10 and 50 steps",
    )
    p.set_defaults(run=bench)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"fairdemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fairdemo: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
