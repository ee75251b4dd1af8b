"""A metric of one's own: how alike the tokens of an image are."""

import torch
from mmseg.registry import METRICS
from torch.nn import functional as F

from mmcroc.evaluation.token_metric import TokenMetric
from mmcroc.numerics.distributed import all_reduce_sum


@METRICS.register_module()
class TokenSimilarity(TokenMetric):
    """Mean cosine between two tokens of an image, percent. Near 100, features have collapsed.

    Every rank keeps what ``add`` makes of its own images; ``score`` unites the ranks. Images with
    a number of ``size`` or more are repetitions that a sampler made, and do not count.
    """

    def __init__(self, protocol='token-similarity', **kwargs):
        super().__init__(protocol, **kwargs)
        self.reset()

    def reset(self):
        """Forget all images."""
        self.cosines = []

    def add(self, number, tokens, mask):
        """Keep one number of an image: tokens (C, h, w); its mask is not needed."""
        unit = F.normalize(tokens.flatten(1).double(), dim=0)
        count = unit.shape[1]
        # The sum over all pairs is the squared length of the sum; the diagonal is `count`.
        pairs = unit.sum(1).square().sum() - count
        self.cosines.append((number, float(pairs / (count * (count - 1)))))

    def score(self, size):
        """The mean over the data set's ``size`` images, alike on all ranks."""
        own = sum(cosine for number, cosine in self.cosines if number < size)
        total = all_reduce_sum(torch.tensor(own, dtype=torch.float64))
        metrics = dict(cosine=100 * float(total) / size)
        self.report = dict(protocol=self.protocol, metrics=metrics, num_images=size)
        return metrics
