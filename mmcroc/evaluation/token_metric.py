"""What the metrics on dense features share: each rank's images, each counted once; the tables."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from prettytable import PrettyTable
from torch import Tensor

from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.numerics.matching import confusion_matrices, intersection_over_union, mean_iou


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
        protocol: Name of the protocol, the prefix of every number.
        classes: Names of the classes. Default: the data set's.
        ignore_index: Label of pixels that do not count.

    Attributes:
        report: Everything about the last evaluation, ready for JSON.
        examples: This rank's share of the first ``NUM_EXAMPLES`` images, for a look: ``img_path``,
            ``label`` and ``prediction`` (uint8 arrays).
    """

    NUM_EXAMPLES = 8

    def __init__(
        self, protocol: str, classes: Sequence[str] | None = None, ignore_index: int = 255
    ) -> None:
        super().__init__(prefix=protocol)
        self.protocol = protocol
        self._classes = classes
        self.ignore_index = ignore_index
        self.report: dict[str, Any] = {}
        self.examples: list[dict] = []
        self.paths: dict[int, str] = {}
        self.num_processed = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        classes = self._classes or (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                f'{type(self).__name__}: the data set names no classes; give classes=[...]'
            )
        return tuple(classes)

    def add_sample(self, number: int, name: str, sample: dict) -> None:
        """Keep what is needed of one data sample: by default :meth:`add` of its tokens and mask.

        Args:
            number: Place of the image in the data set; beyond its end for a repeated image.
            name: Name of the image in messages.
            sample: Data sample with ``tokens`` and ``gt_sem_seg``.
        """
        self.add(number, self._tokens(sample, name), self._mask(sample, name))

    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Keep what is needed of one image.

        Args:
            number: Place of the image in the data set; beyond its end for a repeated image.
            tokens: (C, h, w).
            mask: (H, W), integers in [0, classes) or ``ignore_index``.
        """
        raise NotImplementedError

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all images."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
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

    def evaluate(self, size: int) -> dict[str, float]:
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

    def compute_metrics(self, results: list) -> dict:
        """Not used: :meth:`evaluate` collects no results on one rank."""
        raise NotImplementedError

    def _tokens(self, sample: dict, name: str) -> Tensor:
        """Tokens of a sample (C, h, w), checked."""
        if 'tokens' not in sample:
            raise KeyError(
                f'{type(self).__name__}: the model hands out no tokens; use '
                'model=dict(type="mmcroc.FeatureSegmentor", ...), or pretrain with mmcroc'
            )
        tokens = sample['tokens']['data']
        if not math.isfinite(largest(tokens)):
            raise ValueError(
                f'{self.protocol}: the features of {name} hold NaN or infinity: check the '
                'checkpoint, and the precision they were computed in'
            )
        return tokens

    def _mask(self, sample: dict, name: str, ignored: int | None = None) -> Tensor:
        """Labels of a sample (H, W), of the image's size; classes but for ``ignored``."""
        mask = self._labels(sample, name, ignored)
        sizes = [tuple(sample[k]) for k in ('img_shape', 'ori_shape', 'pad_shape') if k in sample]
        sizes = [size[:2] for size in sizes]
        if sizes and tuple(mask.shape) not in sizes:
            raise ValueError(
                f'{self.protocol}: the mask of {name} is {tuple(mask.shape)}, its image '
                f'{" or ".join(map(str, dict.fromkeys(sizes)))}'
            )
        return mask

    def _labels(self, sample: dict, name: str, ignored: int | None = None) -> Tensor:
        """Labels of a sample (H, W), of any size; classes but for ``ignored``.

        Args:
            sample: Data sample with ``gt_sem_seg``.
            name: Name of the image in messages.
            ignored: Label that need not be a class. Default: ``ignore_index``.
        """
        ignored = self.ignore_index if ignored is None else ignored
        if 'gt_sem_seg' not in sample:
            raise KeyError(f'{self.protocol}: {name} has no labels; load them in the pipeline')
        mask = sample['gt_sem_seg']['data'].squeeze(0)
        number = len(self.classes)
        if bool(((mask != ignored) & ((mask < 0) | (mask >= number))).any()):
            labels = mask[mask != ignored]
            raise ValueError(
                f'{self.protocol}: the mask of {name} has labels from {int(labels.min())} to '
                f'{int(labels.max())}, but there are {number} classes, and {ignored} '
                'is ignored: the data set and its classes do not fit each other'
            )
        return mask


class PixelIoU(TokenMetric):
    """Base of the metrics that keep of an image no more than how its pixels were classified.

    Args:
        protocol: Name of the protocol, the prefix of every number.
        absent: IoU of a class without any pixel: 'zero' (as the released evaluations) or 'nan'
            (left out of the mean, as MMSegmentation).
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(self, protocol: str, absent: str = 'zero', **kwargs: Any) -> None:
        super().__init__(protocol, **kwargs)
        self.absent = absent
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.counts: list[tuple[int, Tensor]] = []
        self.kept_examples: list[tuple[int, dict]] = []

    def count(self, number: int, predictions: Tensor, mask: Tensor) -> None:
        """Keep the confusion matrices of an image.

        Args:
            number: Place of the image in the data set.
            predictions: (S, H, W), the classes that each of S classifiers gives.
            mask: (H, W), labels.
        """
        classes, mask = len(self.classes), mask.to(predictions.device)
        counts = confusion_matrices(predictions, mask, classes, classes, self.ignore_index)
        # Of many classes an image shows few.
        self.counts.append((number, counts.cpu().to_sparse()))
        if number < self.NUM_EXAMPLES:
            example = example_of(self.paths[number], mask, predictions[0])
            self.kept_examples.append((number, example))

    def count_report(self, size: int, num_classifiers: int = 1) -> dict[str, Any]:
        """A report of the confusion matrices of the first ``size`` images.

        Sets :attr:`examples`. Every rank must call.

        Args:
            size: Number of images in the data set, over all ranks.
            num_classifiers: Number S of classifiers.

        Returns:
            :meth:`report_of` the matrices, and what was scored.
        """
        report = self.report_of(self.total_counts(size, num_classifiers))
        return dict(report, num_images=size, ranks=get_world_size())

    def total_counts(self, size: int, num_classifiers: int = 1) -> Tensor:
        """Confusion matrices of the first ``size`` images over all ranks.

        Sets :attr:`examples`. Every rank must call.

        Args:
            size: Number of images in the data set, over all ranks.
            num_classifiers: Number S of classifiers.

        Returns:
            Numbers of pixels, int64 (S, C, C), predicted class by true class.
        """
        classes = len(self.classes)
        counts = torch.zeros(num_classifiers, classes, classes, dtype=torch.long)
        for number, image in self.counts:
            if number < size:
                counts += image
        self.examples = [example for number, example in self.kept_examples if number < size]
        return all_reduce_sum(counts)

    def report_of(self, counts: Tensor) -> dict[str, Any]:
        """A report of confusion matrices.

        Args:
            counts: Numbers of pixels (S, C, C), predicted class by true class, of S classifiers.

        Returns:
            ``metrics`` (the mean over classifiers, and its spread if there are several),
            ``mIoU_per_seed``, ``iou_per_seed``, protocol and classes.
        """
        iou = torch.stack([100 * intersection_over_union(each, self.absent) for each in counts])
        miou = torch.stack([mean_iou(each) for each in iou])
        correct = counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2))
        metrics = dict(mIoU=float(miou.mean()), aAcc=float(100 * correct.mean()))
        if len(counts) > 1:
            metrics['mIoU_std'] = float(miou.std())
        return dict(
            protocol=self.protocol,
            classes=list(self.classes),
            metrics=metrics,
            mIoU_per_seed=miou.tolist(),
            iou_per_seed=iou.tolist(),
        )


def largest(tokens: Tensor) -> float:
    """Greatest absolute value of tokens of any shape; NaN or infinite where one is."""
    return float(torch.stack(tokens.aminmax()).abs().max())


def require_half(tokens: Tensor, name: str, protocol: str) -> None:
    """Refuse features of an image, by its name, that do not fit into float16."""
    if (greatest := largest(tokens)) > torch.finfo(torch.float16).max:
        raise ValueError(
            f'{protocol}: features of {name}, up to {greatest:.3g}, do not fit into float16'
        )


def example_of(path: str, label: Tensor, prediction: Tensor) -> dict[str, Any]:
    """An image's labels and predicted classes, both (H, W), as uint8 arrays, for a look."""
    maps = dict(label=label, prediction=prediction)
    arrays = {name: map_.clamp(max=255).to('cpu', torch.uint8) for name, map_ in maps.items()}
    return dict(img_path=path, **{name: array.numpy() for name, array in arrays.items()})


def log(message: str) -> None:
    """Log a message, on the main process alone."""
    if get_rank() == 0:
        MMLogger.get_current_instance().info(message)


def mean_and_spread(percentages: Sequence[float]) -> str:
    """'mean ± standard deviation (n - 1)' of percentages; the mean alone if there is one."""
    values = torch.tensor(percentages, dtype=torch.float64)
    mean = float(values.mean())
    if math.isnan(mean):
        return 'absent'
    if len(values) == 1:
        return f'{mean:.2f}'
    return f'{mean:.2f} ± {float(values.std()):.2f}'


def iou_table(report: dict[str, Any]) -> str:
    """A table of per-class IoU in percent, mean and spread over seeds, from a metric's report."""
    table = PrettyTable(['class', f'IoU, {report["protocol"]}'], align='r')
    table.align['class'] = 'l'
    for name, *values in zip(report['classes'], *report['iou_per_seed'], strict=True):
        table.add_row([name, mean_and_spread(values)])
    table.add_divider()
    table.add_row(['mIoU', mean_and_spread(report['mIoU_per_seed'])])
    return table.get_string()
