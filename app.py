"""fairdemo's web app: `python app.py`, or the entry point of a Hugging Face Space."""

from fairdemo.models import gpu  # noqa: F401  before torch, as ZeroGPU asks
from fairdemo.ui.port import read_port

read_port()  # before Gradio reads it, and fails with a traceback

from fairdemo.ui.app import launch  # noqa: E402

if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="fairdemo's web app")
    parser.add_argument(
        "--profile",
        help="the default model: a profile's name, a TOML file, or a pack (a folder or a dataset of the Hub)",
    )
    try:
        launch(parser.parse_args().profile)
    except ValueError as error:
        raise SystemExit(f"fairdemo: {error}") from None
