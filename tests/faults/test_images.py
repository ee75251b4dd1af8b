"""Images that are deleted or changed under a training."""

import numpy as np
import pytest
from PIL import Image

from tests.support.faults import train

MANY = 'train_cfg.max_epochs=4'


@pytest.fixture
def images(tmp_path):
    """Six images of noise."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f'{i}.png')
    return folder


@pytest.mark.parametrize(
    'damage',
    [dict(delete_at=2), pytest.param(dict(change_at=2), marks=pytest.mark.campaign)],
    ids=['deleted', 'changed'],
)
def test_images_that_go_missing_are_replaced_and_named(images, tmp_path, damage):
    files = [str(images / f'{i}.png') for i in (1, 4)]
    code, printed = train(tmp_path / 'run', images=images, files=files, **damage)
    assert code == 0, printed
    for file in files:
        assert printed.count(f'Unreadable image {file}: ') == 1
    assert '2 images could not be read and were replaced by others' in printed


@pytest.mark.campaign
def test_too_many_missing_images_end_the_run_by_name(images, tmp_path):
    files = [str(images / f'{i}.png') for i in (1, 4)]
    code, printed = train(
        tmp_path / 'run', 'default_hooks.unreadable_images.max_unreadable=1', images=images,
        files=files, delete_at=2,
    )  # fmt: skip
    assert code == 1 and '2 images cannot be read, more than' in printed
    assert all(file in printed.split('cannot be read, more than')[1] for file in files)


@pytest.mark.campaign
def test_a_resumed_run_of_other_images_is_refused(images, tmp_path):
    """The same number of iterations an epoch, but another order: once it went on silently."""
    few = 'train_dataloader.batch_size=4'
    assert train(tmp_path / 'run', few, images=images)[0] == 0

    def refusal():
        code, printed = train(tmp_path / 'run', few, MANY, images=images, resume=True)
        assert code == 1
        return printed.strip().splitlines()[-1]

    third = (images / '3.png').rename(images / '7.png')
    assert 'of a training on images of other names than the 6 there are now' in refusal()
    third.unlink()
    assert 'of a training on 6 images, but there are 5 now' in refusal()


def test_a_run_is_resumed_where_its_images_were_moved(images, tmp_path):
    assert train(tmp_path / 'run', images=images)[0] == 0
    images = images.rename(tmp_path / 'moved')
    code, printed = train(tmp_path / 'run', MANY, images=f'{images}/', resume=True)
    assert code == 0, printed
