"""The networks of timm: built by name, their pool and their blocks."""

import difflib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

from torch import nn

from visnet.models.norms import GeneralisedMeanPool

Pooling = Literal["average", "gem", "token", "attention"]

_TIMMS = {"average": "avg", "token": "token", "attention": "map"}  # what timm calls them
_ANY_SIDE = ("deit", "eva", "vision_transformer")  # timm's modules whose transformers interpolate their positions
WHOLE = -1


def _timm() -> ModuleType:
    try:
        import timm  # here, because it takes seconds to import, and only these networks need it
    except ImportError:
        raise ValueError("timm is not installed: pip install timm") from None
    return timm


def interpolates(network: str) -> bool:
    """Tell whether this is a transformer whose positions fit any number of patches."""
    found = _timm().models.is_model_in_modules(network.partition(".")[0], _ANY_SIDE)
    return bool(found)


def built(network: str, **options: Any) -> Any:
    """Build a network by timm's name, without weights unless `options` say so; `ValueError` suggests the nearest."""
    timm = _timm()
    name = network.partition(".")[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"no network of timm is called {network!r}{meant}")
    if network != name and network not in timm.list_pretrained(f"{name}.*"):
        tags = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise ValueError(f"timm has no weights called {network!r}; it has {tags}")
    if interpolates(network):
        options["dynamic_img_size"] = True
    return timm.create_model(network, **options)


def set_pool(trunk: Any, pool: Pooling, network: str) -> None:
    """Let a trunk pool its last map or tokens in this manner; `ValueError` says which it can."""
    from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d

    every = {name: part for name, part in trunk.named_modules() if isinstance(part, SelectAdaptivePool2d)}
    pools = {name: part for name, part in every.items() if getattr(part.pool, "dim", (2, 3)) == (2, 3)}
    allowed = ["average"]
    allowed += ["gem"] if pools else []
    allowed += ["token"] if not every and getattr(trunk, "cls_token", None) is not None else []
    allowed += ["attention"] if getattr(trunk, "attn_pool", None) is not None else []
    if pool not in allowed:
        raise ValueError(f"pool of {network} must be {' or '.join(map(repr, allowed))}, is {pool!r}")
    if pool != "gem":
        try:
            trunk.reset_classifier(0, _TIMMS[pool])
        except AssertionError as error:  # how timm refuses
            raise ValueError(f"pool of {network} cannot be {pool!r}: {error}") from None
        return
    for name, part in pools.items():
        flat = isinstance(part.flatten, nn.Flatten) or getattr(part.pool, "flatten", False)
        trunk.set_submodule(name, nn.Sequential(GeneralisedMeanPool(), *([nn.Flatten()] if flat else [])))


def tap_widths(trunk: Any, taps: Sequence[int], network: str) -> list[int]:
    """Return the channels of a trunk's maps at these depths; `ValueError` for depths that it does not have."""
    if not taps:
        return []
    if not hasattr(trunk, "forward_intermediates") or not hasattr(trunk, "conv_stem"):
        raise ValueError(f"taps of {network} must be [], are {list(taps)}: only networks with a convolution's stem")
    widths = [int(found["num_chs"]) for found in trunk.feature_info]
    known = range(1, len(widths) + 1)
    if sorted(set(taps) & set(known)) != list(taps):
        raise ValueError(f"taps of {network} must rise and be among {list(known)}, are {list(taps)}")
    return [widths[depth - 1] for depth in taps]


def freeze(trunk: Any, blocks: int, network: str) -> None:
    """Hold the stem and the first `blocks` blocks as they are, or all for -1; `ValueError` if there are fewer."""
    if blocks == 0:
        return
    names = [name for name, _ in trunk.named_parameters()]
    if blocks != WHOLE:
        group_parameters = _timm().models.group_parameters
        matcher = trunk.group_matcher() if hasattr(trunk, "group_matcher") else {}
        if not isinstance(matcher, dict) or not {"stem", "blocks"} <= matcher.keys() or callable(matcher["blocks"]):
            raise ValueError(f"frozen_blocks of {network} must be 0 or -1, all, is {blocks}: timm names no blocks")
        stem, bodies = (group_parameters(trunk, {part: matcher[part]}) for part in ("stem", "blocks"))
        count = len(bodies) - 1  # the last group is what matches no block: the stem, the head
        if not 0 < blocks <= count:
            raise ValueError(f"frozen_blocks of {network} must be -1, all, or 0 to {count}, is {blocks}")
        names = [*stem[0], *(name for number in range(blocks) for name in bodies[number])]
    for name in names:
        trunk.get_parameter(name).requires_grad_(False)


def published(config: Mapping[str, Any]) -> str | None:
    """Say where timm has the weights of a network, as `downloads` reads it; None if nowhere."""
    if not config.get("hf_hub_id"):
        return None
    return f"hf-hub:{config['hf_hub_id']}/{config.get('hf_hub_filename') or 'model.safetensors'}"
