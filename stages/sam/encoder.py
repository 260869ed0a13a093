"""The demo SAM's image encoder: a small convolutional network in the place of SAM's ViT.

Convolutions learn from tens of thousands of pictures what a ViT learns from millions, and what the
rest of a SAM sees of its encoder is only a map of tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

# channels at 1/2, 1/4, 1/8, 1/16 (the tokens), 1/32, 1/64 of the input's side
CHANNELS = (24, 40, 72, 112, 144, 112)
TOKEN = 3  # index of the tokens' scale in CHANNELS
BLOCKS = (0, 1, 2, 2, 2, 2)  # residual blocks at each scale on the way down
NORM_GROUPS = 8
VECTOR = 16  # numbers in the vector of a pixel
CELL = 4  # vectors along a side of a token


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes by."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(NORM_GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(inner)))


class Vectors(nn.Module):
    """On from the tokens to 1/4 of the input's side: a vector for each pixel of a mask.

    Near vectors mean one instance. Tokens see too much of the street at once to tell a post from
    what is beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        two, one = CHANNELS[TOKEN - 1], CHANNELS[TOKEN - 2]
        self.rise = nn.ModuleList((nn.Conv2d(CHANNELS[TOKEN], two, 1), nn.Conv2d(two, one, 1)))
        self.meet = nn.ModuleList((Residual(two), Residual(one)))
        self.last = nn.Conv2d(one, VECTOR, 1)

    def forward(self, x: Tensor, scales: list[Tensor]) -> Tensor:
        """x: the tokens' scale; scales: on the way down -> (B, VECTOR, S / 4, S / 4)."""
        for step, (rise, meet) in enumerate(zip(self.rise, self.meet, strict=True), 1):
            x = meet(scales[TOKEN - step] + F.interpolate(rise(x), scale_factor=2.0))
        vectors: Tensor = self.last(x)
        return vectors


class StreetEncoder(nn.Module):
    """float (B, 3, S, S) -> (B, width + 16 * VECTOR, S / 16, S / 16), S a multiple of 64.

    The first `width` channels are SAM's tokens, the others the vectors of each token's 4 x 4
    pixels of a mask (`nn.PixelShuffle` lays them out): one tensor, as all users of a SAM expect.

    Down to 1/64 for what surrounds a token, and up again; the finer scales reach the tokens with
    their pixels folded into channels, so that edges inside a token are not lost.
    """

    def __init__(self, img_size: int, width: int) -> None:
        super().__init__()
        self.img_size = img_size
        ways = []
        for scale, (channels, blocks) in enumerate(zip(CHANNELS, BLOCKS, strict=True)):
            before = CHANNELS[scale - 1] if scale else 3
            ways.append(
                nn.Sequential(
                    nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                    nn.GroupNorm(NORM_GROUPS, channels),
                    nn.ReLU(),
                    *(Residual(channels) for _ in range(blocks)),
                )
            )
        self.down = nn.ModuleList(ways)
        tokens = CHANNELS[TOKEN]
        side = img_size // 16
        self.place = nn.Parameter(torch.zeros(1, tokens, side, side))
        self.fold = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(CHANNELS[scale], 24, 1),
                nn.PixelUnshuffle(2 ** (TOKEN - scale)),
                nn.Conv2d(24 * 4 ** (TOKEN - scale), tokens, 1),
            )
            for scale in (1, 2)
        )
        self.rise = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1)
            for coarse, fine in ((CHANNELS[5], CHANNELS[4]), (CHANNELS[4], tokens))
        )
        self.meet = nn.ModuleList(
            (Residual(CHANNELS[4]), nn.Sequential(Residual(tokens), Residual(tokens)))
        )
        self.neck = nn.Sequential(nn.Conv2d(tokens, width, 1), LayerNorm2d(width))
        self.vectors = Vectors()
        self.vector_fold = nn.Conv2d(CELL**2 * VECTOR, tokens, 1)
        for parameter in self.vector_fold.parameters():  # tokens begin without
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        scales = []
        for scale, way in enumerate(self.down):
            x = way(x)
            if scale == TOKEN:
                x = x + self.place
            scales.append(x)
        x = self.meet[0](scales[4] + F.interpolate(self.rise[0](scales[5]), scale_factor=2.0))
        x = scales[TOKEN] + F.interpolate(self.rise[1](x), scale_factor=2.0)
        for fold, finer in zip(self.fold, scales[1:TOKEN], strict=True):
            x = x + fold(finer)
        x = self.meet[1](x)
        vectors = F.pixel_unshuffle(self.vectors(x, scales), CELL)
        return torch.cat([self.neck(x + self.vector_fold(vectors)), vectors], dim=1)
