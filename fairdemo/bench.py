"""Times the chain against the naive ways, in one run on one machine; ratios are what counts."""

import subprocess
import sys
import time
from collections.abc import Callable

import torch
from diffusers.utils import logging
from facenet_pytorch import MTCNN

from fairdemo import models
from fairdemo.adapters import CATALOG
from fairdemo.compare import Studio

IMAGES = 24
READ = 64


def best(run: Callable[[], object], times: int = 3) -> float:
    """The shortest of some runs, in seconds, after one to warm up."""
    run()
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return min(durations)


def bench(profile: str) -> None:
    """Prints a table: drawing 24 images through twelve adapters four ways; reading 64 images two ways; the whole chain."""
    logging.set_verbosity_error()  # each of the published way's files would say that it holds nothing for the text encoders
    studio = Studio(profile)
    generator, reader, settings = studio.generator, studio.reader, studio.profile
    groups = [a for a in studio.adapters if len(a.cell) == 2]
    weights = {a.name: a.weight for a in groups}
    wanted = [(i, (groups[i % len(groups)].name,)) for i in range(IMAGES)]
    prompt = "a photo of a doctor"
    plain = models.load_pipeline(settings, studio.device)
    for a in groups:
        plain.load_lora_weights(CATALOG.parent / "embedded", weight_name=a.file.split("/")[-1], adapter_name=a.name.replace(" ", "_"))

    def pipe(slots: list[int]) -> list:
        with torch.no_grad(), torch.autocast(generator.device.type, generator.dtype, enabled=generator.dtype != torch.float32):
            noise = torch.cat([generator.noise(0, i)[0] for i in slots]).to(generator.device)
            return plain([prompt] * len(slots), latents=noise, num_inference_steps=settings.steps, guidance_scale=settings.guidance, height=settings.size, width=settings.size).images

    def one_by_one() -> list:
        """The published way: `set_adapters` before each single image."""
        images = []
        for i, (name,) in wanted:
            plain.set_adapters(name.replace(" ", "_"), weights[name])
            images += pipe([i])
        return images

    def by_group() -> list:
        images = []
        for a in groups:
            plain.set_adapters(a.name.replace(" ", "_"), a.weight)
            images += pipe([i for i, (name,) in wanted if name == a.name])
        return images

    def one_adapter() -> list:
        plain.set_adapters(groups[0].name.replace(" ", "_"), groups[0].weight)
        return pipe([i for i, _ in wanted])

    def mixed() -> list:
        return generator.draw(prompt, 0, wanted, settings.steps, settings.guidance)

    naive = MTCNN(keep_all=True, device=studio.device, post_process=False)
    pictures = [image for k in range(0, READ, 16) for image in generator.draw(prompt, k, [(i, ()) for i in range(16)], settings.steps, settings.guidance)]

    def naive_reading(images: list) -> None:
        for image in images:
            naive.detect(image)

    def rows(title: str, runs: dict[str, Callable[[], object]]) -> None:
        print(f"\n{title}")
        seconds = {name: best(run) for name, run in runs.items()}
        first = next(iter(seconds.values()))
        for name, s in seconds.items():
            print(f"  {name:56}{s:8.2f} s {s / first:7.2f}x")

    print("\nimport of the science, of numpy alone")
    for module in ("fairdemo.mix, fairdemo.measure, fairdemo.targets, fairdemo.response", "numpy"):
        code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
        seconds = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(3))
        print(f"  {module:72}{seconds:8.2f} s")
    rows(f"drawing {IMAGES} images through {len(groups)} adapters", {"mixed batch": mixed, "one adapter for the whole batch": one_adapter, "one pass per adapter": by_group,
         "published way: set_adapters before each image": one_by_one})
    rows(f"reading {READ} images", {"FaceReader, detection and labels": lambda: reader.read(pictures), "detector alone": lambda: reader.detector.detect(pictures),
         "MTCNN's defaults, one image at a time, detection alone": lambda: naive_reading(pictures)})
    rows(f"whole chain, {IMAGES} images", {"mixed batch and FaceReader": lambda: reader.read(mixed()), "published way and MTCNN's defaults": lambda: naive_reading(one_by_one())})
