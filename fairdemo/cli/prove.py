"""`fairdemo prove`: measure the whole chain on a profile's real weights."""

import argparse
import sys
from pathlib import Path


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "prove", help="measure the whole chain on real weights, for anyone with a GPU; resumable"
    )
    p.add_argument("--profile", default="sdxl", help="sdxl, sd15, … or a TOML file (default sdxl)")
    p.add_argument("--out", type=Path, required=True, help="the folder for the page and its JSON")
    p.add_argument(
        "--faces",
        default="HuggingFaceM4/FairFace",
        help="labelled photographs: a folder with labels.csv, or a dataset of the Hub (default FairFace)",
    )
    p.add_argument(
        "--quick", action="store_true", help="a little of everything, to see whether it runs on this machine"
    )
    p.add_argument("--yes", action="store_true", help="don't ask before anything is fetched")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Says what is fetched, asks, and measures."""
    from fairdemo.models import fetching
    from fairdemo.models.precision import default_device
    from fairdemo.models.profiles import profile

    chosen = profile(args.profile)
    size = fetching.missing(chosen)
    if size:
        print(f"To be fetched for {args.profile}: {fetching.told(size)}.")
    if default_device() == "cpu" and chosen.size > 256:
        print("There is no GPU here: this takes days. With --quick it takes hours.")
    if size and not args.yes:
        if not sys.stdin.isatty():
            raise ValueError("nothing is fetched without being asked for; say --yes")
        if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ValueError("nothing was fetched")

    from fairdemo.proof.proof import QUICK, Amounts, Proof, prove  # takes seconds

    proof = Proof(args.profile, QUICK if args.quick else Amounts(), args.out, args.faces)
    page = prove(proof)
    print(f"{page} shows what was measured; {args.out / 'proof.json'} can be sent to the project.")
