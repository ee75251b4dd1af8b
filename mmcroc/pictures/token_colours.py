"""Tokens as colours: their three principal components."""

import numpy as np
import torch
from torch import Tensor

from mmcroc.numerics.pca import PCA, RunningMoments, fit_pca


class TokenColours:
    """Principal components of many images' tokens as red, green and blue.

    One projection serves all images, so that a colour means the same in each: the mean is
    removed, the three directions of greatest variance become the channels, and the 1st to the
    99th percentile of each channel over all images its range of 0 to 255.

        colours = TokenColours()
        for tokens in maps:                        # (C, h, w) each
            colours.update(tokens)
        colours.fit()
        pictures = [colours.paint(tokens) for tokens in maps]

    The principal components are exact; percentiles are taken of an even sample once there are
    more than ``MAX_SAMPLE`` tokens, so that memory stays bounded.
    """

    MAX_SAMPLE = 2**16
    PERCENTILES = (0.01, 0.99)

    def __init__(self) -> None:
        self.moments: RunningMoments | None = None
        self.sample: list[Tensor] = []
        self.sampled, self.step = 0, 1
        self.pca: PCA | None = None

    def update(self, tokens: Tensor) -> 'TokenColours':
        """Take an image's tokens into account.

        Args:
            tokens: Tokens (C, h, w).

        Raises:
            ValueError: Another C than before; NaN or infinity.
        """
        flat = tokens.detach().flatten(1).T.float()
        if self.moments is None:
            self.moments = RunningMoments(flat.shape[1], flat.device)
        self.moments.update(flat)
        self.sample.append(flat[:: self.step].cpu())
        self.sampled += len(self.sample[-1])
        while self.sampled > self.MAX_SAMPLE:
            self.step *= 2
            self.sample = [torch.cat(self.sample)[::2]]
            self.sampled = len(self.sample[0])
        return self

    def fit(self) -> 'TokenColours':
        """Find components and ranges.

        Raises:
            ValueError: Fewer than 4 tokens, or of fewer than 3 channels.
        """
        if self.moments is None:
            raise ValueError('TokenColours.fit() needs tokens: call update() first')
        self.pca = fit_pca(self.moments, 3, standardize=False)
        sample = self.pca.transform(torch.cat(self.sample)).numpy()
        self.low, self.high = np.quantile(sample, self.PERCENTILES, axis=0)
        return self

    def paint(self, tokens: Tensor) -> np.ndarray:
        """Colour an image's tokens: (C, h, w) to uint8 RGB (h, w, 3), after :meth:`fit`."""
        assert self.pca is not None
        channels = self.pca.transform(tokens.detach().permute(1, 2, 0).cpu()).numpy()
        extent = np.maximum(self.high - self.low, np.finfo(np.float32).tiny)
        shares = np.clip((channels - self.low) / extent, 0, 1)
        return np.round(255 * shares).astype(np.uint8)
