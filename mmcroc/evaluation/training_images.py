"""Training images for metrics that fit something before they can evaluate."""

import time

import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmcroc.numerics.distributed import get_rank, get_world_size

#: Seconds between two lines of progress.
LOG_EVERY = 20


def with_pipeline(dataset, pipeline):
    """A data set's config with another pipeline: a wrapper's innermost data sets get it.

    Args:
        dataset (dict): Of any data set; ``datasets`` or ``dataset`` are those that it wraps.
        pipeline (list): Transforms.

    Returns:
        dict: The new config.
    """
    if 'datasets' in dataset:
        inner = [with_pipeline(own, pipeline) for own in dataset['datasets']]
        return dict(dataset, datasets=inner)
    if 'dataset' in dataset:
        return dict(dataset, dataset=with_pipeline(dataset['dataset'], pipeline))
    return dict(dataset, pipeline=pipeline)


class TrainingImages:
    """Goes through labelled training images with a model, each image once over all ranks.

    Args:
        dataloader (dict | Iterable): Of training images, in a fixed order and without
            augmentation. By default ranks share them without repetition.
        pipeline (list | None): Takes the place of the data set's own; in a data set that wraps
            others (``ConcatDataset``, ``RepeatDataset``, ...) of theirs.
    """

    def __init__(self, dataloader, pipeline=None):
        if pipeline is not None:
            dataloader = dict(dataloader, dataset=with_pipeline(dataloader['dataset'], pipeline))
        self.dataloader = dataloader
        self._loader = None

    @property
    def config(self):
        """dict | None: The data set's config, where one was given."""
        return self.dataloader.get('dataset') if isinstance(self.dataloader, dict) else None

    @property
    def size(self):
        """int: Images of the data set, once :meth:`through` has begun."""
        return len(self._loader.dataset)

    @torch.no_grad()
    def through(self, model, purpose):
        """What ``model.val_step`` makes of the images of this rank.

        Args:
            model (nn.Module): As evaluated.
            purpose (str): What the lines of progress begin with.

        Yields:
            tuple[int, str, dict]: The image's number in the data set, its name, its data sample.
        """
        if self._loader is None:
            self._loader = self.dataloader
            if isinstance(self.dataloader, dict):
                cfg = dict(self.dataloader)
                cfg.setdefault(
                    'sampler', dict(type='DefaultSampler', shuffle=False, round_up=False)
                )
                if not cfg.get('num_workers'):
                    cfg['persistent_workers'] = False
                self._loader = Runner.build_dataloader(cfg, seed=0)
        model.eval()
        progress, number = Progress(purpose, len(self._loader)), 0
        for batch in self._loader:
            for sample in model.val_step(batch):
                sample = sample.to_dict()
                place = get_rank() + get_world_size() * number
                yield place, sample.get('img_path', f'training image {place}'), sample
                number += 1
            progress.step()


class Progress:
    """Lines with the time left, every ``LOG_EVERY`` seconds, on the main process.

    Args:
        purpose (str): What the lines begin with.
        total (int): Steps.
    """

    def __init__(self, purpose, total):
        self.purpose, self.total, self.done = purpose, total, 0
        self.began = self.logged = time.perf_counter()

    def step(self):
        """One step is done."""
        self.done += 1
        now = time.perf_counter()
        if get_rank() or now - self.logged < LOG_EVERY:
            return
        self.logged = now
        left = (now - self.began) / self.done * (self.total - self.done)
        MMLogger.get_current_instance().info(
            f'{self.purpose}: batch {self.done} of {self.total}, {left / 60:.1f} min left'
        )
