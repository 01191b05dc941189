"""`fairdemo validate`: check the science against known truth."""

import argparse
from pathlib import Path

from fairdemo import places


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "validate", help="check intervals, corrections, mix and steering against known truth"
    )
    p.add_argument("--only", help="check only this, by its name")
    p.add_argument("--work", type=Path, default=places.work(), help="folder for drawn portraits")
    p.add_argument("--record", action="store_true", help="keep the table for the documents")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints a table, wanted beside measured."""
    from fairdemo.experiments.validate import validate

    validate(args.only, args.work, args.record)
