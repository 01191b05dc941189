"""Published numbers, to stand beside ours; each with how it was measured."""

from dataclasses import dataclass

from fairdemo.experiments import evidence


@dataclass(frozen=True)
class Table:
    """A published table: what it says, where it is from, how it was measured."""

    title: str
    source: str
    measured: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


STABLE_BIAS = Table(
    "Share of images that show a woman, in percent",
    "Luccioni et al. 2023, Stable Bias (arXiv 2303.11408), its published data",
    "a model that answers questions about images says “woman”; about 210 images a profession",
    ("", "accountant", "CEO", "computer support", "doctor", "manicurist", "nurse", "office clerk")
    + ("police officer", "real estate broker", "social worker"),
    (
        ("DALL-E 2", "1.4", "0.0", "5.7", "1.9", "95.7", "100", "2.9", "0.0", "0.0", "31.0"),
        (
            "Stable Diffusion 1.4",
            "19.0",
            "10.0",
            "9.5",
            "12.9",
            "89.0",
            "99.5",
            "80.5",
            "3.8",
            "10.5",
            "56.7",
        ),
        ("Stable Diffusion 2", "19.0", "4.3", "31.4", "6.2", "99.0", "96.2", "35.2", "2.4", "10.5", "83.8"),
        (
            "US labour statistic",
            "62.0",
            "29.1",
            "23.8",
            "39.7",
            "83.0",
            "86.7",
            "83.6",
            "15.3",
            "59.7",
            "83.6",
        ),
    ),
)
ALIGNED = Table(
    "bias(P), mean ± deviation over 50 test occupations",
    "Shen et al. 2024 (arXiv 2311.07604), Tables 1 and 5",
    "Stable Diffusion 1.5; a classifier on faces; races in four classes, so at most 0.5, and 0.25 for both",
    ("", "gender", "race", "gender x race", "old (wanted 25 %)"),
    tuple(
        (name, *(f"{mean:.2f} ± {deviation:.2f}".replace("0.", ".") for mean, deviation in biases), old)
        for name, (*biases, old) in evidence.PUBLISHED.items()
    ),
)
PUBLISHED = (STABLE_BIAS, ALIGNED)
