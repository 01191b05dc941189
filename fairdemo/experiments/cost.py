"""What a gradient through the sampler costs, in memory and time: in constant memory, with all steps' graphs
kept, and through the whole sampler (arXiv 2311.07604, section 4.2)."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import torch

from fairdemo.experiments import naive
from fairdemo.models import pipelines, profiles
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import default_device
from fairdemo.models.routing import Router
from fairdemo.models.sampling import Sample, Setting
from fairdemo.stats.mix import Source
from fairdemo.training import adjusted, align

WAYS = {
    "constant": "adjusted, one step's graph at a time",
    "kept": "adjusted, all steps' graphs kept",
    "naive": "naive, through the whole sampler",
}
PROMPT = "a photo of a doctor"


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """Puts into its list by how many bytes memory grew at most within it, and how many were in use at most:
    the GPU's, or this process's."""
    grown: list[float] = []
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        yield grown
        torch.cuda.synchronize()
        grown += [torch.cuda.max_memory_allocated() - base, torch.cuda.max_memory_allocated()]
        return
    process, done = psutil.Process(), threading.Event()
    base = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    yield grown
    done.set()
    thread.join()
    most = max(most, process.memory_info().rss)
    grown += [most - base, most]


class Gradient:
    """One gradient of <g, z_0> with LoRA on the U-Net, the sampling included."""

    def __init__(self, profile: str, images: int = 8):
        chosen, device = profiles.profile(profile).but(compile=""), default_device()
        self.pipe = pipelines.load_pipeline(chosen, device)
        pipelines.place(self.pipe, device)
        self.generator = PairedGenerator(self.pipe, Router(torch.nn.Module(), {}), chosen, device)
        even = {"gender": {"Female": 0.5, "Male": 0.5}}
        config = align.Config(prompts=(PROMPT,), target=even, parts=("unet",), rank=8)
        self.trained = align.fresh(self.generator, config)
        self.profile, self.images = chosen, images
        self.samples = [Sample(i, Source((align.NAME,))) for i in range(images)]

    def text(self) -> adjusted.Text:
        """The U-Net's text, with a graph."""
        return align.conditioning(self.generator, PROMPT, self.images)

    def routed(self) -> AbstractContextManager:
        """Turns the trained adapter on."""
        return self.generator.router.routed([(align.NAME,)] * self.images)

    def run(self, way: str, steps: int) -> None:
        """Computes it one of the `WAYS`, and throws it away."""
        generator = self.generator
        with torch.autocast(generator.device.type, generator.dtype, enabled=generator.mixed):
            if way == "naive":
                self._naive(steps)
            else:
                self._adjusted(way, steps)
        for f in self.trained.factors:
            f.grad = None

    def _naive(self, steps: int) -> None:
        chosen, generator = self.profile, self.generator
        noise, generators = zip(*(generator.noise(0, i) for i in range(self.images)))
        like = {"device": generator.device, "dtype": self.pipe.unet.dtype}
        ids = torch.tensor([[chosen.size, chosen.size, 0, 0, chosen.size, chosen.size]], **like)
        ids = ids.expand(self.images * (1 + (chosen.guidance > 1)), -1)
        with self.routed():
            texts, z = [self.text()] * steps, torch.cat(noise).to(**like)
            z = naive.sampled(self.pipe, texts, z, chosen.guidance, ids, list(generators))
        z.float().sum().backward()

    def _adjusted(self, way: str, steps: int) -> None:
        guidance = self.profile.guidance
        with adjusted.recorded(self.pipe, range(self.images), self.images) as recorded:
            z = self.generator.denoise(Setting(PROMPT, 0, steps, guidance), self.samples)
        g = torch.ones_like(z).float()
        if way == "constant":
            adjusted.backward(self.pipe, recorded, self.text, g, guidance, self.routed)
            return
        with self.routed():
            whole = self.text()
            parts = [adjusted.inner_product(self.pipe, step, whole, g, guidance) for step in recorded]
            torch.stack(parts).sum().backward()


def once(way: str, steps: int, profile: str) -> dict[str, float]:
    """Bytes and seconds of one gradient. To be run in a process of its own."""
    gradient = Gradient(profile)
    gradient.run(way, 2)
    start = time.perf_counter()
    with peak_memory(gradient.generator.device) as grown:
        gradient.run(way, steps)
    return {"bytes": grown[0], "peak": grown[1], "seconds": time.perf_counter() - start}


def table(profile: str, steps: tuple[int, int] = (10, 50)) -> dict[str, list[dict[str, float]]]:
    """Prints and returns memory and time of each way at few and at many steps, each measured in a process
    of its own."""
    print(
        f"\none gradient of 8 images, profile {profile!r}: memory beyond the model's, peak with all that is"
        " loaded, time with sampling"
    )
    found = {}
    for way, title in WAYS.items():
        code = (
            "import json, sys; from fairdemo.experiments import cost; print(json.dumps(cost.once(sys.argv[1],"
            " int(sys.argv[2]), sys.argv[3])))"
        )
        found[way] = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", code, way, str(k), profile],
                    capture_output=True,
                    text=True,
                    encoding="utf-8",
                    check=True,
                ).stdout.splitlines()[-1]
            )
            for k in steps
        ]
        few, many = found[way]
        print(
            f"  {title:40}"
            + "".join(
                f"{k:4} steps {m['bytes'] / 1e6:8.0f} MB, peak {m['peak'] / 1e6:6.0f} MB"
                f" {m['seconds'] / k:6.3f} s a step"
                for k, m in zip(steps, (few, many))
            )
            + f"{many['bytes'] / few['bytes']:8.2f}x memory, {many['peak'] / few['peak']:.2f}x peak",
            flush=True,
        )
    return found
