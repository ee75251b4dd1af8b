"""Two views of an image: cut out, packed with their geometry, normalised on the device."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample

from mmcroc.data.colour import with_settings
from mmcroc.data.device_colour import apply_colours, draw_colours, require_order, to_device
from mmcroc.registry import MODELS, TRANSFORMS


def sample_crop_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Sample a box (x0, y0, width, height), pixels, as torchvision's ``RandomResizedCrop`` does.

    From torch's generator, by ranges of the share of the area and of width / height; the same
    numbers as torchvision's, in a third of the time.
    """
    number = torch.empty(1)
    log_ratio = _log(tuple(ratio))  # configs may have lists
    for _ in range(10):
        area = height * width * number.uniform_(*scale).item()
        aspect = number.uniform_(*log_ratio).exp_().item()
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            y0 = int(torch.randint(0, height - h + 1, (1,)).item())
            return int(torch.randint(0, width - w + 1, (1,)).item()), y0, w, h
    # Too thin an image: the largest box of an allowed shape, in its centre.
    w, h = min(width, round(height * max(ratio))), min(height, round(width / min(ratio)))
    return (width - w) // 2, (height - h) // 2, w, h


@functools.cache
def _log(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Logarithms, rounded to float32 as torchvision's are."""
    return tuple(torch.tensor(numbers).log().tolist())


def crop_resize_flip(
    img: np.ndarray, box: tuple[int, int, int, int], size: int, flip: bool
) -> np.ndarray:
    """Cut a box out, resize it to a square (bicubic, antialiased), flip it if told to.

    torch's uint8 path computes what Pillow's ``resize(box=...)`` does, to within one grey level,
    in a third of the time; OpenCV has no antialiased bicubic. Of an image, uint8 (H, W, 3), and a
    box (x0, y0, width, height) the view is uint8 (size, size, 3), contiguous.
    """
    x0, y0, w, h = box
    cut = img[y0 : y0 + h, x0 : x0 + w]
    if not cut.flags.writeable:  # torch would warn
        cut = cut.copy()
    # The batch dimension first, or torch does not see that channels are last in memory.
    crop = torch.from_numpy(cut)[None].permute(0, 3, 1, 2)
    resized = F.interpolate(crop, (size, size), mode='bicubic', align_corners=False, antialias=True)
    view = np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())  # no copy
    return np.asarray(cv2.flip(view, 1)) if flip else view


def _channels_first(img: np.ndarray) -> np.ndarray:
    """Copy an image (H, W, 3) to (3, H, W), in a quarter of the time of NumPy's transpose."""
    planes = np.empty((3, *img.shape[:2]), dtype=img.dtype)
    cv2.split(img, list(planes))  # written in place
    return planes


class ColouredViews(BaseTransform):
    """Base of transforms that make two square views, each with its own colour transforms.

    Args:
        size: Side of the views, pixels.
        flip_prob: Probability of mirroring a view.
        view_transforms: Colour transforms of the first and of the second view. They must keep
            shape and type.
        colour_on_device: Draw what these transforms do, and leave doing it to the data
            preprocessor (:func:`~mmcroc.data.device_colour.apply_colours`).

    Raises:
        ValueError: ``view_transforms`` is not two lists, or not what the device does.
    """

    def __init__(
        self,
        size: int,
        flip_prob: float,
        view_transforms: Sequence[Sequence[dict | Callable]],
        colour_on_device: bool = False,
    ):
        if len(view_transforms) != 2:
            raise ValueError(
                f'{type(self).__name__}.view_transforms must be two lists of transforms, one per '
                f'view, but has {len(view_transforms)} entries.'
            )
        self.size = size
        self.flip_prob = flip_prob
        self.view_transforms = [
            [TRANSFORMS.build(cfg) if isinstance(cfg, dict) else cfg for cfg in cfgs]
            for cfgs in view_transforms
        ]
        self.colour_on_device = colour_on_device
        if colour_on_device:
            for transforms in self.view_transforms:
                require_order(transforms)

    def colour(
        self, view: np.ndarray, transforms: Sequence[Callable], sample: dict[str, Any]
    ) -> np.ndarray:
        """Apply one view's transforms to uint8 RGB (size, size, 3); they keep shape and type.

        Or add to ``sample['view_colours']`` what the device is to do.
        """
        if self.colour_on_device:
            sample.setdefault('view_colours', []).append(draw_colours(transforms))
            return view
        results: dict[str, Any] = dict(img=view)
        for transform in transforms:
            results = transform(results)
        self.require_rgb(results['img'], (self.size, self.size), f'A view after {transforms}')
        return results['img']

    def require_rgb(self, img: np.ndarray, shape: Sequence[int], what: str) -> None:
        """Refuse, by the name ``what``, an image that is not uint8 (*shape, 3): a TypeError."""
        if img.dtype != np.uint8 or img.shape != (*shape, 3):
            raise TypeError(
                f'{type(self).__name__}: {what} must be uint8 of shape {(*shape, 3)}, but is '
                f'{img.dtype} of {img.shape}. Normalisation belongs into the data preprocessor.'
            )

    def __repr__(self) -> str:
        return with_settings(self)


@TRANSFORMS.register_module()
class PackTwoViews(BaseTransform):
    """Pack two views into tensors and their geometry into a data sample.

    Views stay uint8: a quarter of the bytes on the way to the device, where the data preprocessor
    normalises them. The geometry is metainfo, a numpy array, so that nothing moves it about on
    its own; stack it with ``[sample.view_boxes for sample in data_samples]``.

    Required keys: ``img`` (two views), ``view_boxes``. Optional keys: those of ``META_KEYS``.

    Returns:
        ``dict(inputs=[view1, view2], data_samples=DataSample)``; a view is uint8, (3, size, size).
        With MMEngine's ``default_collate``: two tensors of (batch, 3, size, size), and a list.
    """

    META_KEYS = ('img_path', 'sample_idx', 'view_boxes', 'view_colours', 'img_shape')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack two views."""
        views = [torch.from_numpy(_channels_first(view)) for view in results['img']]
        metainfo = {key: results[key] for key in self.META_KEYS if key in results}
        metainfo['unreadable'] = results.get('unreadable', ())
        return dict(inputs=views, data_samples=DataSample(metainfo=metainfo))


@TRANSFORMS.register_module()
class PackTwoViewsWithRegions(PackTwoViews):
    """Pack two views and their maps of regions into tensors.

    Required keys: ``img`` (two views), ``oversegmentation``. Optional keys: those of
    ``META_KEYS``.

    Returns:
        What :class:`PackTwoViews` does, and ``oversegmentation``, int32 (2, size, size).
    """

    META_KEYS = ('img_path', 'oversegmentation_path', 'sample_idx', 'view_colours', 'img_shape')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack two views and their regions."""
        packed = super().transform(results)
        return dict(packed, oversegmentation=torch.from_numpy(results['oversegmentation']))


@MODELS.register_module()
class TwoViewDataPreprocessor(SelfSupDataPreprocessor):
    """Normalise two stacks of views on the device and collect their geometry.

    Views travel as uint8 (a quarter of the traffic). Where their colours are left to the device
    (``colour_on_device`` of the transform that cuts them out), they are changed first. The data
    samples stay on the host; the view boxes in them are gathered into one tensor and copied
    without waiting.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a collated batch.

        Args:
            data: ``inputs``, a list of two (B, 3, S, S) tensors, and ``data_samples``, a list of
                B data samples with metainfo ``view_boxes`` (2, 5). To extract features or to
                validate: one (B, 3, H, W) tensor, or a list of B images (3, H, W) of one size.
            training: Ignored.

        Returns:
            ``inputs``: one (2B, 3, S, S) float tensor, view 1's images first, or (B, 3, H, W) for
            single images; ``data_samples``; ``view_boxes`` (2, B, 5) where there are two views.
        """
        views, samples = data['inputs'], data.get('data_samples')
        if not torch.is_tensor(views) and views[0].dim() == 3:
            views = self._stack(views)
        if torch.is_tensor(views):
            return dict(inputs=self._normalise(self._to_device(views)), data_samples=samples)
        return self._forward_views(views, samples, data)

    def _forward_views(
        self,
        views: Sequence[torch.Tensor],
        samples: list[DataSample] | None,
        data: dict[str, Any],
    ) -> dict[str, Any]:
        """Prepare a batch of two stacks of views; subclasses take more from ``data``."""
        if len(views) != 2 or samples is None:
            raise ValueError(
                f'a batch needs 2 views and their data samples, got {len(views)} views and '
                f'data_samples={type(samples).__name__}; does the pipeline end in TwoViews, '
                'PackTwoViews and the dataloader have collate_fn=dict(type="default_collate")?'
            )
        stacked = np.stack([sample.view_boxes for sample in samples], axis=1)
        boxes = torch.from_numpy(stacked.astype(np.float32))
        images = torch.cat([self._to_device(view) for view in views])
        return dict(
            inputs=self._normalise(self._colour(images, samples, axis=1)),
            data_samples=samples,
            view_boxes=self._to_device(boxes),
            **self._for_teacher(images, samples),
        )

    def _for_teacher(self, images: torch.Tensor, samples: list[DataSample]) -> dict[str, Any]:
        """What the teacher is to see otherwise than the student: here nothing."""
        return {}

    @staticmethod
    def _stack(images: Sequence[torch.Tensor]) -> torch.Tensor:
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            raise ValueError(
                f'images of one batch have shapes {shapes}: resize them alike, or use batch_size=1'
            )
        return torch.stack(list(images))

    def _colour(
        self, images: torch.Tensor, samples: Sequence[DataSample] | None, axis: int
    ) -> torch.Tensor:
        """Change colours as the samples say: of uint8 (2B, 3, S, S), ``axis`` 1 if view-major."""
        if not samples or 'view_colours' not in samples[0]:
            return images
        drawn = np.stack([sample.view_colours for sample in samples], axis=axis)
        return apply_colours(images, drawn.reshape(len(images), -1))

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return to_device(tensor, self.device)

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        if self._channel_conversion:
            images = images.flip(1)
        images = images.float()
        return (images - self.mean) / self.std if self._enable_normalize else images


@MODELS.register_module()
class CleanTeacherDataPreprocessor(TwoViewDataPreprocessor):
    """Give the teacher both views as they were cut out, without their colour transforms.

    It needs ``colour_on_device=True`` of the transform that cuts views out: only then do both
    forms of a view come to be, from one copy on the device. The batch is that of
    :class:`TwoViewDataPreprocessor`, and ``teacher_inputs``, (2B, 3, S, S).

    Raises:
        ValueError: The views have come with their colours changed.
    """

    def _for_teacher(self, images: torch.Tensor, samples: list[DataSample]) -> dict[str, Any]:
        if 'view_colours' not in samples[0]:
            raise ValueError(
                'CleanTeacherDataPreprocessor: the views come with their colours changed; set '
                'train_dataloader.dataset.pipeline.0.colour_on_device=True'
            )
        return dict(teacher_inputs=self._normalise(images))
