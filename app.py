"""fairdemo's web app: `python app.py`, or the entry point of a Hugging Face Space."""

from fairdemo.ui.app import launch

if __name__ == "__main__":
    launch()
