"""What HSG computes, by loops over pixels, segments and nodes."""

import math

import numpy as np
import torch


def spherical_kmeans(embedding, valid, grid, num_iterations):
    """One map (C, H, W), float64, pixel by pixel; labels (H, W), -1 where not valid."""
    _, height, width = embedding.shape
    embedding = embedding.numpy().astype(np.float64)
    points, labels = {}, {}
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                continue
            unit = embedding[:, y, x] / np.linalg.norm(embedding[:, y, x])
            place = [y / max(height - 1, 1) - 0.5, x / max(width - 1, 1) - 0.5]
            point = np.concatenate([unit, place])
            points[y, x] = point / np.linalg.norm(point)
            row = round((grid[0] - 1) * y / max(height - 1, 1))  # Python's halves go to even
            column = round((grid[1] - 1) * x / max(width - 1, 1))
            labels[y, x] = row + grid[0] * column
    for _ in range(num_iterations):
        sums = np.zeros((grid[0] * grid[1], len(embedding) + 2))
        for pixel, label in labels.items():
            sums[label] += points[pixel]
        for total in sums:
            norm = np.linalg.norm(total)
            if norm > 0:
                total /= norm
        labels = {pixel: int(np.argmax(sums @ point)) for pixel, point in points.items()}
    found = torch.full((height, width), -1)
    for pixel, label in labels.items():
        found[pixel] = label
    return found


def number_segments(clusters, regions):
    """One image's views (V, H, W): each pixel's segment (V·H·W), and each segment's key."""
    pixels = [
        (view, int(c), int(r))
        for view in range(len(clusters))
        for c, r in zip(clusters[view].flatten(), regions[view].flatten(), strict=True)
    ]
    keys = sorted({key for key in pixels if key[2] >= 0})
    return [keys.index(key) if key[2] >= 0 else -1 for key in pixels], keys


def looped_loss(embedding, prototypes, own, labels, mask, concentration):
    """Mean of -log(numerator / denominator), the sums term by term."""
    losses = []
    for pixel, mine in zip(embedding.double(), own.tolist(), strict=True):
        if mine < 0:
            continue
        positive, negative, itself = [], [], None
        products = (prototypes.double() @ pixel).tolist()
        for j in range(len(prototypes)):
            term = math.exp(concentration * products[j])
            if j == mine:
                itself = term
            elif mask[j]:
                (positive if labels[j] == labels[mine] else negative).append(term)
        numerator = math.fsum(positive) if positive else itself
        losses.append(-math.log(numerator / (numerator + math.fsum(negative))))
    return sum(losses) / max(len(losses), 1)


def looped_graph(nodes, mask, num_neighbours, view):
    """One image's edges, node by node."""
    edges = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    existing = mask.nonzero().flatten().tolist()
    for i in existing:
        for group in ([0], [1]) if view is not None else ([None],):
            others = [
                j
                for j in existing
                if (j != i or len(existing) == 1) and (view is None or int(view[j]) in group)
            ]
            similar = {j: float((5 * nodes[i] @ nodes[j]).exp()) for j in others}
            ranked = sorted(similar.values(), reverse=True)
            if ranked:
                worst = ranked[min(num_neighbours, len(ranked)) - 1]
                for j in others:
                    edges[i, j] = max(edges[i, j], float(similar[j] >= worst))
    return edges
