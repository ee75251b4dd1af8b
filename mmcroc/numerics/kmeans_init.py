"""Starting centroids for k-means, sampled from the points of all ranks.

Samples are exponential races: point i gets the key E_i / w_i with E_i ~ Exp(1), and the points of
the smallest keys are a sample without replacement, with probabilities proportional to the weights
(Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006). E_i is a function of
the point's number in the data set, so the sample does not depend on the split over ranks.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_gather_stack, get_rank
from mmcroc.numerics.kmeans_lloyd import Points

#: Number of streams of random numbers that one start may use: more than clusters anyone asks for.
STREAMS_PER_START = 1 << 20


def global_point_index(points: Tensor, distributed: bool) -> Tensor:
    """Number this rank's points (B, N, D), all ranks' counted rank by rank: int64 (N,)."""
    index = torch.arange(points.shape[1], device=points.device)
    if not distributed:
        return index
    size = torch.tensor([points.shape[1]], device=points.device)
    return index + all_gather_stack(size)[: get_rank()].sum()


@dataclass
class Start:
    """One of a k-means' random starts.

    Attributes:
        of: Points to start on.
        index: Each point's number in the whole data set, int64 (N,).
        seed: Seed of the random numbers.
        number: Number of the start, where there are several.
    """

    of: Points
    index: Tensor
    seed: int
    number: int

    def race(self, weights: Tensor | None, number: int, stream: int) -> tuple[Tensor, Tensor]:
        """Sample points of all ranks without replacement, proportionally to their weights.

        Args:
            weights: Weights (B, N), not negative; None: all alike. Points of weight 0 come last.
            number: Number of points to sample.
            stream: Stream of this start's random numbers, another one for each sample.

        Returns:
            Points (B, number, D) in the order sampled, and their keys (B, number), infinite where
            there was no point left.
        """
        points = self.of.points
        problem = torch.arange(len(points), device=points.device)[:, None]
        stream += self.number * STREAMS_PER_START
        # Problems of a batch are sampled independently. 2^40 points each are enough.
        keys = -counter_uniform(self.index + (problem << 40), self.seed, stream).log()
        if weights is not None:
            keys = keys / weights.double().clamp(min=1e-200)
        if self.of.mask is not None:
            keys = keys.masked_fill(~self.of.mask, math.inf)
        keys, sampled = self.of.first_of_all(keys, points, number, largest=False)
        return sampled, keys

    def from_sample(self, size: int) -> 'Start':
        """This start on a uniform sample of all ranks' points, the same on every rank."""
        sample, keys = self.race(None, size, STREAMS_PER_START - 1)
        few = replace(self.of, points=sample, mask=keys.isfinite(), distributed=False)
        return replace(self, of=few, index=torch.arange(size, device=sample.device))

    def centroids(self) -> Tensor:
        """Spread the starting centroids by greedy k-means++.

        Each next centroid is sampled with probability proportional to D², the squared distance to
        the nearest centroid so far. As in scikit-learn, 2 + ln K candidates are sampled each time
        and the one that leaves the least sum of D² is taken; unlike there, without replacement. Of
        unit vectors D² is 2 - 2 x·c.

        Reference: Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding*, 2007.

        Returns:
            Centroids (B, K, D), the same on all ranks.
        """
        points = self.of.points
        num_candidates = 2 + int(math.log(self.of.num_clusters))
        squared_norms = points.square().sum(-1)
        first, _ = self.race(None, 1, 0)
        centroids = [first]
        nearest = torch.full_like(squared_norms, math.inf)
        nearest = self._distances(squared_norms, first, nearest)[0][:, 0]
        for number in range(1, self.of.num_clusters):
            candidates, keys = self.race(nearest, num_candidates, number)
            nearer, potential = self._distances(squared_norms, candidates, nearest)
            potential = self.of.over_ranks(potential)
            # Fewer points left than candidates asked for: the rest are not points.
            choice = potential.masked_fill(keys.isinf(), math.inf).argmin(1)[:, None, None]
            centroids.append(candidates.gather(1, choice.expand(-1, 1, points.shape[2])))
            nearest = nearer.gather(1, choice.expand(-1, 1, points.shape[1]))[:, 0]
        return torch.cat(centroids, 1)

    def _distances(
        self, squared_norms: Tensor, candidates: Tensor, nearest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """D² if each candidate became a centroid: (B, L, N), and its sum here: (B, L)."""
        points, mask, size = self.of.points, self.of.mask, self.of.chunk_size
        nearer = nearest.new_empty(len(points), candidates.shape[1], points.shape[1])
        potential = torch.zeros(candidates.shape[:2], dtype=torch.float64, device=points.device)
        offset = candidates.square().sum(-1)[..., None]
        for begin in range(0, points.shape[1], size):
            here = slice(begin, begin + size)
            squared = torch.baddbmm(offset, candidates, points[:, here].mT, alpha=-2)
            squared += squared_norms[:, None, here]
            squared = torch.minimum(squared.clamp_(min=0), nearest[:, None, here])
            if mask is not None:
                squared *= mask[:, None, here]
            nearer[:, :, here] = squared
            potential += squared.sum(-1)
        return nearer, potential
