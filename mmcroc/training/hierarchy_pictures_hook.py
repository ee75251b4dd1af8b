"""The hierarchy of a few training images, again and again while it is learned."""

import torch

from mmcroc.hsg.views import TwoViewsWithRegions, central_view
from mmcroc.pictures.sheets import overlay_sheet
from mmcroc.registry import HOOKS
from mmcroc.training.pictures_hook import PicturesHook, fixed_samples, views_of


@HOOKS.register_module()
class HierarchyPicturesHook(PicturesHook):
    """Paint regions, segments and groups of the same images before, during and after training.

    The images are spread evenly over the training set and loaded as training does, up to
    :class:`TwoViewsWithRegions`, in whose place they are shrunk to what a view shows
    (:func:`~mmcroc.hsg.views.central_view`). The sheets go to
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

    NAME = 'hierarchy'
    EVERY_RANK = True

    def __init__(self, interval=1000, num_images=4):
        super().__init__(interval, num_images, by_epoch=False)

    def check_model(self):
        """Refuse a model without ``hierarchy()``."""
        if not hasattr(self.model, 'hierarchy'):
            raise TypeError(
                'HierarchyPicturesHook serves models with hierarchy(), such as mmcroc.HSG, which '
                f'{type(self.model).__name__} has not; set default_hooks.hierarchy_pictures=None.'
            )

    def load_images(self, runner):
        """The images and their regions, without the chance of training's views."""
        self.images = fixed_images(runner.train_dataloader.dataset, self.num_images)

    def compute(self):
        """Segments and groups of each image by itself: (1 + levels, h, w)."""
        return [self._hierarchy(*pair) for pair in self.images]

    def sheet(self, computed):
        """A row of each image."""
        titles = ['regions', 'segments']
        titles += [f'{number} groups' for number in self.model.head.num_groups]
        return overlay_sheet(
            [
                (image, dict(zip(titles, (regions, *maps), strict=True)))
                for (image, regions), maps in zip(self.images, computed, strict=True)
            ]
        )

    def _hierarchy(self, img, regions):
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
    views = views_of(dataset, TwoViewsWithRegions)
    return [
        central_view(one['img'], one['oversegmentation'], views.size, views.scale[0])
        for one in fixed_samples(dataset, number, views)
    ]
