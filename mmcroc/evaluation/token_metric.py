"""What the metrics on dense features share: a share of the images per rank, each counted once."""

import torch
from mmengine.evaluator import BaseMetric

from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size


class TokenMetric(BaseMetric):
    """Base of the metrics on dense tokens, such as :class:`mmcroc.features.FeatureSegmentor` gives.

    Features are too many to be collected on one rank as MMEngine collects results. Every rank
    keeps what :meth:`add` makes of its own images; :meth:`score` unites the ranks by collective
    operations and returns the same metrics on all of them.

    Images are numbered by their place in the data set, which follows from rank and order as in
    MMEngine's own collection of results (``DefaultSampler`` without shuffling). Samplers repeat
    some images so that all ranks get equally many: those have numbers beyond the end and are left
    out.

    Args:
        protocol (str): The protocol's name: the prefix of every number.
        classes (Sequence[str] | None): Names of the classes. Default: the data set's.
        ignore_index (int): Label of pixels that do not count.

    Attributes:
        report (dict): Everything about the last evaluation, ready for JSON.
        examples (list[dict]): Of this rank's among the first ``NUM_EXAMPLES`` images, for a look:
            ``img_path``, ``label`` and ``prediction`` (uint8 arrays).
    """

    NUM_EXAMPLES = 8

    def __init__(self, protocol, classes=None, ignore_index=255):
        super().__init__(prefix=protocol)
        self.protocol = protocol
        self._classes = classes
        self.ignore_index = ignore_index
        self.report = {}
        self.examples = []
        self.paths = {}
        self.num_processed = 0

    @property
    def classes(self):
        """tuple[str]: Names of the classes."""
        classes = self._classes or (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                f'{type(self).__name__}: the data set names no classes; give classes=[...]'
            )
        return tuple(classes)

    def add_sample(self, number, name, sample):
        """Keep what is needed of one data sample: by default :meth:`add` of its tokens and mask.

        Args:
            number (int): Of the image in the data set; beyond its end for a repeated image.
            name (str): To call it by.
            sample (dict): With ``tokens`` and ``gt_sem_seg``.
        """
        self.add(number, self._tokens(sample, name), self._mask(sample, name))

    def add(self, number, tokens, mask):
        """Keep what is needed of one image.

        Args:
            number (int): Of the image in the data set; beyond its end for a repeated image.
            tokens (Tensor): (C, h, w).
            mask (Tensor): (H, W), integers in [0, classes) or ``ignore_index``.
        """
        raise NotImplementedError

    def score(self, size):
        """All ranks' metrics of the first ``size`` images: dict[str, float], alike on all ranks."""
        raise NotImplementedError

    def reset(self):
        """Forget all images."""
        raise NotImplementedError

    def process(self, data_batch, data_samples):
        """Take a batch of data samples (as dicts) with ``tokens`` and ``gt_sem_seg``.

        Raises:
            KeyError: A sample has no tokens or no labels.
            ValueError: NaN or infinite tokens, a mask of another size than its image, labels that
                are none of the classes.
        """
        for sample in data_samples:
            name = sample.get('img_path', f'image {self.num_processed} of rank {get_rank()}')
            number = get_rank() + get_world_size() * self.num_processed
            if number < self.NUM_EXAMPLES:
                self.paths[number] = name
            self.add_sample(number, name, sample)
            self.num_processed += 1

    def evaluate(self, size):
        """Metrics of the data set's ``size`` images, the names preceded by the protocol's.

        Raises:
            ValueError: Images are missing.
        """
        whole = get_rank() + get_world_size() * torch.arange(self.num_processed)
        counted = int(all_reduce_sum((whole < size).sum()))
        if counted != size:
            raise ValueError(
                f'{self.protocol}: {counted} of {size} images were processed; the dataloader '
                'needs sampler=dict(type="DefaultSampler", shuffle=False) and drop_last=False'
            )
        try:
            metrics = self.score(size)
        finally:
            self.reset()
            self.num_processed = 0
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results):
        """Not used: :meth:`evaluate` collects no results on one rank."""
        raise NotImplementedError

    def _tokens(self, sample, name):
        if 'tokens' not in sample:
            raise KeyError(
                f'{type(self).__name__}: the model hands out no tokens; use '
                'model=dict(type="mmcroc.FeatureSegmentor", ...), or pretrain with mmcroc'
            )
        tokens = sample['tokens']['data']
        if not bool(tokens.isfinite().all()):
            raise ValueError(
                f'{self.protocol}: the features of {name} hold NaN or infinity: check the '
                'checkpoint, and the precision they were computed in'
            )
        return tokens

    def _mask(self, sample, name):
        """Labels of the image's size."""
        mask = self._labels(sample, name)
        sizes = [tuple(sample[k]) for k in ('img_shape', 'ori_shape', 'pad_shape') if k in sample]
        sizes = [size[:2] for size in sizes]
        if sizes and tuple(mask.shape) not in sizes:
            raise ValueError(
                f'{self.protocol}: the mask of {name} is {tuple(mask.shape)}, its image '
                f'{" or ".join(map(str, dict.fromkeys(sizes)))}'
            )
        return mask

    def _labels(self, sample, name):
        """Labels of any size."""
        if 'gt_sem_seg' not in sample:
            raise KeyError(f'{self.protocol}: {name} has no labels; load them in the pipeline')
        mask = sample['gt_sem_seg']['data'].squeeze(0)
        labels = mask[mask != self.ignore_index]
        number = len(self.classes)
        if labels.numel() and not 0 <= labels.min() <= labels.max() < number:
            raise ValueError(
                f'{self.protocol}: the mask of {name} has labels from {int(labels.min())} to '
                f'{int(labels.max())}, but there are {number} classes, and {self.ignore_index} '
                'is ignored: the data set and its classes do not fit each other'
            )
        return mask
