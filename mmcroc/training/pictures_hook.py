"""Pictures of the same images, again and again while something is learned."""

from contextlib import contextmanager
from copy import copy
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import numpy as np
from mmengine.dataset import Compose
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.visualization.vis_backend import MLflowVisBackend

from mmcroc.data.sample_seed import seeded_generators
from mmcroc.training.checkpoint_hook import AtomicLocalBackend


class PicturesHook(Hook):
    """Paint a sheet of fixed images before, during and after training, which goes on unchanged.

    The sheets go to ``WORK_DIR/pictures/{NAME}_{iteration:06d}.png`` and, as ``NAME``, to the
    visualiser and whatever backends it has.

    A subclass has ``NAME``, ``check_model()``, ``load_images(runner)``, ``compute()`` and
    ``sheet(computed)``.

    Args:
        interval (int): Iterations, or epochs, between pictures.
        num_images (int): Images; all of a smaller training set.
        by_epoch (bool): Count epochs.

    Raises:
        ValueError: A number below 1.
    """

    priority = 'LOW'
    #: Whether all ranks have to compute, since the model asks all of them for something.
    EVERY_RANK = False

    def __init__(self, interval, num_images, by_epoch):
        for name, value in (('interval', interval), ('num_images', num_images)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'{type(self).__name__}.{name} must be a whole number >= 1, but is {value!r}.'
                )
        self.interval = interval
        self.num_images = num_images
        self.by_epoch = by_epoch

    def before_train(self, runner):
        """Load the images, and show what there is before training (not when it is resumed)."""
        self.model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.check_model()
        self.painted = None
        if self._computes():
            self.load_images(runner)
        if runner.iter == 0:
            self._paint(runner, 0)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Every ``interval`` iterations."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._paint(runner, runner.iter + 1)

    def after_train_epoch(self, runner):
        """Every ``interval`` epochs."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._paint(runner, runner.iter)

    def after_train(self, runner):
        """The last iteration, also of a training that was stopped early."""
        if self.painted != runner.iter:
            self._paint(runner, runner.iter)

    def _computes(self):
        return self.EVERY_RANK or is_main_process()

    def _paint(self, runner, iteration):
        self.painted = iteration
        if not self._computes():
            return
        with _evaluating(self.model):
            computed = self.compute()
        if not is_main_process():
            return
        sheet = self.sheet(computed)
        png = BytesIO()
        sheet.save(png, format='PNG')
        path = Path(runner.work_dir) / 'pictures' / f'{self.NAME}_{iteration:06d}.png'
        AtomicLocalBackend().put(png.getvalue(), path)
        send_picture(runner.visualizer, self.NAME, np.asarray(sheet), iteration)


def send_picture(visualizer, name, picture, step):
    """Give a picture to all backends of a visualiser.

    MMEngine's backend for MLflow takes the name for the file's: one without a suffix stops the
    training (https://github.com/open-mmlab/mmengine/issues/1681), and each step would overwrite
    the last.

    Args:
        visualizer (mmengine.visualization.Visualizer): With any backends.
        name (str): Of the series.
        picture (numpy.ndarray): uint8 RGB (H, W, 3).
        step (int): Its place in the series.
    """
    for backend in visualizer._vis_backends.values():
        own = f'{name}_{step:06d}.png' if isinstance(backend, MLflowVisBackend) else name
        backend.add_image(own, picture, step)


def views_of(dataset, kind):
    """The transform of a data set's pipeline that draws the views.

    Args:
        dataset (mmengine.dataset.BaseDataset): Of training.
        kind (type): The transform's class.

    Raises:
        ValueError: There is none.
    """
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    for one in transforms:
        if isinstance(one, kind):
            return one
    raise ValueError(
        'pictures are painted of what train_dataloader.dataset.pipeline gives to '
        f'mmcroc.{kind.__name__}, but {type(dataset).__name__} has '
        f'{[type(one).__name__ for one in transforms]}.'
    )


def fixed_samples(dataset, number, views):
    """Samples of a training set, evenly spread, as they are before the views are drawn.

    Args:
        dataset (mmengine.dataset.BaseDataset): Of training.
        number (int): How many, at most.
        views (BaseTransform): Of :func:`views_of`.

    Returns:
        list[dict]: The samples.
    """
    loading = copy(dataset)  # shares the data: the workers' pipeline stays what it is
    before = takewhile(lambda one: one is not views, dataset.pipeline.transforms)
    loading.pipeline = Compose(list(before))
    samples = []
    for index in evenly_spread(len(dataset), number):
        with seeded_generators(0, index):
            samples.append(loading[index])
    return samples


def evenly_spread(length, number):
    """Indices into a list of some length: ``number`` of them, all of a shorter one."""
    number = min(number, length)
    return [i * length // number for i in range(number)]


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
