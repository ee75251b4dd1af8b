"""HSG's segments and losses as a straightforward implementation: the baseline of ``hsg_step.py``.

Loops over images, views and segments, ``torch.unique``, matrices of pixels x prototypes that the
backward keeps. The transformers are the head's own, on both sides.
"""

import torch
import torch.nn.functional as F

from mmcroc.hsg.segments import grid_labels
from mmcroc.numerics.resize import nearest_resize


def kmeans_of_view(pixels, height, width, grid, num_iterations):
    """Spherical k-means of one view's unit embeddings (H·W, C) and locations."""
    rows = torch.linspace(0, 1, height, device=pixels.device) - 0.5
    columns = torch.linspace(0, 1, width, device=pixels.device) - 0.5
    place = torch.stack(torch.meshgrid(rows, columns, indexing='ij'), -1).flatten(0, 1)
    points = F.normalize(torch.cat([pixels, place], 1), dim=1)
    labels = grid_labels(grid, height, width, pixels.device).flatten()
    for _ in range(num_iterations):
        sums = [points[labels == k].sum(0) for k in range(grid[0] * grid[1])]
        labels = (points @ F.normalize(torch.stack(sums), dim=1).T).argmax(1)
    return labels


def segments_of_image(pixels, regions, grid, num_iterations):
    """Each pixel's segment, and each segment's view and region; both views of one image.

    Args:
        pixels: (2, H·W, C).
        regions: (2, H, W).
        grid: Of the k-means.
        num_iterations: Of the k-means.
    """
    keys = []
    for view in range(2):
        labels = kmeans_of_view(pixels[view].detach(), *regions[view].shape, grid, num_iterations)
        keys.append(
            torch.stack([torch.full_like(labels, view), labels, regions[view].flatten()], 1)
        )
    keys, numbers = torch.unique(torch.cat(keys), dim=0, return_inverse=True)
    return numbers, keys[:, 0], keys[:, 2]


def contrast(pixels, prototypes, own, labels, concentration):
    """SegSort+ by whole matrices of pixels x prototypes."""
    similarity = concentration * pixels @ prototypes.T
    same = labels[own][:, None] == labels
    itself = F.one_hot(own, len(prototypes)).bool()
    positive = same & ~itself
    positive = torch.where(positive.any(1, keepdim=True), positive, itself)
    numerator = similarity.masked_fill(~positive, -torch.inf).logsumexp(1)
    everything = similarity.masked_fill(~(positive | ~same), -torch.inf).logsumexp(1)
    return (everything - numerator).mean()


def graph_of_image(nodes, view, num_neighbours):
    """Each node's neighbours in each view, node by node."""
    affinity = (5 * nodes @ nodes.T).exp()
    if len(nodes) > 1:
        affinity.fill_diagonal_(0)
    graph = torch.zeros_like(affinity)
    for node in range(len(nodes)):
        for v in range(2):
            among = torch.where(view == v, affinity[node], 0)
            worst = among.topk(min(num_neighbours, len(among))).values[-1]
            graph[node] += (among >= worst) & (among > 0)
    return graph


def looped_losses(head, embedding, oversegmentation, position):
    """All of :meth:`HSGHead.loss`'s terms, on one rank, for images with pixels that all count."""
    images, height, width = len(embedding) // 2, *embedding.shape[-2:]
    regions = nearest_resize(oversegmentation, height, width).view(images, 2, height, width)
    pixels = F.normalize(embedding, dim=1).flatten(2).mT.unflatten(0, (-1, 2))
    where = position.flatten(1).mT.repeat(2, 1)
    numbers, views, cells, nodes, places = [], [], [], [], []
    for image in range(images):
        number, view, cell = segments_of_image(
            pixels[image], regions[image], head.grid, head.kmeans_iterations
        )
        flat = pixels[image].flatten(0, 1)
        members = [number == segment for segment in range(len(view))]
        nodes.append(F.normalize(torch.stack([flat[m].sum(0) for m in members]), dim=1))
        places.append(torch.stack([where[m].mean(0) for m in members]))
        numbers.append(number + sum(map(len, views)))
        views.append(view)
        cells.append(cell + (image << 17))
    rows = pixels.flatten(0, 2), torch.cat(nodes), torch.cat(numbers)
    losses = dict(loss_appearance=contrast(*rows, torch.cat(cells), head.concentration))

    def padded(values):
        return torch.stack([F.pad(v, (0, 0, 0, head.max_segments - len(v))) for v in values])

    counts = torch.tensor([len(v) for v in views], device=embedding.device)
    mask = torch.arange(head.max_segments, device=embedding.device) < counts[:, None]
    graphs = [
        graph_of_image(n.detach(), v, head.num_neighbours)
        for n, v in zip(nodes, views, strict=True)
    ]
    levels = head.group(padded(nodes), padded(places), mask)
    for level, (probabilities, centroids, _) in enumerate(levels, start=1):
        groups = probabilities.shape[1]
        labels, modularity, balance = [], [], []
        for image, (graph, view) in enumerate(zip(graphs, views, strict=True)):
            soft = probabilities[image, :, : len(view)].T
            labels.append(soft.argmax(1) + groups * image)
            degree = graph.sum(1, keepdim=True)
            twice = 2 * degree.sum()
            within = (soft.T @ graph @ soft).trace()
            expected = ((soft.T @ degree) @ (degree.T @ soft)).trace() / twice
            modularity.append(1 - (within - expected) / twice)
            balance.append(soft.sum(0).norm() * groups**0.5 / head.max_segments)
        losses[f'loss_grouping_{level}'] = head.grouping_weight * contrast(
            *rows, torch.cat(labels), head.concentration
        )
        losses[f'loss_modularity_{level}'] = head.goodness_weight * sum(modularity) / images
        losses[f'loss_balance_{level}'] = head.goodness_weight * sum(balance) / images
        unit = F.normalize(centroids, dim=-1).flatten(0, 1)
        each = torch.arange(len(unit), device=unit.device)
        losses[f'loss_centroid_{level}'] = head.centroid_weight * contrast(
            unit, unit, each, each, head.concentration
        )
    return losses
