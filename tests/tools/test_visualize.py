"""tools/visualize.py as users call it."""

import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.support.croc_models import save_croc
from tests.support.hsg_models import save_hsg
from tests.support.images import truncate
from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.tool_outputs import OUTPUTS, SIDE, files

SCRIPT = TOOLS / 'visualize.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_croc(tmp_path_factory.mktemp('croc'))[1]


@pytest.fixture
def visualize(run_tool):
    return partial(run_tool, SCRIPT, *SIDE)


def all_of(*kinds):
    return sorted([f'{kind}/{name}' for kind in kinds for name in OUTPUTS] + ['sheet.png'])


def test_a_folder_gives_pictures_and_a_sheet_by_command_line(images, checkpoint, tmp_path):
    out = tmp_path / 'out'
    done = call(sys.executable, SCRIPT, images, checkpoint, '--out', out, *SIDE)
    assert done.returncode == 0, done.stderr
    assert '2 images painted, 0 failed in' in done.stdout.splitlines()[-1]
    assert f'{out / "sheet.png"} (2 of them' in done.stdout.splitlines()[-1]
    assert done.stderr.count('0/2 [00:00<?') == 2  # two passes, a bar each
    assert files(out) == all_of('pca', 'clusters', 'attention')
    with Image.open(out / 'sheet.png') as sheet:
        # Image, PCA, crops, two views, their clusters, attention and that of two heads.
        assert sheet.width == 10 * 244


def test_the_sheet_is_made_of_the_single_pictures(images, checkpoint, tmp_path, visualize):
    visualize(images, checkpoint, '--out', tmp_path / 'out', '--what', 'pca')
    sheet = np.asarray(Image.open(tmp_path / 'out/sheet.png'))
    single = np.asarray(Image.open(tmp_path / 'out/pca/a.png'))
    np.testing.assert_array_equal(sheet[: len(single), 244:], single)


def test_runs_repeat_themselves_and_an_image_does_not_depend_on_the_others_but_for_its_colours(
    images, checkpoint, tmp_path, visualize
):
    for name, chosen in (('one', images), ('two', images), ('alone', images / 'a.jpg')):
        assert visualize(chosen, checkpoint, '--out', tmp_path / name)[0] == 0
    for path in files(tmp_path / 'one'):
        pictures = [np.asarray(Image.open(tmp_path / name / path)) for name in ('one', 'two')]
        np.testing.assert_array_equal(*pictures)
    for path in ('clusters/a.png', 'attention/a.png'):
        pictures = [np.asarray(Image.open(tmp_path / name / path)) for name in ('one', 'alone')]
        np.testing.assert_array_equal(*pictures)


def test_heads_views_and_clustering_are_options(images, checkpoint, tmp_path, visualize):
    def painted(name, *options):
        code, output = visualize(
            images / 'a.jpg', checkpoint, '--what', 'clusters', '--out', tmp_path / name, *options
        )
        assert code == 0, output
        return np.asarray(Image.open(tmp_path / name / 'clusters/a.png'))

    default, both = painted('default'), painted('both', '--heads', 0, 1)
    assert default.shape[1] == 5 * 244 and both.shape[1] == 7 * 244
    np.testing.assert_array_equal(both[:, : 5 * 244], default)
    for options in (
        ['--seed', 1],
        ['--views', 'scale=0.9,1'],
        ['--clustering', 'max_clusters=2', 'feature=q'],
    ):
        assert (painted(options[0], *options) != default).any()


def test_hsg_gives_its_levels(images, tmp_path, visualize):
    checkpoint = save_hsg(tmp_path)[1]
    assert visualize(images, checkpoint, '--out', tmp_path / 'out')[0] == 0
    assert files(tmp_path / 'out') == all_of('pca', 'hierarchy')


def test_broken_images_are_named_once_and_the_others_done(images, checkpoint, tmp_path, visualize):
    truncate(images / 'a.jpg')
    code, output = visualize(images, checkpoint, '--out', tmp_path / 'out')
    assert code == 1 and output.count(f'Cannot read image {images / "a.jpg"}') == 1
    assert '1 images painted, 1 failed' in output
    want = [name for name in all_of('pca', 'clusters', 'attention') if 'a.png' not in name]
    assert files(tmp_path / 'out') == want


def test_what_a_checkpoint_cannot_give_is_named_before_anything_is_done(
    images, tmp_path, visualize
):
    hsg = save_hsg(tmp_path)[1]
    for checkpoint, kind, can in ((hsg, 'attention', 'pca, hierarchy'), ('rgb', 'clusters', 'pca')):
        message, _ = visualize(images, checkpoint, '--out', tmp_path / 'o', '--what', kind)
        assert message.startswith(f'{checkpoint}: {kind} needs a Vision Transformer of mmcroc')
        assert message.endswith(f'can give: {can}')
    message, _ = visualize(images, 'gone.pth', '--out', tmp_path / 'o')
    assert 'no checkpoint at gone.pth' in message
    code, output = visualize(images, 'rgb', '--out', tmp_path / 'o', '--what', 'curves')
    assert code == 2 and "invalid choice: 'curves'" in output
    assert not (tmp_path / 'o').exists()


def test_wrong_settings_are_named(images, checkpoint, tmp_path, visualize):
    out = ['--out', tmp_path / 'o']
    assert 'heads 0 to 1' in visualize(images, checkpoint, *out, '--heads', 2)[0]
    assert 'sise' in visualize(images, checkpoint, *out, '--views', 'sise=3')[0]
    (tmp_path / 'empty').mkdir()
    message, _ = visualize(tmp_path / 'empty', checkpoint, *out)
    assert message == f'no images below {tmp_path / "empty"}'
    assert not (tmp_path / 'o').exists()


def test_the_sheet_has_as_many_rows_as_are_wanted(images, checkpoint, tmp_path, visualize):
    _, output = visualize(images, checkpoint, '--out', tmp_path / 'out', '--rows', 1)
    assert '2 images painted' in output and '(1 of them' in output
    assert files(tmp_path / 'out') == all_of('pca', 'clusters', 'attention')
    with Image.open(tmp_path / 'out/sheet.png') as sheet:
        assert sheet.height < 270
