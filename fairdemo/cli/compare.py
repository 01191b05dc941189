"""`fairdemo compare`: draw pairs, baseline and debiased, and count the faces."""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from fairdemo.report import terminal
from fairdemo.request import MIX, Request
from fairdemo.stats import mix, targets


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("compare", help="draw pairs, baseline and debiased, and count the faces")
    p.add_argument("prompt")
    p.add_argument("-n", type=int, default=16, help="number of pairs (default 16)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--target",
        default="uniform",
        help=(
            f"{', '.join(targets.PRESETS)}, workforce (of the prompt's profession), shares like"
            " 'race:Black=0.3;gender:Female=0.6', or JSON (default uniform); what isn't named stays as the"
            " baseline has it"
        ),
    )
    p.add_argument("--out", type=Path, help="new folder for comparison.json and the images")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    p.add_argument("--profile", default="embedded", help="which model draws (default embedded)")
    p.add_argument(
        "--method", default=MIX, help="how the wall is debiased: mix (default), or a method of the profile's"
    )
    p.add_argument(
        "--rounding",
        "--slots",
        default=mix.ROUNDINGS[0],
        help=f"how a mix becomes whole slots: {' or '.join(mix.ROUNDINGS)}",
    )
    p.add_argument(
        "--steering",
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
    p.add_argument("--steps", type=int, help="of the sampler (default: the profile's)")
    p.add_argument("--guidance", type=float, help="default: the profile's")
    p.set_defaults(run=run)


def asked(args: argparse.Namespace) -> Request:
    """The request that the arguments make; ValueError names the one that is wrong."""
    return Request.checked(**{key: getattr(args, key) for key in Request.model_fields})


def run(args: argparse.Namespace) -> None:
    """Draws, and prints a table or JSON."""
    request = asked(args)
    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    # torch and diffusers take seconds to import
    from fairdemo.models.gpu import Watch
    from fairdemo.studio.studio import Studio, artist_of

    studio = Studio(artist_of(request.profile))
    plan = studio.plan(request)
    style = "{l_bar}{bar}| {elapsed}<{remaining}"
    with tqdm(
        total=100, desc="drawing", unit="%", bar_format=style, file=sys.stderr, disable=args.json
    ) as bar:
        for _ in studio.run(plan, Watch(lambda share: bar.update(round(100 * share) - bar.n))):
            pass
    comparison = plan.comparison
    for notice in comparison.notices:
        print(notice, file=sys.stderr)
    if args.out is not None:
        comparison.save(args.out)
    print(json.dumps(comparison.as_json()) if args.json else terminal.table(comparison))
    if args.out is not None and not args.json:
        print(f"\nThe images and comparison.json are in {args.out}")
