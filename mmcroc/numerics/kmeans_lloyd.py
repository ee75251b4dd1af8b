"""Points of a k-means, its random starts, and the steps of Lloyd's algorithm on them.

Points are gone through in chunks. On a CPU parts of them run side by side on its cores: a chunk
that fits a core's cache is too small to be split again inside each operation, and some operations
(numpy's argmax, index_add_ in order) never are. Whole chunks on each core keep both.

Samples are exponential races: point i gets the key E_i / w_i with E_i ~ Exp(1), and the points of
the smallest keys are a sample without replacement, with probabilities proportional to the weights
(Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006). E_i is a function of
the point's number in the data set, so the sample does not depend on the split over ranks.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum, get_rank

Part = TypeVar('Part')
Result = TypeVar('Result')

#: Least number of points added up at once on a CPU: each time costs K x D additions in float64.
SUM_CHUNK = 2**14
#: Number of parts that may run side by side. The same on every machine: sums over parts then do not
#: depend on the number of threads.
NUM_PARTS = 16
#: Number of streams of random numbers that one start may use: more than clusters anyone asks for.
STREAMS_PER_START = 1 << 20


@dataclass
class Points:
    """Points of B problems of K clusters, or this rank's share of them.

    Attributes:
        points: Points (B, N, D); unit vectors for the cosine metric.
        num_clusters: Number K of clusters.
        metric: Distance, 'euclidean' or 'cosine'.
        distributed: Whether other ranks hold points of the same problems: sums are over all.
        chunk_size: Number of points of each problem scored at once; 0: scores that fit a CPU's
            cache, or a few hundred MiB of a GPU.
    """

    points: Tensor
    num_clusters: int
    metric: str = 'euclidean'
    distributed: bool = False
    chunk_size: int = 0

    def __post_init__(self) -> None:
        if self.chunk_size:
            return
        batch, _, dim = self.points.shape
        scores = max(batch, 1) * self.num_clusters
        if self.points.device.type == 'cpu':
            self.chunk_size = min(max(2**19 // scores, 2048), 16384)
        else:  # 2 D: sums are of float64
            self.chunk_size = max(2**26 // max(scores, 2 * dim), 1024)

    def over_ranks(self, share: Tensor) -> Tensor:
        """Sum over the ranks that hold points of the same problems."""
        return all_reduce_sum(share) if self.distributed else share

    def assign(self, centroids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Do the E step: each point's best centroid and, the points being at hand, the sums.

        Args:
            centroids: Centroids (B, K, D).

        Returns:
            Labels, int64 (B, N); sums (B, K, D) and counts (B, K) of the clusters' points, float64.
        """
        points = self.points
        labels = torch.empty(points.shape[:2], dtype=torch.long, device=points.device)
        offset = centroids.new_zeros(len(centroids), 1, 1)
        if self.metric == 'euclidean':
            offset = centroids.square().sum(-1)[:, None] / -2

        def assign_part(part: range) -> Tensor:
            # One buffer: fresh memory for every chunk costs as much as the product.
            size = min(self.chunk_size, len(part))
            score = points.new_empty(len(points), size, self.num_clusters)
            for here in chunks(part, self.chunk_size):
                chunk = score[:, : here.stop - here.start]
                torch.baddbmm(offset, points[:, here], centroids.mT, out=chunk)
                labels[:, here] = _argmax(chunk)
            return self._part_sums(part, labels)

        parts = split_in_parts(points.shape[1], self.chunk_size, points.device)
        return labels, *self._united(map_parts(assign_part, parts))

    def _part_sums(self, part: range, labels: Tensor) -> Tensor:
        """Sum and, last, number of a part's points by label, float64 (B, K, D + 1).

        Within a chunk the points add up in their own precision, the chunks in float64.
        """
        batch, _, dim = self.points.shape
        on_cpu = self.points.device.type == 'cpu'
        number = self.num_clusters
        total = self.points.new_zeros(batch, number, dim + 1, dtype=torch.float64)
        first_bin = torch.arange(batch, device=self.points.device)[:, None] * number
        # No one-hot labels on a CPU: memory does not grow with K.
        for here in chunks(part, max(self.chunk_size, SUM_CHUNK) if on_cpu else self.chunk_size):
            points, label = self.points[:, here], labels[:, here]
            if on_cpu:
                # Runs in order there, so it is deterministic, and it is faster than a product.
                label = (label + first_bin).flatten()
                sums = points.new_zeros(batch * number, dim)
                sums.index_add_(0, label, points.reshape(len(label), -1))
                total[..., :-1] += sums.view(batch, number, dim)
                total[..., -1] += label.bincount(minlength=len(sums)).view(batch, number)
            else:
                # A GPU scatters in any order; a product with one-hot labels is deterministic.
                member = points.new_zeros(*label.shape, number).scatter_(2, label[..., None], 1)
                total[..., :-1] += torch.bmm(member.mT, points)
                total[..., -1] += member.sum(1)
        return total

    def _united(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Sums and counts of all parts, in order, and all ranks."""
        first, *rest = parts
        total = self.over_ranks(sum(rest, first))
        return total[..., :-1], total[..., -1]

    def distances(self, centroids: Tensor, labels: Tensor) -> Tensor:
        """Distances (B, N) to the labels' centroids: squared Euclidean, or 1 - x·c."""
        found = []
        parts = zip(self.points.split(SUM_CHUNK, 1), labels.split(SUM_CHUNK, 1), strict=True)
        for points, label in parts:
            nearest = centroids.gather(1, label[..., None].expand(-1, -1, points.shape[2]))
            if self.metric == 'cosine':
                found.append(1 - (points * nearest).sum(-1))
            else:
                found.append((points - nearest).square().sum(-1))
        return torch.cat(found, 1)

    def relocate_empty_clusters(
        self, labels: Tensor, distances: Tensor, sums: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give every empty cluster the point farthest from its centroid, taken from its cluster.

        The i-th empty cluster gets the i-th farthest point, as in scikit-learn. Points at distance
        0 are left where they are. Of labels and distances to the centroid, (B, N) each, and
        clusters' sums (B, K, D) and counts (B, K): sums and counts after the relocation.
        """
        empty = counts == 0
        number = self.num_clusters
        rows = torch.cat([labels[..., None].double(), self.points.double()], -1)
        far_distance, rows = self.first_of_all(distances, rows, number, largest=True)
        far_label, far_point = rows[..., 0].long(), rows[..., 1:]
        order = empty.cumsum(1) - 1  # the i of an empty cluster
        wanted = torch.arange(number, device=counts.device) < empty.sum(1, keepdim=True)
        moved = (wanted & (far_distance > 0)).double()  # (B, i): the i-th farthest point moves
        donor = F.one_hot(far_label, number).double() * moved[..., None]  # (B, i, K)
        receiver = F.one_hot(order.clamp(min=0), number).double() * empty[..., None]  # (B, K, i)
        receiver = receiver * moved[:, None]
        sums = sums + torch.bmm(receiver - donor.mT, far_point)
        counts = counts + (receiver - donor.mT).sum(-1)
        # What is left of a cluster that gave its last point away is rounding.
        return torch.where((counts > 0)[..., None], sums, 0.0), counts

    def first_of_all(
        self, keys: Tensor, rows: Tensor, number: int, largest: bool
    ) -> tuple[Tensor, Tensor]:
        """Keys (B, number) and rows (B, number, ·) of the greatest or least keys, over all ranks.

        All ranks together must have so many.
        """
        here = min(number, keys.shape[1])
        keys, where = keys.topk(here, dim=1, largest=largest)
        rows = rows.gather(1, where[..., None].expand(-1, -1, rows.shape[2]))
        keys = F.pad(keys, (0, number - here), value=0.0 if largest else torch.inf)
        rows = F.pad(rows, (0, 0, 0, number - here))
        if self.distributed:
            keys = all_gather_stack(keys).transpose(0, 1).flatten(1)
            rows = all_gather_stack(rows).transpose(0, 1).flatten(1, 2)
            keys, where = keys.topk(number, dim=1, largest=largest)
            rows = rows.gather(1, where[..., None].expand(-1, -1, rows.shape[2]))
        return keys, rows


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

    def race(self, weights: Tensor | None, number: int, stream: int) -> Tensor:
        """Sample points of all ranks without replacement, proportionally to their weights.

        Args:
            weights: Weights (B, N), not negative; None: all alike. Points of weight 0 come last.
            number: Number of points to sample, at most all.
            stream: Stream of this start's random numbers, another one for each sample.

        Returns:
            Points (B, number, D) in the order sampled.
        """
        points = self.of.points
        problem = torch.arange(len(points), device=points.device)[:, None]
        stream += self.number * STREAMS_PER_START
        # Problems of a batch are sampled independently. 2^40 points each are enough.
        keys = -counter_uniform(self.index + (problem << 40), self.seed, stream).log()
        if weights is not None:
            keys = keys / weights.double().clamp(min=1e-200)
        return self.of.first_of_all(keys, points, number, largest=False)[1]

    def from_sample(self, size: int) -> 'Start':
        """This start on a uniform sample of all ranks' points, the same on every rank."""
        sample = self.race(None, size, STREAMS_PER_START - 1)
        few = replace(self.of, points=sample, distributed=False)
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
        first = self.race(None, 1, 0)
        centroids = [first]
        nearest = torch.full_like(squared_norms, math.inf)
        nearest = self._distances(squared_norms, first, nearest)[0][:, 0]
        for number in range(1, self.of.num_clusters):
            candidates = self.race(nearest, num_candidates, number)
            nearer, potential = self._distances(squared_norms, candidates, nearest)
            choice = self.of.over_ranks(potential).argmin(1)[:, None, None]
            centroids.append(candidates.gather(1, choice.expand(-1, 1, points.shape[2])))
            nearest = nearer.gather(1, choice.expand(-1, 1, points.shape[1]))[:, 0]
        return torch.cat(centroids, 1)

    def _distances(
        self, squared_norms: Tensor, candidates: Tensor, nearest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """D² if each candidate became a centroid: (B, L, N), and its sum here: (B, L)."""
        points, size = self.of.points, self.of.chunk_size
        nearer = nearest.new_empty(len(points), candidates.shape[1], points.shape[1])
        potential = torch.zeros(candidates.shape[:2], dtype=torch.float64, device=points.device)
        offset = candidates.square().sum(-1)[..., None]
        for begin in range(0, points.shape[1], size):
            here = slice(begin, begin + size)
            squared = torch.baddbmm(offset, candidates, points[:, here].mT, alpha=-2)
            squared += squared_norms[:, None, here]
            squared = torch.minimum(squared.clamp_(min=0), nearest[:, None, here])
            nearer[:, :, here] = squared
            potential += squared.sum(-1)
        return nearer, potential


def chunks(part: range, size: int) -> list[slice]:
    """Cut a range into slices of a size, the last of what is left."""
    return [slice(at, min(at + size, part.stop)) for at in range(part.start, part.stop, size)]


def _argmax(score: Tensor) -> Tensor:
    """The first place of each row's greatest entry, as ``score.argmax(-1)``."""
    if score.device.type != 'cpu':
        return score.argmax(-1)
    # numpy's argmax is vectorised, torch's is not: 3 times (K=21) to 6 times (K=500) faster.
    return torch.from_numpy(score.numpy().argmax(-1))


def first_greatest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Greatest of each column (R, n) and the first row it is in, as ``scores.max(0)``.

    On a CPU torch's maximum runs along columns once it is asked where; alone it runs along rows,
    as do the comparison with it and the product with R ... 2R-1 that makes places of that.
    """
    if scores.device.type != 'cpu':
        values, places = scores.max(0)
        return values, places
    best = scores.amax(0)
    is_best = torch.eq(scores, best, out=torch.empty_like(scores))
    # Of R ... 2R-1 the sum of two is none of them: ties are seen.
    numbers = torch.arange(len(scores), 2 * len(scores), dtype=scores.dtype)
    place = (numbers @ is_best).long() - len(scores)
    low, high = place.aminmax() if place.numel() else (0, 0)
    if low < 0 or high >= len(scores):
        place = is_best.argmax(0)
    return best, place


def split_in_parts(length: int, chunk_size: int, device: torch.device | str) -> list[range]:
    """Cut ``range(length)`` into ranges of whole chunks: at most ``NUM_PARTS`` on a CPU, else 1."""
    if torch.device(device).type != 'cpu':
        return [range(length)]
    num_chunks = -(-length // chunk_size)
    step = max(-(-num_chunks // NUM_PARTS), 1) * chunk_size
    return [range(start, min(start + step, length)) for start in range(0, length, step)]


def map_parts(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Call a function on every part, in order, on as many threads as torch is allowed.

    Within a part torch runs on one thread, so cores are not asked for twice. Gradients are not
    recorded. The parts' calls must not write to the same places.
    """
    num_threads = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def call(part: Part) -> Result:
        # Both modes belong to the thread that set them.
        with torch.inference_mode(inference), torch.no_grad():
            return function(part)

    if min(num_threads, len(parts)) <= 1:
        return [call(part) for part in parts]
    torch.set_num_threads(1)  # threads started from here on have one
    try:
        with ThreadPoolExecutor(min(num_threads, len(parts))) as pool:
            return list(pool.map(call, parts))
    finally:
        torch.set_num_threads(num_threads)
