"""Lists, JSON, configs and arrays of others: read, or refused in words that name the file."""

import io
import json
import runpy
import tempfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mmcroc.config_files import read_config
from mmcroc.data.prepared_cache import MARKER, mark_cache, prepared_cache
from mmcroc.data.true_regions import COCOPanopticRegions
from mmcroc.data.unlabelled import UnlabelledImages
from mmcroc.evaluation.data_sets import DataSet, OwnImages
from mmcroc.evaluation.davis_folder import has_masks, read_split
from mmcroc.evaluation.low_shot import listed_images
from mmcroc.evaluation.report import Report
from mmcroc.export.provenance import protocol_results
from mmcroc.inference.context_retrieval import read_context_memory
from mmcroc.numerics.segment_memory import SegmentMemory, read_memory, save_memory, write_archive
from tests.support.bad_inputs import VALUES, changed, damaged, read_or_refuse
from tests.support.drawn_videos import squares, write_split, write_video
from tests.support.images import write_images
from tests.support.paths import ROOT

NAMES = damaged(b'0\n1\n2\n', b'a dog\n', '\u2028é\n0'.encode(), b'0\0\n', b'\xff\xfe0\n')


@pytest.fixture
def photos(tmp_path):
    write_images(tmp_path / 'photos', ['0.jpg', '1.jpg', '2.jpg'], height=8, width=8)
    return tmp_path / 'photos'


@given(NAMES)
def test_lists_of_images(tmp_path, photos, data):
    path = tmp_path / 'list.txt'
    path.write_bytes(data)

    def unlabelled_list(path):
        return UnlabelledImages(photos, ann_file=path)

    read_or_refuse(unlabelled_list, str(path))


@given(NAMES)
def test_files_of_class_names(tmp_path, data):
    path = tmp_path / 'classes.txt'
    path.write_bytes(data)

    def class_names(path):
        return OwnImages(tmp_path, tmp_path, classes=path)

    read_or_refuse(class_names, str(path))


@given(NAMES)
def test_low_shot_lists(tmp_path, data):
    path = tmp_path / '1_div_8' / 'train_8_42.txt'
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)

    def low_shot(path):
        return listed_images(str(tmp_path), 8, 42, ['0', '1', '2'])

    read_or_refuse(low_shot, str(path))


@given(NAMES)
def test_lists_of_videos(tmp_path, data):
    path = tmp_path / 'ImageSets' / '2017' / 'val.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

    def split(path):
        try:
            return read_split(tmp_path, 'val')
        except FileNotFoundError as error:  # names the folder that there is not
            assert 'JPEGImages' in str(error)
            raise ValueError(path) from error

    read_or_refuse(split, str(path))


@pytest.mark.parametrize('name', ['../../outside', '{root}/outside', '..', 'a/../../../outside'])
def test_results_of_a_video_stay_in_their_folder(tmp_path, name):
    """Masks are written to a folder of the video's name, and replace what is there."""
    root, name = tmp_path / 'DAVIS', name.format(root=tmp_path)
    for place in ('JPEGImages', 'Annotations'):
        (root / place / '480p' / 'a').mkdir(parents=True)
    write_video(root, name, squares(3, height=16, width=16))
    write_split(root, 'val', [name])
    with pytest.raises(ValueError, match=r'val\.txt lists .* no name of a folder'):
        read_split(root, 'val')


RESULT = dict(model='a.pth', protocol='x', data='voc', metrics=dict(mIoU=1.0))
REPORT = dict(versions={}, results=[RESULT])


@given(changed(REPORT))
def test_results_of_any_content(tmp_path, content):
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(content))
    report = read_or_refuse(Report.load, str(path))
    for result in report.results if report else ():
        assert all(isinstance(result[name], str) for name in ('model', 'protocol', 'data'))

    def results_of_a_model(path):
        return protocol_results([path], 'a.pth', [''])

    read_or_refuse(results_of_a_model, str(path))


DEEP = [b'[' * 10**5, b'{"results": ' * 10**5, b'{"images": ' + b'9' * 5000 + b'}', b'\xff']


@given(damaged(json.dumps(REPORT).encode(), *DEEP))
def test_damaged_results(tmp_path, data):
    path = tmp_path / 'results.json'
    path.write_bytes(data)
    read_or_refuse(Report.load, str(path))


PANOPTIC = dict(
    categories=[dict(id=1, isthing=1, supercategory='person', name='person')],
    images=[dict(id=9, file_name='9.jpg')],
    annotations=[
        dict(
            image_id=9,
            file_name='9.png',
            segments_info=[dict(id=5, category_id=1, iscrowd=0)],
        )
    ],
)


@given(changed(PANOPTIC) | st.sampled_from(DEEP))
def test_panoptic_annotations_of_any_content(tmp_path, content):
    path = tmp_path / 'panoptic_val.json'
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def panoptic(path):
        return COCOPanopticRegions(ann_file=path)

    read_or_refuse(panoptic, str(path))


@pytest.fixture
def coco_panoptic(monkeypatch):
    folder = ROOT / 'tools' / 'dataset_converters'
    monkeypatch.syspath_prepend(folder)
    return runpy.run_path(str(folder / 'coco_panoptic.py'))


@given(changed(PANOPTIC) | st.sampled_from(DEEP))
def test_panoptic_annotations_that_are_converted(tmp_path, coco_panoptic, content):
    path, out = tmp_path / 'panoptic_val.json', tmp_path / 'out'
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def conversion(path):
        return coco_panoptic['jobs_of'](path, tmp_path, out, coco_panoptic['THINGS'])

    for target, _, _ in read_or_refuse(conversion, path) or ():
        assert target.parent == out


@pytest.mark.parametrize('name', ['../x.png', '/x.png', 'a/x.png', '..', '', 5])
def test_a_converter_writes_where_it_is_told_to(tmp_path, coco_panoptic, name):
    path = tmp_path / 'panoptic_val.json'
    content = dict(PANOPTIC, annotations=[dict(PANOPTIC['annotations'][0], file_name=name)])
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r'panoptic_val\.json is no .*no name of a file'):
        coco_panoptic['main']([str(path), '--nproc', '1'])


@given(
    changed(dict(images='x', short_side=8, quality=90, copied=3, left_out=0))
    | st.sampled_from(DEEP)
)
def test_marks_of_prepared_caches(tmp_path, photos, content):
    path = photos / MARKER
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def mark(path):
        try:
            return prepared_cache(photos), len(UnlabelledImages(photos))
        except ValueError as error:  # of an unfinished cache: names the folder
            raise ValueError(f'{path}: {error}') from error

    def mark_again(path):
        try:
            return mark_cache(photos, photos, 8)
        except ValueError as error:  # of another cache: names the folder
            raise ValueError(f'{path}: {error}') from error

    read_or_refuse(mark, str(path))
    read_or_refuse(mark_again, str(path), allowed=tmp_path)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where MMEngine writes a copy of each config that it reads."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    return tmp_path


@given(damaged(b'image_size = 5\n_base_ = []\n', b'{"a": 1}', b'a: [1, 2]\n', b'\xff\xfe'))
@pytest.mark.parametrize('suffix', ['json', 'yaml'])
def test_configs_that_are_data(temporary, suffix, data):
    path = temporary / f'config.{suffix}'
    path.write_bytes(data)
    read_or_refuse(read_config, str(path), temporary)


@pytest.mark.parametrize(
    'text',
    [b'image_size = (', b'\xff', b'a = 1\0', b"_base_ = 'config.py'", b'_base_ = 5',
     b"_base_ = 'other.py'", b'x = ' + b'(' * 300],
)  # fmt: skip
def test_configs_that_are_no_config(temporary, text):
    path = temporary / 'config.py'
    path.write_bytes(text)
    (temporary / 'other.py').write_text("_base_ = 'config.py'")
    assert read_or_refuse(read_config, str(path), temporary) is None


@pytest.mark.parametrize('name', ['train_set', 'val_set', 'videos'])
@given(VALUES)
def test_sets_of_a_data_file_that_are_none(temporary, name, value):
    """The file is the user's own program; what it gives is looked at."""
    path = temporary / 'data.py'
    path.write_text(f'{name} = {value!r}'.replace('inf', '9').replace('nan', '9'))

    def data_file(path):
        return DataSet('data', path, str(temporary)).sets()

    read_or_refuse(data_file, str(path), temporary)


MEMORY = dict(embedding_size=3, model='m')


@pytest.fixture(scope='module')
def memory(tmp_path_factory):
    path = tmp_path_factory.mktemp('memory') / 'memory.npz'
    stored = SegmentMemory(torch.eye(3), torch.arange(3))
    save_memory(path, stored, dict(MEMORY, num_images=2))
    return path.read_bytes()


def segments(path):
    return read_memory(path, MEMORY)


def regions(path):
    return read_context_memory(path, dict(levels=['a']))


@given(data=st.data())
def test_damaged_memories(tmp_path, memory, data):
    path = tmp_path / 'tokens.npz'
    path.write_bytes(data.draw(damaged(memory)))
    read_or_refuse(segments, str(path))


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


ARRAYS = st.sampled_from(
    [np.eye(3, dtype=np.float32), np.arange(3, dtype=np.int32), np.array('x'), np.array(5),
     np.array([b'a']), np.zeros((2, 0)), np.zeros(3, complex), np.zeros(2, 'i4,f4'),
     np.array(['2020'], 'M8')]
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(['prototypes', 'labels', 'prototypes_a', 'places_a', 'x']), ARRAYS
    ),
    changed(dict(MEMORY, num_images=2, format=1, levels=['a'], images=['x'], failed={}, origin={})),
)
def test_memories_of_any_content(tmp_path, arrays, metadata):
    path = tmp_path / 'tokens.npz'
    write_archive(path, arrays, metadata)
    read_or_refuse(segments, str(path))
    read_or_refuse(regions, str(path))


def archive(save=np.savez, **members):
    file = io.BytesIO()
    save(file, **members)
    return file.getvalue()


@pytest.mark.parametrize(
    'data',
    [
        npy(np.zeros(3)),
        npy(np.array([dict()], object)),
        archive(metadata=np.array([dict()], object)),
        pytest.param(None, id='bomb'),
        archive(prototypes=np.zeros((3, 3))),
        archive(metadata=np.array('[' * 10**5)),
        archive(metadata=np.array('5')),
        b'',
    ],
)
def test_files_that_are_no_memory(tmp_path, data):
    path = tmp_path / 'tokens.npz'
    if data is None:  # made where it is needed: half a second
        metadata, prototypes = np.array('{}'), np.zeros(60 << 20)
        data = archive(np.savez_compressed, metadata=metadata, prototypes=prototypes)
    path.write_bytes(data)
    assert read_or_refuse(segments, str(path)) is None
    assert read_or_refuse(regions, str(path)) is None


@pytest.mark.parametrize(
    'data',
    [
        b'', b'x', npy(np.zeros(3)), npy(np.zeros((2, 2))), npy(np.array([dict()], object)),
        npy(np.zeros((3, 3), np.float32)).replace(b'(3, 3)', b'(9**9,'),
        npy(np.zeros((3, 3), np.float32)).replace(b'(3, 3), }      ', b'(3, 999999999999), }'),
    ],
)  # fmt: skip
def test_kept_clusters_that_are_none(tmp_path, data):
    path = tmp_path / 'centroids.npy'
    path.write_bytes(data)
    tool = runpy.run_path(str(ROOT / 'tools' / 'segment.py'))

    def clusters(path):
        return tool['shared'](Config(dict(out=tmp_path, num_clusters=None)), None, [])

    assert read_or_refuse(clusters, str(path)) is None


@pytest.mark.parametrize('text', ['', '[]', '5', '[' * 10**5, '\udcff'])
def test_kept_settings_that_are_none(tmp_path, text):
    path = tmp_path / 'settings.json'
    path.write_bytes(text.encode('utf-8', 'surrogateescape'))
    tool = runpy.run_path(str(ROOT / 'tools' / 'extract.py'))
    settings = dict.fromkeys(['model', 'layers', 'longer_side', 'dtype', 'format'])
    with pytest.raises(SystemExit, match=r'settings\.json'):
        tool['keep_settings'](Config(dict(settings, out=tmp_path)))


def test_the_record_of_masks_may_be_anything(tmp_path):
    root = tmp_path / 'DAVIS'
    write_video(root, 'a', squares(3, height=16, width=16))
    write_split(root, 'val', ['a'])
    (video,) = read_split(root, 'val')
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'settings.json').write_bytes(b'\xff')
    assert not has_masks(video, tmp_path, 'record')
