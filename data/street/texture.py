"""One tileable noise that every surface looks up, with its own scale and offset."""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

SIZE = 512


@lru_cache(maxsize=1)
def _tiles() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(7))
    octaves = []
    for sigma in (0.8, 1.6, 3.2, 6.4, 12.8, 25.6):
        layer = gaussian_filter(rng.standard_normal((SIZE, SIZE)), sigma, mode="wrap")
        octaves.append(layer / layer.std())
    rough = sum(o * w for o, w in zip(octaves, (0.5, 0.5, 0.5, 0.4, 0.3, 0.3), strict=True))
    cloud = sum(o * w for o, w in zip(octaves, (0.02, 0.06, 0.15, 0.3, 0.6, 0.9), strict=True))
    fields = [np.clip(f / f.std(), -2.5, 2.5).astype(np.float32) for f in (rough, cloud)]
    return fields[0].ravel(), fields[1].ravel()


def _index(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # the offset keeps coordinates positive, where truncation is floor
    i = (u + 65536).astype(np.int32) & (SIZE - 1)
    j = (v + 65536).astype(np.int32) & (SIZE - 1)
    return i * SIZE + j


def speckle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rough noise of unit deviation at texel (u, v), float32; all octaves."""
    return _tiles()[0].take(_index(u, v))


def billow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Smooth, cloudy noise of unit deviation at texel (u, v), float32."""
    return _tiles()[1].take(_index(u, v))
