"""The visualiser whose figure waits."""

import numpy as np
import pytest
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from mmcroc.training.visualizer import DeferredVisualizer

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_without_drawing_there_is_no_figure(monkeypatch, tmp_path):
    def no_figure(*_):
        raise ImportError('matplotlib')

    monkeypatch.setattr(Visualizer, '_initialize_fig', no_figure)
    with pytest.raises(ImportError):
        UniversalVisualizer()
    visualizer = DeferredVisualizer(
        vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path)
    )
    visualizer.add_scalar('loss', 1.0)
    visualizer.add_image('picture', IMAGE)
    visualizer.close()
    assert len(list(tmp_path.rglob('*.png'))) == 1
    with pytest.raises(ImportError):
        visualizer.set_image(IMAGE)


@pytest.mark.parametrize('image', [None, IMAGE], ids=['later', 'at once'])
def test_it_draws_as_mmpretrains(image):
    drawn = []
    for make in (UniversalVisualizer, DeferredVisualizer):
        visualizer = make(image=image)
        for turned in (IMAGE, IMAGE[::-1]):
            if image is None:
                visualizer.set_image(turned)
            visualizer.draw_bboxes(np.array([5, 5, 30, 20]))
            drawn.append(visualizer.get_image())
        sample = DataSample().set_gt_label(1)
        drawn.append(visualizer.visualize_cls(IMAGE, sample, classes=['a', 'b']))
    assert all(np.array_equal(a, b) for a, b in zip(drawn[:3], drawn[3:], strict=True))
    assert not np.array_equal(drawn[0], IMAGE)
