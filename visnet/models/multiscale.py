"""Visnet's form of network: a deep path and two shallow ones over the shrunken photo, joined by one linear layer."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from visnet.models.deep import DeepPath, Pool, TrunkName
from visnet.models.initial import Init, bias_of, check_widths, initialise
from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise
from visnet.models.norms import NORMS, Norm
from visnet.models.shallow import Layout, ShallowNorm, ShallowPaths

_ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class Multiscale(nn.Module):
    """Embed photos by a deep path and two shallow ones; the defaults are Flipkart's Visnet, 187,521,024 parameters.

    The deep path is `Tapped`'s, with its own norm, and dropout after its last layer where `dropout_last`. The shallow
    paths see what the deep one does, but the layout "caffe" sees BGR in 0..255, as released. Both are joined and
    go through a linear layer of `embedding` numbers, an activation and a norm; `batch_norm` adds one after each shallow
    convolution, one to what is joined, and one to the embedding. Takes RGB floats in 0..1, [B, 3, S, S], S >= 64; gives
    [B, `embedding`] float32.
    """

    def __init__(
        self,
        *,
        trunk: TrunkName = "vgg16",
        taps: tuple[int, ...] = (),
        pool: Pool = "grid",
        frozen_convs: int = 0,
        dense: tuple[int, ...] = (4096, 4096, 4096),
        dropout: float = 0.4,
        dropout_last: bool = False,
        deep_activation: Literal["relu", "none"] = "none",
        deep_norm: Norm = "saturating",
        shallow: Layout = "caffe",
        lrn: bool = True,
        shallow_norm: ShallowNorm = "saturating",
        embedding: int = 4096,
        activation: Literal["none", "relu", "sigmoid"] = "none",
        batch_norm: bool = False,
        norm: Norm = "saturating",
        init: Init = "gaussian",
    ) -> None:
        super().__init__()
        check_widths("embedding", [embedding])
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.deep = DeepPath(
            trunk=trunk,
            taps=taps,
            pool=pool,
            frozen_convs=frozen_convs,
            dense=dense,
            dropout=dropout,
            last_relu=bool(dense) and deep_activation == "relu",
            last_dropout=dropout_last,
            init=init,
        )
        self.shallow = ShallowPaths(layout=shallow, lrn=lrn, norm=shallow_norm, batch_norm=batch_norm, init=init)
        joined = self.shallow.width + self.deep.width
        self.joined_norm = nn.BatchNorm1d(joined) if batch_norm else None
        self.embedding = nn.Linear(joined, embedding)
        self.activation = _ACTIVATIONS[activation]()
        self.batch_norm = nn.BatchNorm1d(embedding) if batch_norm else None
        self.network, self.imagenet = trunk, self.deep.trunk.imagenet
        self.dimensions = embedding
        self.raw_bgr = shallow == "caffe"
        self.deep_norm, self.norm = deep_norm, norm
        if init == "gaussian":
            nn.init.normal_(self.embedding.weight, std=0.005)
            nn.init.constant_(bias_of(self.embedding), 0.1)
        else:
            initialise([self.embedding], init)

    def forward(self, photos: Tensor) -> Tensor:
        """Return embeddings, [B, D] float32."""
        seen = self.normalise(photos)
        deep = NORMS[self.deep_norm](self.deep(seen))
        joined = torch.cat((self.shallow(photos.flip(1) * 255.0 if self.raw_bgr else seen), deep), 1)
        if self.joined_norm is not None:
            joined = self.joined_norm(joined)
        x = self.activation(self.embedding(joined).float())
        return NORMS[self.norm](x if self.batch_norm is None else self.batch_norm(x))

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the trunk of a torchvision state, VGG through fc7 where it is whole; `ValueError` if it does not fit."""
        self.deep.load_trunk(state)
