"""Files and folders from this machine or from the Hub, and what went wrong in words. Only safetensors are
taken: a pickle can run code."""

import errno
import re
from pathlib import Path

import torch
from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache
from safetensors import SafetensorError, safe_open

WITHOUT = "profile embedded works without it"


def is_local(source: str) -> bool:
    """Whether a profile or catalog means a folder of this machine (it starts with . or /) and not a
    repository on the Hub."""
    return source.startswith((".", "/"))


def repository(name: str, what: str) -> str:
    """The name of a repository of the Hub, `owner/name`; ValueError for what can only be a folder of this
    machine, which isn't there."""
    owner, _, rest = name.partition("/")
    if is_local(name) or not owner or not rest or "/" in rest:
        raise ValueError(f"{what}: there is no folder {name!r} (a repository of the Hub is owner/name)")
    return name


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit of the Hub, which never changes."""
    return bool(re.fullmatch(r"[0-9a-f]{40}", revision or ""))


def is_name(name: str) -> bool:
    """Whether a name is short and plain enough for files and links."""
    return bool(re.fullmatch(r"[\w.-]{1,40}", name))


def weights_file(source: str | Path, file: str, revision: str | None = None) -> Path:
    """The safetensors file of a local folder or a Hub repository, complete; ValueError says what is wrong
    with it."""
    what = f"weights {file!r} of {str(source)!r}"
    if not file.endswith(".safetensors"):
        raise ValueError(f"{what} are no safetensors file; pickle files can run code and are never loaded")
    local = isinstance(source, Path)
    if local:
        path = source / file
        if not path.is_file():
            raise ValueError(f"{what} are missing")
    else:
        try:
            path = Path(hf_hub_download(source, file, revision=revision))
        except Exception as error:  # the Hub's client, the network and the disk each raise their own kinds
            raise ValueError(explain(error, what)) from error
    whole(path, what, local)
    return path


def is_here(source: str | Path, revision: str | None) -> bool:
    """Whether a model is on this machine: a folder, or fetched from the Hub before."""
    if isinstance(source, Path):
        return source.is_dir()
    return isinstance(try_to_load_from_cache(source, "model_index.json", revision=revision), str)


def whole(path: Path, what: str, local: bool) -> None:
    """ValueError if a safetensors file's header is unreadable or doesn't match its length, as after a
    broken download. `local` files are nobody's to fetch again."""
    try:
        with safe_open(path, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(explain(error, what, local)) from None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or isinstance(error, RuntimeError)
        and any(
            words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory")
        )
    )


def explain(error: BaseException, what: str, local: bool = False) -> str:
    """One line: what couldn't be had, why, and what to do; `local` where it was never on the Hub."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)  # libraries wrap the kind that tells

    def caused(*kinds: type) -> bool:
        return any(isinstance(e, kinds) for e in chain)

    # The Hub's client has an HTTP library of its own, whose errors have the same names.
    unreached = any(kind.__name__ == "TransportError" for e in chain for kind in type(e).__mro__)

    if caused(errors.GatedRepoError):
        return (
            f"{what}: the repository is gated. Accept its terms on its page, set HF_TOKEN and try again;"
            f" {WITHOUT}"
        )
    if caused(errors.RevisionNotFoundError):
        return (
            f"{what}: the repository has no such revision. Check the commit in the profile or catalog;"
            f" {WITHOUT}"
        )
    if caused(errors.RemoteEntryNotFoundError):
        return (
            f"{what}: the repository has no such file. Check the name and revision in the profile or catalog;"
            f" {WITHOUT}"
        )
    if caused(errors.RepositoryNotFoundError, errors.HFValidationError):
        return (
            f"{what}: there is no such repository on the Hub, or it is private. Check its name, or set"
            f" HF_TOKEN; {WITHOUT}"
        )
    if any(getattr(e, "errno", None) == errno.ENOSPC for e in chain):
        return f"{what}: the disk is full. Make room, or set HF_HOME to a folder on another disk; {WITHOUT}"
    if any(out_of_memory(e) for e in chain):
        return f"{what}: memory ran out. Close other programs or use a machine with more; {WITHOUT}"
    if unreached or caused(
        errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.DryRunError, ConnectionError
    ):
        return (
            f"{what}: not complete on this machine, and the Hub can't be reached. Connect once to fetch it;"
            f" {WITHOUT}"
        )
    if caused(SafetensorError) and local:
        return f"{what}: the file is damaged or incomplete"
    if caused(SafetensorError):
        return f"{what}: the file is damaged or incomplete. Delete it and let it be fetched again; {WITHOUT}"
    told = next((e for e in chain if str(e).strip()), error)
    return (
        f"{what} can't be used, it may be damaged: {type(told).__name__}:"
        f" {(str(told).strip().splitlines() or ['no more is known'])[0][:200]}; {WITHOUT}"
    )
