"""What a gradient through the sampler costs, in memory and time: in constant memory, with all steps' graphs kept, and through the whole sampler (arXiv 2311.07604, section 4.2)."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import torch

from fairdemo import models
from fairdemo.adapters import Router
from fairdemo.generate import PairedGenerator
from fairdemo.training import adjusted, align, naive

WAYS = {
    "constant": "adjusted, one step's graph at a time",
    "kept": "adjusted, all steps' graphs kept",
    "naive": "naive, through the whole sampler",
}
PROMPT = "a photo of a doctor"


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """Puts into its list by how many bytes memory grew at most within it, and how many were in use at most: the GPU's, or this process's."""
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


def once(way: str, steps: int, profile: str, images: int = 8) -> dict[str, float]:
    """Bytes and seconds of one gradient of <g, z_0> with LoRA on the U-Net, the sampling included. To be run in a process of its own."""
    chosen = replace(models.profile(profile), compile="")
    pipe = models.load_pipeline(chosen, models.default_device())
    models.place(pipe, models.default_device())
    generator = PairedGenerator(pipe, Router(torch.nn.Module(), {}), chosen, models.default_device())
    trained = align.fresh(
        generator, align.Config((PROMPT,), {"gender": {"Female": 0.5, "Male": 0.5}}, parts=("unet",), rank=8)
    )
    samples: list[tuple[str, ...]] = [(align.NAME,)] * images

    def text() -> adjusted.Text:
        return align.conditioning(generator, PROMPT, samples)

    def run(steps: int) -> None:
        noise, generators = zip(*(generator.noise(0, i) for i in range(images)))
        with torch.autocast(generator.device.type, generator.dtype, enabled=generator.mixed):
            if way == "naive":
                rows = images * (1 + (chosen.guidance > 1))
                ids = torch.tensor(
                    [[chosen.size, chosen.size, 0, 0, chosen.size, chosen.size]],
                    device=generator.device,
                    dtype=pipe.unet.dtype,
                ).expand(rows, -1)
                with generator.router.routed(samples):
                    z = naive.sampled(
                        pipe,
                        [text()] * steps,
                        torch.cat(noise).to(generator.device, pipe.unet.dtype),
                        chosen.guidance,
                        ids,
                        list(generators),
                    )
                z.float().sum().backward()
            else:
                with adjusted.recorded(pipe, range(images), images) as recorded:
                    g = torch.ones_like(
                        generator.denoise(PROMPT, 0, list(enumerate(samples)), steps, chosen.guidance)
                    ).float()
                if way == "constant":
                    adjusted.backward(
                        pipe, recorded, text, g, chosen.guidance, lambda: generator.router.routed(samples)
                    )
                else:
                    with generator.router.routed(samples):
                        whole = text()
                        sum(
                            adjusted.inner_product(pipe, step, whole, g, chosen.guidance) for step in recorded
                        ).backward()
        for f in trained.factors:
            f.grad = None

    run(2)
    start = time.perf_counter()
    with peak_memory(generator.device) as grown:
        run(steps)
    return {"bytes": grown[0], "peak": grown[1], "seconds": time.perf_counter() - start}


def table(profile: str, steps: tuple[int, int] = (10, 50)) -> dict[str, list[dict[str, float]]]:
    """Prints and returns memory and time of each way at few and at many steps, each measured in a process of its own."""
    print(
        f"\none gradient of 8 images, profile {profile!r}: memory beyond the model's, peak with all that is loaded, time with sampling"
    )
    found = {}
    for way, title in WAYS.items():
        code = "import json, sys; from fairdemo.training import cost; print(json.dumps(cost.once(sys.argv[1], int(sys.argv[2]), sys.argv[3])))"
        found[way] = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", code, way, str(k), profile],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.splitlines()[-1]
            )
            for k in steps
        ]
        few, many = found[way]
        print(
            f"  {title:40}"
            + "".join(
                f"{k:4} steps {m['bytes'] / 1e6:8.0f} MB, peak {m['peak'] / 1e6:6.0f} MB {m['seconds'] / k:6.3f} s a step"
                for k, m in zip(steps, (few, many))
            )
            + f"{many['bytes'] / few['bytes']:8.2f}x memory, {many['peak'] / few['peak']:.2f}x peak",
            flush=True,
        )
    return found
