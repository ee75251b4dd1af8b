"""The hierarchy of a few training images, again and again while it is learned."""

from contextlib import contextmanager
from copy import copy
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmcroc.datasets.sample_seed import seeded_generators
from mmcroc.datasets.transforms.two_region_views import TwoViewsWithRegions, central_view
from mmcroc.registry import HOOKS
from mmcroc.visualization import overlay_sheet

from .atomic_checkpoint_hook import AtomicLocalBackend


@HOOKS.register_module()
class HierarchyPicturesHook(Hook):
    """Paint regions, segments and groups of the same images before, during and after training.

    The images are spread evenly over the training set and loaded as training does, up to
    :class:`TwoViewsWithRegions`, in whose place they are shrunk to what a view shows
    (:func:`~mmcroc.datasets.transforms.two_region_views.central_view`). The sheets go to
    ``WORK_DIR/pictures/hierarchy_{iteration:06d}.png`` and to the visualiser, as ``hierarchy``.
    Training goes on as if there were no hook.

    Every rank computes the hierarchy, and the first one paints it: without ``max_segments`` HSG
    asks all ranks for the width of its tables, and would wait for them for ever.

    Args:
        interval (int): Iterations between pictures. Defaults to 1000.
        num_images (int): Images; all of a smaller training set. Defaults to 4.

    Raises:
        ValueError: A setting below 1, or a pipeline without ``TwoViewsWithRegions``.
        TypeError: A model without ``hierarchy()``.
    """

    priority = 'LOW'

    def __init__(self, interval=1000, num_images=4):
        for name, value in (('interval', interval), ('num_images', num_images)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'HierarchyPicturesHook.{name} must be a whole number >= 1, but is {value!r}.'
                )
        self.interval = interval
        self.num_images = num_images

    def before_train(self, runner):
        """Load the images, and show what there is before training (not when it is resumed)."""
        self.model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(self.model, 'hierarchy'):
            raise TypeError(
                'HierarchyPicturesHook serves models with hierarchy(), such as mmcroc.HSG, which '
                f'{type(self.model).__name__} has not; remove default_hooks.hierarchy_pictures.'
            )
        self.images = fixed_images(runner.train_dataloader.dataset, self.num_images)
        self.painted = None
        if runner.iter == 0:
            self._paint(runner, 0)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Every ``interval`` iterations."""
        if self.every_n_train_iters(runner, self.interval):
            self._paint(runner, runner.iter + 1)

    def after_train(self, runner):
        """The last iteration, also of a training that was stopped early."""
        if self.painted != runner.iter:
            self._paint(runner, runner.iter)

    def _paint(self, runner, iteration):
        self.painted = iteration
        with _evaluating(self.model):
            examples = [(*pair, self._hierarchy(*pair)) for pair in self.images]
        if not is_main_process():
            return
        titles = ['regions', 'segments']
        titles += [f'{number} groups' for number in self.model.head.num_groups]
        sheet = overlay_sheet(
            [
                (image, dict(zip(titles, (regions, *maps), strict=True)))
                for image, regions, maps in examples
            ]
        )
        png = BytesIO()
        sheet.save(png, format='PNG')
        path = Path(runner.work_dir) / 'pictures' / f'hierarchy_{iteration:06d}.png'
        AtomicLocalBackend().put(png.getvalue(), path)
        runner.visualizer.add_image('hierarchy', np.asarray(sheet), iteration)

    def _hierarchy(self, img, regions):
        """Segments and groups of an image by itself: (1 + levels, h, w)."""
        batch = dict(inputs=torch.from_numpy(img).permute(2, 0, 1)[None])
        inputs = self.model.data_preprocessor(batch)['inputs']
        regions = torch.from_numpy(regions).to(inputs.device)
        return self.model.hierarchy(inputs, regions[None])[0].cpu().numpy()


def fixed_images(dataset, number):
    """Images of a training set and their regions, without the chance of training's views.

    Args:
        dataset (mmengine.dataset.BaseDataset): Its pipeline has a ``TwoViewsWithRegions``.
        number (int): How many, at most; they are spread evenly.

    Returns:
        list[tuple[numpy.ndarray, numpy.ndarray]]: uint8 RGB (h, w, 3) and integers (h, w), no
        larger than the views.

    Raises:
        ValueError: There is no ``TwoViewsWithRegions``.
    """
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    views = next((one for one in transforms if isinstance(one, TwoViewsWithRegions)), None)
    if views is None:
        raise ValueError(
            'HierarchyPicturesHook takes images and regions from where train_dataloader.dataset.'
            f'pipeline has mmcroc.TwoViewsWithRegions, but {type(dataset).__name__} has '
            f'{[type(one).__name__ for one in transforms]}.'
        )
    loading = copy(dataset)  # shares the data: the workers' pipeline stays what it is
    loading.pipeline = Compose(list(takewhile(lambda one: one is not views, transforms)))
    number = min(number, len(dataset))
    images = []
    for index in (i * len(dataset) // number for i in range(number)):
        with seeded_generators(0, index):
            sample = loading[index]
        pair = sample['img'], sample['oversegmentation']
        images.append(central_view(*pair, views.size, views.scale[0]))
    return images


@contextmanager
def _evaluating(model):
    """Evaluation mode for a while; then every module is in its own mode again."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
