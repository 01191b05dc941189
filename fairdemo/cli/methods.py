"""`fairdemo methods`: the ways to debias, what each needs and what it draws with."""

import argparse
import json
import textwrap


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("methods", help="list the ways to debias, and what each of them needs")
    p.add_argument("action", choices=("list",))
    p.add_argument("--profile", default="embedded", help="of which model (default embedded)")
    p.add_argument("--json", action="store_true", help="print JSON instead of text")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints every method of a profile; of a pack its only one."""
    from fairdemo.studio.studio import artist_of

    methods = list(artist_of(args.profile).registry.values())
    if args.json:
        print(json.dumps([method.as_json() for method in methods], indent=1))
        return
    for method in methods:
        follows = "follows the wished shares" if method.follows else "follows no wish"
        mixes = ", can be mixed with others" if method.mixes else ""
        needs = f"needs {' and '.join(method.needs)}" if method.needs else "needs nothing but the model"
        print(f"{method.name}\n{textwrap.fill(method.what, 96, initial_indent='  ', subsequent_indent='  ')}")
        print(f"  {method.paper}")
        print(f"  {len(method.sources)} sources; {follows}{mixes}; {needs}; U-Net calls x {method.calls:g}\n")
