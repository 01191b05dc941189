"""`fairdemo pack`: draw a pool of images to be shown without a GPU, or check one."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from fairdemo.cli.progress import following
from fairdemo.stats.prompts import PROFESSIONS, photo_of


def add(commands) -> None:
    """Describes the command."""
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
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Makes or checks a pack."""
    from fairdemo.studio import packs

    if args.action == "check":
        with tqdm(desc="checking", file=sys.stderr) as bar:
            problems = packs.check(args.folder, following(bar))
        if problems:
            told = "\n  ".join(problems[:20])
            raise ValueError(f"pack in {str(args.folder)!r} has {len(problems)} faults:\n  {told}")
        print(f"{args.folder}: {bar.total} images, all right.")
        return
    from fairdemo.studio.live import Live

    texts = args.prompts or [photo_of(p) for p in PROFESSIONS]
    order = packs.order(args.name or args.folder.name, texts, args.seeds)
    with tqdm(desc="drawing", unit="image", file=sys.stderr) as bar:
        packs.make(Live(args.profile), args.folder, order, following(bar))
    print(
        f"{args.folder} is a pack. Look at it: FAIRDEMO_PROFILE={args.folder} python app.py; check it: python"
        f" -m fairdemo pack check {args.folder}"
    )
