"""`fairdemo calibrate`: measure what each adapter's images are classified as."""

import argparse

from tqdm import tqdm

from fairdemo.cli.progress import following
from fairdemo.stats import response


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "calibrate", help="measure what each adapter's images are classified as; resumable"
    )
    p.add_argument("--profile", default="embedded")
    p.add_argument("--images", type=int, default=2, help="images for each adapter and profession (default 2)")
    p.add_argument(
        "--baseline-images",
        type=int,
        default=24,
        help="images of the baseline for each profession (default 24)",
    )
    p.add_argument(
        "--method",
        nargs="+",
        default=["mix"],
        metavar="NAME",
        help=(
            "whose sources are measured; more than the mix is only needed for sliders that drive others"
            ' (default "mix")'
        ),
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Calibrates, and prints a line a source."""
    from fairdemo.experiments.calibrate import calibrate
    from fairdemo.studio.live import Live
    from fairdemo.studio.pool import is_pack

    if is_pack(args.profile):
        raise ValueError(
            f"pack {args.profile!r} needs no calibration: what its images are classified as is known"
        )
    live = Live(args.profile)
    with tqdm(desc="calibrating, professions") as bar:
        for done, of in calibrate(live, args.method, args.images, args.baseline_images):
            following(bar)(done, of)
    sources = dict.fromkeys(s for name in args.method for s in live.registry[name].sources)
    print("\n".join(response.report(response.load(live.response_file), list(sources), live.confusions.known)))
    print(
        f"Counts are in {live.response_file}. As perceived by the classifier, on generated faces; corrected"
        " is an estimate."
    )
