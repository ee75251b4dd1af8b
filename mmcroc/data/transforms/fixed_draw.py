"""Random transforms that can be drawn again."""

from mmcv.transforms import Compose

from mmcroc.data.sample_seed import seeded_generators
from mmcroc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FixedDraw(Compose):
    """Transforms whose randomness is a function of (seed, draw, place of the image).

    Neither workers, ranks nor what was drawn before have a say.

    Required key: ``sample_idx``, as MMEngine's data sets give it.

    Args:
        transforms (list): Transforms or their configs.
        draw (int): Number of the draw, >= 0.
        seed (int): Of all draws, >= 0.
    """

    def __init__(self, transforms, draw=0, seed=0):
        super().__init__(transforms)
        self.draw, self.seed = draw, seed

    def transform(self, results):
        """See the class.

        Raises:
            KeyError: There is no ``sample_idx``.
        """
        if 'sample_idx' not in results:
            raise KeyError(
                'FixedDraw: the data set gives no sample_idx, the place of an image; those derived '
                'from mmengine.dataset.BaseDataset do'
            )
        with seeded_generators(self.seed, self.draw, results['sample_idx']):
            return super().transform(results)
