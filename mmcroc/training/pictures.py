"""Pictures of the same images, again and again while something is learned."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset, Compose
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import MLflowVisBackend
from PIL import Image
from torch import nn

from mmcroc.croc.views import TwoViews
from mmcroc.data.image_reading import read_image
from mmcroc.data.sample_seed import seeded_generators
from mmcroc.data.unlabelled import scan_images
from mmcroc.hsg.views import TwoViewsWithRegions, central_view
from mmcroc.pictures.painters import (
    AttentionPainter,
    ClusterPainter,
    PCAPainter,
    draw_views,
    photo_of,
    tapped_backbone,
)
from mmcroc.pictures.sheets import overlay_sheet, picture_grid
from mmcroc.registry import HOOKS
from mmcroc.training.checkpoints import AtomicLocalBackend


class PicturesHook(Hook):
    """Paint a sheet of fixed images before, during and after training, which goes on unchanged.

    The sheets go to ``WORK_DIR/pictures/{NAME}_{iteration:06d}.png`` and, as ``NAME``, to the
    visualiser and whatever backends it has.

    A subclass has ``NAME``, ``check_model()``, which raises if ``self.model`` has nothing to paint,
    ``load_images(runner)``, ``compute()`` in evaluation mode, and ``sheet(computed)``, which paints
    a row for each image.

    Args:
        interval: Iterations, or epochs, between pictures.
        num_images: Number of images; all of a smaller training set.
        by_epoch: Whether ``interval`` counts epochs, or iterations.

    Raises:
        ValueError: A number is below 1.
    """

    priority = 'LOW'
    NAME: str
    check_model: Callable[[], None]
    load_images: Callable[[Runner], None]
    compute: Callable[[], Any]
    sheet: Callable[[Any], Image.Image]
    #: Whether all ranks have to compute, since the model asks all of them for something.
    EVERY_RANK = False

    def __init__(self, interval: int, num_images: int, by_epoch: bool) -> None:
        for name, value in (('interval', interval), ('num_images', num_images)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'{type(self).__name__}.{name} must be a whole number >= 1, but is {value!r}.'
                )
        self.interval = interval
        self.num_images = num_images
        self.by_epoch = by_epoch

    def before_train(self, runner: Runner) -> None:
        """Load the images, and show what there is before training (not when it is resumed)."""
        self.model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.check_model()
        self.painted: int | None = None
        if self._computes():
            self.load_images(runner)
        if runner.iter == 0:
            self._paint(runner, 0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Paint every ``interval`` iterations."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._paint(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Paint every ``interval`` epochs."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._paint(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Paint the last iteration, also of a training that was stopped early."""
        if self.painted != runner.iter:
            self._paint(runner, runner.iter)

    def _computes(self) -> bool:
        """Whether this rank computes."""
        return self.EVERY_RANK or is_main_process()

    def _paint(self, runner: Runner, iteration: int) -> None:
        """Compute on this rank where it has to; paint and write on the first."""
        self.painted = iteration
        if not self._computes():
            return
        with _evaluating(self.model):
            computed = self.compute()
        if not is_main_process():
            return
        sheet = self.sheet(computed)
        png = BytesIO()
        sheet.save(png, format='PNG', compress_level=1)  # training waits: a third of the time
        path = Path(runner.work_dir) / 'pictures' / f'{self.NAME}_{iteration:06d}.png'
        AtomicLocalBackend().put(png.getvalue(), path)
        send_picture(runner.visualizer, self.NAME, np.asarray(sheet), iteration)


@HOOKS.register_module()
class TokenPicturesHook(PicturesHook):
    """Paint the teacher's tokens, attention and clusters of the same images while it learns.

    For CrOC, and DINO, which has no clusters. Each image has a row: principal components of its
    tokens as colours, attention of [CLS] in the last block, and the clusters found jointly in two
    views of it, which are sampled once as training samples them
    (:mod:`mmcroc.pictures.painters`). The sheets are ``tokens`` of :class:`PicturesHook`.

    Args:
        interval: Epochs between pictures.
        num_images: Number of images; all of a smaller set.
        by_epoch: Whether ``interval`` counts epochs, or iterations.
        folder: Folder to take the images from, evenly spread, instead of the training set.
        heads: Attention heads whose clusters are shown.

    Raises:
        ValueError: A setting is below 1, the pipeline has no ``TwoViews``, the folder no images,
            the model not so many heads.
        TypeError: The model has no teacher that is :class:`mmcroc.features.VisionTransformer`.
    """

    NAME = 'tokens'

    def __init__(
        self,
        interval: int = 10,
        num_images: int = 4,
        by_epoch: bool = True,
        folder: str | None = None,
        heads: Sequence[int] = (0,),
    ) -> None:
        super().__init__(interval, num_images, by_epoch)
        if folder is not None and not Path(folder).is_dir():
            raise ValueError(f'TokenPicturesHook.folder={folder!r} is not a folder.')
        self.folder = folder
        self.heads = heads

    def check_model(self) -> None:
        """Refuse a model without a teacher to look into."""
        if not hasattr(self.model, 'teacher') or tapped_backbone(self.model) is None:
            raise TypeError(
                'TokenPicturesHook serves models with a teacher.backbone of '
                'mmcroc.VisionTransformer, such as mmcroc.CrOC, which '
                f'{type(self.model).__name__} has not; set default_hooks.token_pictures=None.'
            )

    def load_images(self, runner: Runner) -> None:
        """Load the images, each with two views."""
        dataset = runner.train_dataloader.dataset
        views = views_of(dataset, TwoViews)
        if self.folder is None:
            images = [one['img'] for one in fixed_samples(dataset, self.num_images, views)]
        else:
            images = images_of_folder(self.folder, self.num_images)
        self.examples = [draw_views(image, views, 0, i) for i, image in enumerate(images)]
        # As evaluations do, twice the side that is trained on; nothing is enlarged.
        self.longer_side = min(max(max(one.shape[:2]) for one in images), 2 * views.size)
        self.painters: list[Any] = [AttentionPainter(self.model, self.longer_side)]
        if self.model.with_target_generator:
            self.painters.append(
                ClusterPainter(self.model, self.model.target_generator, self.heads)
            )

    def compute(self) -> list[dict[str, Any]]:
        """Compute every image's pictures by title."""
        # The network changes, and its components with it.
        stride = tapped_backbone(self.model).patch_size
        pca = PCAPainter(self.model, stride, self.longer_side)
        for example in self.examples:
            pca.update(example)
        pca.fit()
        rows = []
        for example in self.examples:
            row = {'image': photo_of(example.image)}
            for painter in [pca, *self.painters]:
                row |= painter.paint(example)
            rows.append(row)
        return rows

    def sheet(self, computed: list[dict[str, Any]]) -> Image.Image:
        """Paint a row for each image, a column for each title."""
        return picture_grid([list(row.values()) for row in computed], list(computed[0]))


@HOOKS.register_module()
class HierarchyPicturesHook(PicturesHook):
    """Paint regions, segments and groups of the same images before, during and after training.

    The images are spread evenly over the training set and loaded as training does, up to
    :class:`TwoViewsWithRegions`, in whose place they are shrunk to what a view shows
    (:func:`~mmcroc.hsg.views.central_view`). The sheets are ``hierarchy`` of :class:`PicturesHook`.

    Every rank computes the hierarchy, and the first one paints it: without ``max_segments`` HSG
    asks all ranks for the width of its tables, and would wait for them for ever.

    Args:
        interval: Iterations between pictures.
        num_images: Number of images; all of a smaller training set.

    Raises:
        ValueError: A setting is below 1, or the pipeline has no ``TwoViewsWithRegions``.
        TypeError: The model has no ``hierarchy()``.
    """

    NAME = 'hierarchy'
    EVERY_RANK = True

    def __init__(self, interval: int = 1000, num_images: int = 4) -> None:
        super().__init__(interval, num_images, by_epoch=False)

    def check_model(self) -> None:
        """Refuse a model without ``hierarchy()``."""
        if not hasattr(self.model, 'hierarchy'):
            raise TypeError(
                'HierarchyPicturesHook serves models with hierarchy(), such as mmcroc.HSG, which '
                f'{type(self.model).__name__} has not; set default_hooks.hierarchy_pictures=None.'
            )

    def load_images(self, runner: Runner) -> None:
        """Load the images and their regions, without the chance of training's views."""
        self.images = fixed_images(runner.train_dataloader.dataset, self.num_images)

    def compute(self) -> list[np.ndarray]:
        """Compute segments and groups of each image by itself: ``(1 + levels, h, w)``."""
        return [self._hierarchy(*pair) for pair in self.images]

    def sheet(self, computed: list[np.ndarray]) -> Image.Image:
        """Paint a row for each image: regions, segments, groups."""
        titles = ['regions', 'segments']
        titles += [f'{number} groups' for number in self.model.head.num_groups]
        return overlay_sheet(
            [
                (image, dict(zip(titles, (regions, *maps), strict=True)))
                for (image, regions), maps in zip(self.images, computed, strict=True)
            ]
        )

    def _hierarchy(self, img: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Segments and groups of an image: ``(1 + levels, h, w)``."""
        batch = dict(inputs=torch.from_numpy(img).permute(2, 0, 1)[None])
        inputs = self.model.data_preprocessor(batch)['inputs']
        on_device = torch.from_numpy(regions).to(inputs.device)
        return self.model.hierarchy(inputs, on_device[None])[0].cpu().numpy()


def send_picture(visualizer: Visualizer, name: str, picture: np.ndarray, step: int) -> None:
    """Give a picture to all backends of a visualiser.

    MMEngine's backend for MLflow takes the name for the file's: one without a suffix stops the
    training (https://github.com/open-mmlab/mmengine/issues/1681), and each step would overwrite
    the last.
    """
    for backend in visualizer._vis_backends.values():
        own = f'{name}_{step:06d}.png' if isinstance(backend, MLflowVisBackend) else name
        backend.add_image(own, picture, step)


def views_of(dataset: BaseDataset, kind: type) -> Any:
    """Find the transform, of a class, that samples the views; a ValueError without one."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    for one in transforms:
        if isinstance(one, kind):
            return one
    raise ValueError(
        'pictures are painted of what train_dataloader.dataset.pipeline gives to '
        f'mmcroc.{kind.__name__}, but {type(dataset).__name__} has '
        f'{[type(one).__name__ for one in transforms]}.'
    )


def fixed_samples(dataset: BaseDataset, number: int, views: Any) -> list[dict]:
    """Load samples of a training set, evenly spread, at most ``number``, up to ``views``."""
    loading = copy(dataset)  # shares the data: the workers' pipeline stays what it is
    before = takewhile(lambda one: one is not views, dataset.pipeline.transforms)
    loading.pipeline = Compose(list(before))
    samples = []
    for index in evenly_spread(len(dataset), number):
        with seeded_generators(0, index):
            samples.append(loading[index])
    return samples


def fixed_images(dataset: BaseDataset, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Load images of a training set and their regions, without the chance of training's views.

    Returns:
        At most ``number`` images, uint8 RGB ``(h, w, 3)``, and regions, integers ``(h, w)``, no
        larger than a view.
    """
    views = views_of(dataset, TwoViewsWithRegions)
    return [
        central_view(one['img'], one['oversegmentation'], views.size, views.scale[0])
        for one in fixed_samples(dataset, number, views)
    ]


def images_of_folder(folder: str, number: int) -> list[np.ndarray]:
    """Read images below a folder, evenly spread: uint8 RGB ``(H, W, 3)``, at most ``number``.

    Raises:
        ValueError: The folder has none.
        mmcroc.data.image_reading.UnreadableImageError: One of those chosen is broken.
    """
    paths = scan_images(folder)
    if not paths:
        raise ValueError(f'TokenPicturesHook.folder={folder!r} has no images.')
    return [read_image(paths[index]) for index in evenly_spread(len(paths), number)]


def evenly_spread(length: int, number: int) -> list[int]:
    """Indices into a list of some length: ``number`` of them, all of a shorter one."""
    number = min(number, length)
    return [i * length // number for i in range(number)]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then every module is in its own mode again."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
