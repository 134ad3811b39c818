"""Published weights, downloaded once: torchvision's, and those that timm has on the Hugging Face hub."""

import contextlib
import http.client
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import torch

TIMEOUT_S = 30.0


def downloaded(published: str) -> Path:
    """Return the file of torchvision's weights by their name, or of "hf-hub:REPOSITORY/FILE".

    `ValueError` when it is not on this machine and cannot be had: it names the file, and where to put it.
    """
    if published.startswith("hf-hub:"):
        repository, _, file = published.removeprefix("hf-hub:").rpartition("/")
        return _from_hub(repository, file)
    return _from_torchvision(published)


def _from_torchvision(name: str) -> Path:
    from torchvision.models import get_weight  # here, because it takes seconds to import

    url = get_weight(name).url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ValueError(f"{path.name} could not be downloaded ({_reason(error)}); put that file at {path}") from None
    finally:
        socket.setdefaulttimeout(before)
    return path


def _from_hub(repository: str, file: str) -> Path:
    import huggingface_hub  # here, because only weights of timm need it, and it comes with timm

    kept = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(kept, str):
        return Path(kept)
    try:
        _reach(huggingface_hub.constants.ENDPOINT)
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"{file} of {repository} on the Hugging Face hub could not be downloaded ({_reason(error)}); "
            f"bring that file here and name its path as weights"
        ) from None


def _reach(endpoint: str) -> None:
    """Raise `OSError` at once where no hub answers: its client tries for half a minute before it says so."""
    with contextlib.suppress(urllib.error.HTTPError):  # whatever it thinks of this request, it answers
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=TIMEOUT_S).close()


def _reason(error: BaseException) -> str:
    if error.__cause__ is not None:  # the hub's client says what failed in what it wraps
        return _reason(error.__cause__)
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
