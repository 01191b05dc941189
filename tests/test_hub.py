"""What goes wrong between here and the Hub, in words; a Space with a shared GPU; what the app doesn't
import."""

import errno
import os
import subprocess
import sys

import httpx
import pytest
import torch
from huggingface_hub import errors
from safetensors import SafetensorError

from fairdemo.models import hub, pipelines, profiles
from fairdemo.places import SHIPPED as ROOT

ANSWER = httpx.Response(404, request=httpx.Request("GET", "https://example.org"))


def wrapped(inner: Exception) -> Exception:
    """As libraries raise it: another kind around the one that tells."""
    try:
        try:
            raise inner
        except Exception as error:
            raise OSError("can't load the model") from error
    except OSError as outer:
        return outer


@pytest.mark.parametrize(
    "error, message",
    [
        (errors.GatedRepoError("x", response=ANSWER), "the repository is gated. Accept its terms"),
        (errors.RepositoryNotFoundError("x", response=ANSWER), "no such repository"),
        (errors.RevisionNotFoundError("x", response=ANSWER), "no such revision"),
        (errors.RemoteEntryNotFoundError("x", response=ANSWER), "no such file"),
        (errors.LocalEntryNotFoundError("x"), "the Hub can't be reached"),
        (errors.OfflineModeIsEnabled("x"), "the Hub can't be reached"),
        (httpx.ConnectError("x"), "the Hub can't be reached"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (SafetensorError("incomplete metadata, file not fully covered"), "damaged or incomplete"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
            "memory ran out",
        ),
    ],
)
def test_one_line_says_what_happened_and_what_to_do(error, message):
    for raised in (error, wrapped(error)):
        told = hub.explain(raised, "model 'a/b'")
        assert (
            told.startswith("model 'a/b'")
            and "\n" not in told
            and told.endswith("profile embedded works without it")
        )
        assert message in told


@pytest.mark.parametrize(
    "error, message",
    [
        (errors.GatedRepoError("x", response=ANSWER), "gated"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    ],
)
def test_loaders_tell_it(error, message, monkeypatch):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(pipelines.FAMILIES["sdxl"], "download", fails)
    with pytest.raises(
        ValueError, match=f"model 'stabilityai/stable-diffusion-xl-base-1.0' of profile 'sdxl'.*{message}"
    ):
        pipelines.load_pipeline(profiles.profile("sdxl"), "cpu")
    monkeypatch.setattr(hub, "hf_hub_download", fails)
    with pytest.raises(ValueError, match=f"pytorch_lora_weights.safetensors.*{message}"):
        hub.weights_file("NYUAD-ComNets/Asian_Female_Profession_Model", "pytorch_lora_weights.safetensors")


def test_a_local_folder_stands_in_for_a_repository(tmp_path, monkeypatch):
    """What `download` gives is loaded like any folder, also when half of it is missing."""
    from tests import small_models

    pipe = small_models.pipeline("sdxl")
    pipe.save_pretrained(tmp_path, variant="fp16")
    asked = {}

    def download(source, **settings):
        asked.update(settings, source=source)
        return str(tmp_path)

    monkeypatch.setattr(pipelines.FAMILIES["sdxl"], "download", download)
    monkeypatch.setattr(
        pipelines.AutoencoderKL,
        "from_pretrained",
        lambda source, **settings: asked.update(vae=source, **settings) or pipe.vae,
    )
    config = {"_class_name": "AutoencoderKL"}
    monkeypatch.setattr(pipelines.AutoencoderKL, "load_config", lambda source, **settings: config)
    loaded = pipelines.load_pipeline(profiles.profile("sdxl"), "cpu")
    assert torch.allclose(loaded.unet.conv_in.weight.float(), pipe.unet.conv_in.weight, atol=0.01)
    assert (
        asked["source"] == "stabilityai/stable-diffusion-xl-base-1.0"
        and asked["vae"] == "madebyollin/sdxl-vae-fp16-fix"
        and asked["use_safetensors"]
        and asked["variant"] == "fp16"
    )
    (tmp_path / "unet/diffusion_pytorch_model.fp16.safetensors").unlink()
    with pytest.raises(ValueError, match="of profile 'sdxl'.*profile embedded works without it"):
        pipelines.load_pipeline(profiles.profile("sdxl"), "cpu")


ZERO = """
import pickle, sys, types
calls = []
def GPU(duration):
    def decorate(work):
        def crossing(*args):
            calls.append(duration(*args))
            return pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(args)))))
        return crossing
    return decorate
sys.modules["spaces"] = types.SimpleNamespace(GPU=GPU)
from fairdemo.models import gpu
import torch
assert not torch.cuda.is_initialized()
from fairdemo.models.gpu import Watch
from fairdemo.request import Request
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
studio = Studio(Live("embedded", "cpu"))
asked = Request.checked(prompt="a photo of a doctor", n=4, seed=1, steps=3)
for comparison in studio.run(studio.plan(asked), Watch(lambda share: 1 / 0)):
    pass
assert len(comparison.pairs) == 4 and calls and all(10 <= c <= 120 for c in calls), calls
print("drawn on a shared GPU")
"""


def test_drawings_cross_over_to_a_shared_gpu():
    """ZeroGPU runs decorated work in another process: what goes there and comes back must be pickled, and
    callbacks stay behind."""
    done = subprocess.run(
        [sys.executable, "-c", ZERO],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env={**os.environ, "SPACES_ZERO_GPU": "1"},
    )
    assert "drawn on a shared GPU" in done.stdout, done.stderr[-2000:]


def test_the_embedded_app_imports_no_model_that_it_does_not_use():
    code = (
        "import sys, fairdemo.ui.app as app; app.page(); from fairdemo.studio.live import Live;"
        " Live('embedded', 'cpu').load(); print([m for m in ('open_clip', 'datasets', 'spaces', 'timm') if"
        " m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env={**os.environ, "FAIRDEMO_PROFILE": "embedded,sdxl,sdxl-lightning,sd15"},
    )
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr[-2000:]


def test_strange_errors_keep_their_words():
    assert (
        hub.explain(KeyError("strange"), "model 'a/b'")
        == "model 'a/b' can't be used, it may be damaged: KeyError: 'strange'; profile embedded works"
        " without it"
    )


def test_memory_errors_are_told_apart():
    assert hub.out_of_memory(torch.OutOfMemoryError()) and hub.out_of_memory(MemoryError())
    assert not hub.out_of_memory(RuntimeError("size mismatch"))
