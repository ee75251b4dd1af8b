"""Linear evaluation in seconds: a closed-form ridge classifier on tokens of training images."""

import torch
from torch.nn import functional as F

from mmcroc.evaluation.linear_iou import LinearIoU
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.distributed import all_reduce_sum
from mmcroc.numerics.linear_heads import LinearHeads
from mmcroc.numerics.ridge import RidgeAccumulator
from mmcroc.registry import METRICS


@METRICS.register_module()
class LinearRidgeIoU(LinearIoU):
    """Mean IoU of a linear classifier of frozen tokens, fitted in closed form.

    :meth:`fit` classifies the tokens of a few training images, each token labelled with the class
    of most of its pixels. Nothing is drawn at random.

    Args:
        train_dataloader (dict): Labelled training images, in a fixed order and without
            augmentation. By default ranks share them without repetition.
        alpha (float): Ridge penalty on weights for standardised tokens, not divided by their
            number.
        absent (str): As for :class:`ClusteringIoU`.
        protocol (str): As for :class:`TokenMetric`, like the rest.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(
        self, train_dataloader, alpha=1.0, absent='zero', protocol='linear-ridge', **kwargs
    ):
        super().__init__(protocol, absent, **kwargs)
        self.train_images = TrainingImages(train_dataloader)
        self.settings = dict(alpha=alpha, absent=absent)
        self.alpha = alpha

    @torch.no_grad()
    def fit(self, model):
        """Fit the classifier to the tokens that ``model.val_step`` hands out.

        Args:
            model (nn.Module): As evaluated. Every rank must call.

        Raises:
            ValueError: A rank got no image, no token has a label, or as :meth:`process`.
        """
        ridge, number = None, 0
        for _, name, sample in self.train_images.through(model, f'{self.protocol}, fit'):
            tokens, mask = self._tokens(sample, name), self._mask(sample, name)
            if ridge is None:
                ridge = RidgeAccumulator(
                    len(tokens), len(self.classes), self.ignore_index, tokens.device
                )
            labels = self._token_labels(mask.to(tokens.device), tokens.shape[-2:])
            ridge.update(tokens.permute(1, 2, 0), labels)
            number += 1
        if ridge is None:
            raise self._no_training_image()
        self.num_train_images = int(all_reduce_sum(torch.tensor(number)))
        classifier = ridge.all_reduce().fit(self.alpha, standardize=True)
        self.heads = LinearHeads(classifier.weight[None], classifier.bias[None])

    def _token_labels(self, mask, grid):
        """The class of most of a token's labelled pixels: (h, w), ignore_index without any."""
        valid = mask != self.ignore_index
        one_hot = F.one_hot(mask.long() * valid, len(self.classes)) * valid[..., None]
        share = F.adaptive_avg_pool2d(one_hot.permute(2, 0, 1).float(), tuple(grid))
        most, label = share.max(0)
        return torch.where(most > 0, label, self.ignore_index)
