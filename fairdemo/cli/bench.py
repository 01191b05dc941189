"""`fairdemo bench`: time the chain against the naive ways."""

import argparse


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("bench", help="time the chain against the naive ways")
    p.add_argument("--profile", default="embedded")
    p.add_argument("--full-size", action="store_true", help="SDXL in full size with random weights, on a GPU")
    p.add_argument(
        "--gradients",
        action="store_true",
        help="memory and time of a gradient through the sampler, at 10 and 50 steps",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints tables of times, with ratios."""
    from fairdemo.experiments import bench
    from fairdemo.studio.pool import is_pack

    if args.full_size:
        bench.bench_full_size()
    elif is_pack(args.profile):
        raise ValueError(f"pack {args.profile!r} draws nothing; bench needs a model")
    elif args.gradients:
        from fairdemo.experiments import cost

        cost.table(args.profile)
    else:
        bench.bench(args.profile)
