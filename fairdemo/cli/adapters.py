"""`fairdemo adapters`: list the adapters, add one of your own, or pin those of the Hub."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fairdemo import places

if TYPE_CHECKING:
    from fairdemo.models.catalog import Adapter
    from fairdemo.models.profiles import Profile


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "adapters", help="list the adapters, add one of your own, or pin those of the Hub to their commits"
    )
    p.add_argument("action", choices=("list", "add", "pin"))
    p.add_argument("source", nargs="?", help="add: a .safetensors file, or a repository of the Hub")
    p.add_argument("--name", help="add: what the app calls it")
    p.add_argument("--base", default="sdxl", help="add: a profile that it was made for (default sdxl)")
    p.add_argument(
        "--cell", default="", help='add: what it draws, e.g. "Asian, Female" or "old"; none: a free label'
    )
    p.add_argument(
        "--file", default="pytorch_lora_weights.safetensors", help="add: the file in the repository"
    )
    p.add_argument("--revision", help="add: the repository's commit")
    p.add_argument(
        "--method",
        default="",
        help=(
            "add: the method that it draws under beside the mix; without a cell, it has a whole distribution"
            " in it"
        ),
    )
    p.add_argument("--tokens", type=int, default=0, help="add: it is no LoRA but this many soft tokens")
    p.add_argument("--weight", type=float, default=1.0)
    p.add_argument("--license", default="unknown")
    p.add_argument("--origin", help="add: where it comes from, in words")
    p.add_argument("--catalog", type=Path, help="a TOML file of your own (pin: default a checkout's)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Lists, adds or pins."""
    {"list": listed, "add": added, "pin": pinned}[args.action](args)


def listed(args: argparse.Namespace) -> None:
    """Prints a line an adapter."""
    from fairdemo.models import catalog, profiles

    for name, profile in profiles.PROFILES.items():
        found = catalog.of_profile(profile)
        faults = catalog.find_faults(found)
        for a in found:
            where = f"{a.repo}@{(a.revision or 'main, not pinned')[:16]}" if a.repo else a.file
            why = f" can't be used: {faults[a.name]}" if a.name in faults else ""
            print(f"{name:16}{a.name:26}{' '.join(a.cell) or 'free label':24}{a.weight:<6}{where}{why}")


def pinned(args: argparse.Namespace) -> None:
    """Writes the present commits into a catalog."""
    from fairdemo.models import catalog

    if args.catalog is None and places.INSTALLED:
        raise ValueError("adapters pin needs --catalog here: the installed catalog is read only")
    for repo, commit in catalog.pin(args.catalog or catalog.CATALOG):
        print(f"{repo} at {commit}")


def added(args: argparse.Namespace) -> None:
    """Adds an adapter to a user's catalog."""
    from fairdemo.models import catalog, hub, profiles

    if not args.source or not args.name or args.catalog is None:
        raise ValueError(
            "adapters add needs a LoRA file or a Hub repository, --name, and --catalog (your own TOML file,"
            " named in FAIRDEMO_CATALOG when the app runs)"
        )
    local = hub.is_local(args.source) or Path(args.source).is_file()
    home = args.catalog.resolve().parent
    place = {"file": str(Path(args.source).resolve())} if local else {"file": args.file, "repo": args.source}
    entry = {
        "name": args.name,
        "base": profiles.profile(args.base).adapters,
        **place,
        "cell": [c.strip() for c in args.cell.split(",") if c.strip()],
        "weight": args.weight,
        "license": args.license,
        "source": args.origin or args.source,
        "revision": None if local else args.revision,
        "method": args.method,
        "tokens": args.tokens,
    }
    made, base = catalog.entry(entry, home), profiles.profile(args.base)
    catalog.check_file(made)
    if hub.is_here(base.source("model"), base.revision):
        try_adapter(base, made)
    else:
        print(
            f"Its file is sound; whether it fits wasn't tried, since {args.base} isn't on this machine yet."
        )
    catalog.add(args.catalog, made)
    print(
        f"{args.name} is in {args.catalog}. Measure what it draws with:"
        f" FAIRDEMO_CATALOG={args.catalog} python -m fairdemo calibrate --profile {args.base}"
    )


def try_adapter(base: "Profile", adapter: "Adapter") -> None:
    """Opens an adapter with the model that it was made for; ValueError if it doesn't fit."""
    from fairdemo.models import pipelines, routing

    faults = routing.attach(pipelines.load_pipeline(base, "cpu"), [adapter]).faults
    if faults:
        raise ValueError(faults[adapter.name])
