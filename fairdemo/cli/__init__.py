"""The command line: one file a command. `fairdemo --help` lists them."""

import argparse
import sys

import fairdemo
from fairdemo.cli import (
    adapters,
    audit,
    bench,
    calibrate,
    class_room,
    compare,
    data,
    doctor,
    evaluate,
    methods,
    pack,
    prove,
    train,
    validate,
    world,
)
from fairdemo.console import print_whatever
from fairdemo.ending import sigterm_is_ctrl_c

COMMANDS = (
    compare,
    methods,
    calibrate,
    validate,
    world,
    train,
    evaluate,
    adapters,
    pack,
    prove,
    audit,
    data,
    class_room,
    doctor,
    bench,
)


def parser() -> argparse.ArgumentParser:
    """All commands; each module's `add` describes its own."""
    top = argparse.ArgumentParser(
        prog="fairdemo",
        description="Shows a text-to-image model's demographic bias next to a debiased version of it.",
    )
    top.add_argument("--version", action="version", version=f"fairdemo {fairdemo.__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    print_whatever()
    args = parser().parse_args(arguments)
    sigterm_is_ctrl_c()
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"fairdemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fairdemo: stopped", file=sys.stderr)
        return 130
    return 0
