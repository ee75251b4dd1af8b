import json
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from mmcroc.data.image_reading import read_image
from mmcroc.data.prepared_cache import MARKER
from mmcroc.data.unlabelled import UnlabelledImages
from tests.support.images import smooth_image, truncate
from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.tool_outputs import files

SCRIPT = TOOLS / 'prepare_cache.py'


@pytest.fixture
def prepare(run_tool):
    return partial(run_tool, SCRIPT, '--num-workers', 1)


@pytest.fixture
def images(tmp_path):
    """A photograph, one that is high, a small JPEG and a grey PNG."""
    folder = tmp_path / 'in'
    (folder / 'deep').mkdir(parents=True)
    Image.fromarray(smooth_image(120, 160)).save(folder / 'a.JPEG', quality=95)
    Image.fromarray(smooth_image(160, 90)).save(folder / 'deep' / 'b.png')
    Image.fromarray(smooth_image(30, 40)).save(folder / 'c.jpg')
    Image.fromarray(smooth_image(30, 40)).convert('L').save(folder / 'd.png')
    return folder


def test_copies_are_the_images_shrunken_by_command_line_with_two_workers(images, tmp_path):
    out = tmp_path / 'out'
    run = call(sys.executable, SCRIPT, images, out, '--short-side', 60, '--num-workers', 2)
    assert run.returncode == 0, run.stderr
    assert '4 made, 0 already there, 0 failed' in run.stdout
    assert '4/4' in run.stderr  # the bar
    assert files(out) == ['a.JPEG', 'c.jpg', 'd.jpg', 'deep/b.jpg', MARKER]
    for copy, name, shape in (
        ('a.JPEG', 'a.JPEG', (60, 80)),
        ('deep/b.jpg', 'deep/b.png', (107, 60)),
        ('d.jpg', 'd.png', (30, 40)),
    ):
        img = read_image(out / copy)
        assert img.shape == (*shape, 3)
        small = Image.fromarray(read_image(images / name)).resize(shape[::-1])
        assert np.abs(img.astype(int) - np.asarray(small)).mean() < 4
    assert (out / 'c.jpg').read_bytes() == (images / 'c.jpg').read_bytes()


def test_an_interrupted_run_goes_on_and_until_then_nothing_trains_on_it(
    prepare, images, tmp_path, monkeypatch
):
    out, written = tmp_path / 'out', []
    save = Image.Image.save

    def interrupted(self, *args, **kwargs):
        if written:
            raise KeyboardInterrupt
        written.append(args)
        save(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'save', interrupted)
        assert 'start again to go on' in prepare(images, out)[0]
    assert len(files(out)) > 1
    with pytest.raises(ValueError, match=r'unfinished copy; go on with .*prepare_cache'):
        UnlabelledImages(out)
    status, printed = prepare(images, out)
    assert status == 0 and '0 made' not in printed and '0 already' not in printed
    assert len(UnlabelledImages(out)) == 4


def test_training_says_that_it_reads_a_copy(prepare, images, tmp_path, monkeypatch):
    truncate(images / 'a.JPEG')
    status, printed = prepare(images, tmp_path / 'all' / 'out', '--short-side', 60)
    assert status == 1 and 'a.JPEG' in printed
    marker = json.loads((tmp_path / 'all' / 'out' / MARKER).read_text())
    assert (marker['copied'], marker['left_out']) == (3, 1)
    said = []
    monkeypatch.setattr('mmcroc.data.unlabelled.print_log', lambda text, **_: said.append(text))
    UnlabelledImages(tmp_path / 'all', folders=['out/deep'])
    assert f'a shrunken copy of {images}: short side 60 at most' in said[-1]
    assert '1 unreadable' in said[-1]
    UnlabelledImages(images)
    assert 'copy' not in said[-1]


@pytest.mark.parametrize(
    ('case', 'message'),
    [
        ('inside', 'lies in'),
        ('foreign', 'no prepared cache'),
        ('other size', 'other settings'),
        ('same name', 'would both become'),
    ],
)
def test_what_would_mix_images_is_refused(prepare, images, tmp_path, case, message):
    out = images / 'out' if case == 'inside' else tmp_path / 'out'
    if case == 'foreign':
        out.mkdir()
        (out / 'z.jpg').touch()
    if case == 'other size':
        assert prepare(images, out, '--short-side', 60)[0] == 0
    if case == 'same name':
        (images / 'c.png').write_bytes((images / 'd.png').read_bytes())
    before = files(out)
    assert message in prepare(images, out, '--short-side', 50)[0]
    assert files(out) == before
