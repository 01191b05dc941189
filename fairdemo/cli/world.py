"""`fairdemo world`: make or measure the embedded model."""

import argparse
from pathlib import Path

from fairdemo import places


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("world", help="make or measure the embedded model")
    p.add_argument("action", choices=("build", "measure", "tables", "walls"))
    p.add_argument("--work", type=Path, default=places.work(), help="folder for intermediate results")
    p.add_argument(
        "--out",
        type=Path,
        default=places.made(),
        help="build: folder for what is made (default: a checkout's own, else FAIRDEMO_HOME)",
    )
    p.add_argument("--denoiser-steps", type=int, default=6500)
    p.add_argument("--adapter-steps", type=int, default=2500)
    p.add_argument("--only", help="measure only this, by its name")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Builds or measures."""
    if args.action == "build":
        from fairdemo.world.build import build

        build(args.work, args.out, args.denoiser_steps, args.adapter_steps)
    elif args.action == "tables":
        from fairdemo.experiments.tables import write_tables

        print("\n".join(write_tables()) or "Every table is what was measured.")
    elif args.action == "walls":
        from tqdm import tqdm

        from fairdemo.cli.progress import following
        from fairdemo.world import walls

        with tqdm(desc="images") as bar:
            walls.make(following(bar))
    else:
        from fairdemo.experiments.measure_world import measure_world

        measure_world(args.work, args.only)
