"""`fairdemo train`: adapters, aligned distributions, face classifiers."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from fairdemo import places


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "train",
        help=(
            "train adapters on balanced (inc) or varied faces (div), one that aligns a model's distribution"
            " (align), or edits it in closed form (uce), or a face classifier"
        ),
    )
    p.add_argument("what", choices=("inc", "div", "align", "uce", "classifier"))
    p.add_argument("--profile", default="embedded", help="adapters: the model (default embedded)")
    p.add_argument(
        "--config", type=Path, help="adapters: a TOML file with settings; align, uce: with prompts and target"
    )
    p.add_argument(
        "--work", type=Path, default=places.work(), help="inc, div: folder for the embedded world's people"
    )
    p.add_argument(
        "--backbone",
        choices=("facenet", "openclip", "openclip-zero-shot"),
        default="facenet",
        help="what embeds faces (default facenet); zero-shot only gets its temperature",
    )
    p.add_argument(
        "--data",
        help=(
            "a folder with labels.csv (image, race, gender, age; inc and div: prompt if you like), or a"
            " dataset of the Hub (classifier: default HuggingFaceM4/FairFace)"
        ),
    )
    p.add_argument("--model", default="ViT-B-32", help="open_clip's model (default ViT-B-32)")
    p.add_argument("--weights", help="open_clip's name of the weights, or their file (default LAION's)")
    p.add_argument(
        "--limit",
        type=int,
        default=20_000,
        help="pictures to use (default 20000; an SVM takes time in proportion to its square)",
    )
    p.add_argument(
        "--out", type=Path, help="folder for what is made (classifier: default where profiles look for it)"
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs a training."""
    from fairdemo.training.steps import without_denormals

    with without_denormals():
        {"align": align, "uce": uce, "inc": faces, "div": faces, "classifier": classifier}[args.what](args)


def see_it(out: Path) -> str:
    """How to look at adapters that were trained."""
    return f"To see it in the app: FAIRDEMO_CATALOG={out / 'catalog.toml'} python app.py"


def align(args: argparse.Namespace) -> None:
    """Trains an adapter that has the wanted distribution in it."""
    from fairdemo.models.profiles import DEFAULT
    from fairdemo.studio.pool import is_pack
    from fairdemo.training import align

    if args.config is None or args.out is None:
        raise ValueError(
            "train align needs --config (a TOML file with prompts and target, see docs/training.md) and --out"
            " (a folder)"
        )
    if is_pack(args.profile):
        raise ValueError(
            f"profile {args.profile!r} is a pack of images that were drawn before; training needs a model"
        )
    config = align.read_config(args.config)
    own = None
    if args.profile == DEFAULT:  # the embedded world knows its people's true faces
        from fairdemo.world.training_sets import true_faces as own
    made = align.run(args.profile, config, args.out, own)
    print(f"The adapter is {made}, what it does is in {args.out / 'card.md'}. {see_it(args.out)}")


def uce(args: argparse.Namespace) -> None:
    """Edits a model's concepts in closed form."""
    from fairdemo.studio.pool import is_pack
    from fairdemo.training import settings, uce

    if args.config is None or args.out is None:
        raise ValueError(
            "train uce needs --config (a TOML file with prompts and target) and --out (a folder)"
        )
    if is_pack(args.profile):
        raise ValueError(
            f"profile {args.profile!r} is a pack of images that were drawn before; edits need a model"
        )
    made = uce.run(args.profile, settings.read(args.config, uce.Config), args.out)
    print(f"The adapter is {made}, what it does is in {args.out / 'card.md'}. {see_it(args.out)}")


def faces(args: argparse.Namespace) -> None:
    """Trains an adapter a class on labelled faces."""
    from fairdemo.models.profiles import DEFAULT
    from fairdemo.training import denoise, div, inc

    method = inc if args.what == "inc" else div
    if args.out is None:
        raise ValueError(f"train {args.what} needs --out (a folder)")
    config = denoise.read_config(args.config, method.defaults(args.profile))
    config = config.but(data=args.data or config.data)
    own = None
    if args.profile == DEFAULT:
        from fairdemo.world.training_sets import PEOPLE

        own = PEOPLE[args.what](args.work)
    made = method.run(args.profile, config, args.out, own)
    told = f"{len(made)} adapters are in {args.out}, what they do is in {args.out / 'card.md'}."
    print(f"{told} {see_it(args.out)}")


def classifier(args: argparse.Namespace) -> None:
    """Trains a face classifier on labelled photographs."""
    from fairdemo.models.precision import default_device
    from fairdemo.readers import classify, clip, judge
    from fairdemo.readers.labelled import FAIRFACE, read_labelled
    from fairdemo.training import heads

    name = args.backbone if args.backbone == "openclip-zero-shot" else f"{args.backbone}-svm"
    own = name if args.model == "ViT-B-32" else f"{name}-{args.model}"
    out = args.out or classify.home() / own
    data = read_labelled(args.data or FAIRFACE, args.limit)
    tower = heads.Tower(args.backbone, args.model, args.weights or clip.TOWERS.get(args.model, ""))
    with tqdm(total=len(data), desc="embedding faces", file=sys.stderr) as bar:
        moved = lambda done: bar.update(done - bar.n)  # noqa: E731
        report = heads.train(tower, data, out, default_device(), moved)
    print("\n".join(judge.lines(report)))
    known = out.name if args.out is None else str(out.resolve())
    print(
        f"The classifier is in {out}; a profile names it as {known!r}. Race, gender and age are as perceived"
        " by the classifier."
    )
