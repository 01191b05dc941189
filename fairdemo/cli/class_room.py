"""`fairdemo class`: serve the app to the phones of a class, on this machine's own network."""

import argparse
import os


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser(
        "class", help="serve the app to a class's phones, on a laptop's network or hotspot"
    )
    p.add_argument("--port", type=int, default=7860, help="port to listen on (7860)")
    p.add_argument("--profile", help="the model, as for app.py; the embedded one is quick enough for a class")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serves until it is stopped. ValueError if the port can't be used."""
    if not 1024 <= args.port < 2**16:
        raise ValueError(f"port is {args.port}; 1024 to {2**16 - 1} are allowed")
    os.environ["GRADIO_SERVER_NAME"] = "0.0.0.0"  # all of this machine's addresses
    os.environ["GRADIO_SERVER_PORT"] = str(args.port)
    from fairdemo.ui import app

    app.launch(args.profile, tell)


def tell(port: int) -> None:
    """Prints where phones and the teacher go, or why phones can't."""
    import segno

    from fairdemo.ui import reach

    addresses = reach.own_addresses()
    reached = [one for one in addresses if reach.listens(one, port)]
    print(f"\nTeacher, on this computer: http://127.0.0.1:{port}/class/teacher")
    if not addresses:
        print(
            "Phones can't reach this computer: it is in no network. Turn on its hotspot, or join the\n"
            "phones' Wi-Fi; then start this again."
        )
        return
    if not reached:
        print(f"Phones can't reach this computer: port {port} of {', '.join(addresses)} doesn't answer.")
        return
    for address in reached:
        link = f"http://{address}:{port}/class/"
        print(f"Phones in the same network: {link}")
    segno.make(f"http://{reached[0]}:{port}/class/", error="m").terminal(compact=True)
    print(
        "If a phone finds nothing there: it must be in the same Wi-Fi or hotspot; a school's Wi-Fi may keep\n"
        "devices apart (use the laptop's hotspot then); and this computer's firewall must let the port in."
    )
