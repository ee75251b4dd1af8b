"""What :func:`mmcroc.numerics.kmeans.kmeans` refuses, and why."""

METRICS = ('euclidean', 'cosine')
EMPTY_CLUSTERS = ('relocate', 'keep', 'zero')


def check_settings(num_clusters, metric, inits, init, given, num_restarts, empty_clusters):
    """Raise ValueError for settings that are unknown or contradict each other.

    Args:
        inits (tuple[str]): The known values of ``init``.
        given (dict[str, Tensor | None]): Starts by name, None where not given.
    """
    if num_clusters < 1:
        raise ValueError(f'num_clusters must be at least 1, got {num_clusters}')
    if num_restarts < 1:
        raise ValueError(f'num_restarts must be at least 1, got {num_restarts}')
    for name, value, known in (
        ('metric', metric, METRICS),
        ('init', init, inits),
        ('empty_clusters', empty_clusters, EMPTY_CLUSTERS),
    ):
        if value not in known:
            raise ValueError(f'{name} must be one of {known}, got {value!r}')
    if empty_clusters == 'zero' and metric != 'cosine':
        raise ValueError("empty_clusters='zero' needs metric='cosine': use 'keep' or 'relocate'")
    starts = [name for name, tensor in given.items() if tensor is not None]
    if len(starts) > 1:
        raise ValueError(f'give one of {" and ".join(starts)}, not both')
    if starts and num_restarts > 1:
        raise ValueError(
            f'num_restarts={num_restarts} from the same {starts[0]} would all be alike: use 1'
        )


def check_shapes(points, num_clusters, given, mask, point_index):
    """Raise ValueError, with all shapes, where a tensor does not fit the points."""
    if points.dim() not in (2, 3):
        raise ValueError(f'points must be (N, D) or (B, N, D), got {tuple(points.shape)}')
    *batch, num_points, dim = points.shape
    for name, tensor, shape in (
        ('initial_centroids', given['initial_centroids'], (*batch, num_clusters, dim)),
        ('initial_labels', given['initial_labels'], (*batch, num_points)),
        ('mask', mask, (*batch, num_points)),
        ('point_index', point_index, (num_points,)),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f'{name} must be {shape} for points of {tuple(points.shape)} and '
                f'num_clusters={num_clusters}, got {tuple(tensor.shape)}'
            )
