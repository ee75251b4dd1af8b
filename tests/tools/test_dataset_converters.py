import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.processes import call

CONVERTERS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'


@pytest.fixture
def convert(run_tool, monkeypatch):
    monkeypatch.syspath_prepend(CONVERTERS)
    return lambda script, *arguments: run_tool(CONVERTERS / script, *arguments)


def save(path, array, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)


def read(path):
    return np.asarray(Image.open(path))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if not path.is_dir())


def kitti_step(root, image_folder):
    """Two training frames and one for validation, made at random; returns their classes."""
    rng = np.random.default_rng(0)
    frames = {
        ('train', '0000', '000000'): rng.choice([0, 5, 18, 255], (6, 9)),
        ('train', '0020', '000007'): rng.choice([1, 13], (7, 8)),
        ('val', '0002', '000000'): rng.choice([2, 255], (6, 9)),
    }
    for (split, sequence, name), classes in frames.items():
        instances = rng.integers(0, 256, (*classes.shape, 2))
        panoptic = np.concatenate([classes[..., None], instances], -1)
        save(root / 'panoptic_maps' / split / sequence / f'{name}.png', panoptic)
        folder = root / image_folder.format(split=split) / sequence
        save(folder / f'{name}.png', rng.integers(0, 256, (*classes.shape, 3)))
    return frames


def test_kitti_step_is_converted_from_the_download_by_command_line(tmp_path):
    frames = kitti_step(tmp_path, 'training/image_02')
    run = call(sys.executable, CONVERTERS / 'kitti_step.py', tmp_path, '--nproc', 2)
    assert run.returncode == 0, run.stderr
    assert '3 converted, 0 already there, 0 failed' in run.stdout
    assert 'train: 2 of 5027, val: 1 of 2981' in run.stdout
    for frame, classes in frames.items():
        name = '/'.join(frame) + '.png'
        np.testing.assert_array_equal(read(tmp_path / 'ann_dir' / name), classes)
        image = tmp_path / 'img_dir' / name
        assert image.is_symlink()
        original = tmp_path / 'training/image_02' / frame[1] / f'{frame[2]}.png'
        assert image.resolve() == original.resolve()


def test_kitti_step_runs_again_and_survives_bad_files(tmp_path, convert):
    kitti_step(tmp_path / 'in', 'images/{split}')
    labels = tmp_path / 'in/panoptic_maps/train/0000'
    save(labels / '000001.png', np.full((6, 9, 3), 34))  # a label id, no train id
    save(labels / '000002.png', np.zeros((6, 9)))  # grey
    save(labels / '000003.png', np.zeros((6, 9, 3)))  # without image
    (labels / '000004.png').write_bytes(b'not a PNG')
    save(labels / '000005.png', np.zeros((6, 9, 3)))  # with an image of another size
    save(tmp_path / 'in/images/train/0000/000005.png', np.zeros((3, 3, 3)))
    arguments = (tmp_path / 'in', '-o', tmp_path / 'out', '--nproc', 1, '--images', 'copy')
    status, output = convert('kitti_step.py', *arguments)
    assert status == 1
    assert '3 converted, 0 already there, 5 failed' in output
    for number, message in enumerate(
        ('has classes [34]', 'mode L', 'no image at', 'not an image', 'is (3, 3)'), start=1
    ):
        assert any(
            f'00000{number}.png' in line and message in line for line in output.splitlines()
        ), (number, message, output)
    frames = ['train/0000/000000.png', 'train/0020/000007.png', 'val/0002/000000.png']
    assert files(tmp_path / 'out/ann_dir') == frames  # nothing half-written
    assert files(tmp_path / 'out/img_dir') == frames
    assert not (tmp_path / 'out/img_dir' / frames[0]).is_symlink()

    save(tmp_path / 'out/ann_dir' / frames[0], np.zeros((6, 9)))
    assert '0 converted, 3 already there' in convert('kitti_step.py', *arguments)[1]
    assert not read(tmp_path / 'out/ann_dir' / frames[0]).any()
    assert '3 converted' in convert('kitti_step.py', *arguments, '--overwrite')[1]
    assert read(tmp_path / 'out/ann_dir' / frames[0]).any()


def test_kitti_step_names_what_is_not_kitti_step(tmp_path, convert):
    assert 'no panoptic_maps' in convert('kitti_step.py', tmp_path)[0]
    save(tmp_path / 'panoptic_maps/train/0002/000000.png', np.zeros((2, 2, 3)))
    assert '0002 is no train sequence' in convert('kitti_step.py', tmp_path)[0]


@pytest.fixture
def coco(tmp_path):
    """Three segments of which one is stuff and one a crowd, and unlabelled pixels."""
    categories = [
        {'id': 1, 'name': 'person', 'supercategory': 'person', 'isthing': 1},
        {'id': 18, 'name': 'dog', 'supercategory': 'animal', 'isthing': 1},
        {'id': 187, 'name': 'sky-other-merged', 'supercategory': 'sky', 'isthing': 0},
    ]
    ids = np.array([[7, 7, 0], [300, 300, 70_000]])  # one, two and three bytes
    segments = [
        {'id': 7, 'category_id': 1, 'iscrowd': 1},
        {'id': 300, 'category_id': 18, 'iscrowd': 0},
        {'id': 70_000, 'category_id': 187, 'iscrowd': 0},
    ]
    save(
        tmp_path / 'panoptic_val2017/000000000009.png',
        np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1),
    )
    content = {
        'categories': categories,
        'annotations': [
            {'file_name': '000000000009.png', 'image_id': 9, 'segments_info': segments}
        ],
    }
    (tmp_path / 'panoptic_val2017.json').write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(
    ('classes', 'expected'),
    [
        ('things12', [[9, 9, 255], [1, 1, 255]]),
        ('stuff15', [[255, 255, 255], [255, 255, 8]]),
        ('stuff27', [[9, 9, 255], [1, 1, 20]]),
    ],
)
def test_panoptic_masks_become_supercategories(coco, convert, classes, expected):
    json_file = coco / 'panoptic_val2017.json'
    status, output = convert('coco_panoptic.py', json_file, '--classes', classes)
    assert status == 0
    assert '1 converted, 0 already there, 0 failed' in output
    labels = read(coco / f'{classes}_val2017' / '000000000009.png')
    np.testing.assert_array_equal(labels, expected)


def test_panoptic_segment_without_a_category_is_named(coco, convert):
    path = coco / 'panoptic_val2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['segments_info'].pop()
    path.write_text(json.dumps(content))
    status, output = convert('coco_panoptic.py', path, '-o', coco / 'out')
    assert status == 1
    assert 'segments [70000] that the JSON file does not name' in output
    assert files(coco / 'out') == []
