"""Context retrieval: regions, their memory, and the nearest ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmcroc.inference.context_retrieval import (
    build_memory,
    describe_regions,
    memory_metadata,
    nearest_regions,
    read_context_memory,
    save_context_memory,
)
from mmcroc.inference.segmentation import embed_and_segment, init_model, level_names, segment_image
from tests.support.hsg_models import save_hsg
from tests.support.images import smooth_image, truncate, write_images

LEVELS = ['segments', 'level_1', 'level_2']
SIDE = 64


@pytest.fixture(scope='module')
def hsg(tmp_path_factory):
    return init_model(None, save_hsg(tmp_path_factory.mktemp('hsg'))[1])


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    names = ['a.png', 'b.png', 'deep/c.png', 'd.png']
    write_images(root, names)
    return [str(root / name) for name in names]


@pytest.fixture(scope='module')
def memory(hsg, images):
    return build_memory(hsg, images, longer_side=SIDE)


def test_prototypes_are_unit_means_of_each_regions_unit_embeddings(hsg):
    image = smooth_image(seed=3)
    regions = np.zeros((48, 64), np.int64)
    regions[:, 24:], regions[:8] = 5, -1
    found = describe_regions(hsg, image, regions, SIDE)
    embedding, maps = embed_and_segment(hsg, image, regions, SIDE)
    unit = F.normalize(embedding, dim=0)
    want_maps = segment_image(hsg, image, regions, SIDE)
    for level, labels in zip(LEVELS, maps, strict=True):
        ids = [i for i in labels.unique().tolist() if i >= 0]
        assert len(ids) == len(found.prototypes[level])
        for place, label in enumerate(ids):
            mean = torch.stack([unit[:, y, x] for y, x in (labels == label).nonzero()]).mean(0)
            want = mean / mean.norm()
            torch.testing.assert_close(found.prototypes[level][place], want)
            region = found.maps[level] == place
            np.testing.assert_array_equal(region, want_maps[level] == label)
        np.testing.assert_array_equal(found.maps[level] < 0, regions < 0)


@pytest.mark.parametrize('level', LEVELS)
def test_the_nearest_region_of_an_image_to_itself_is_itself(hsg, images, memory, level):
    query = describe_regions(hsg, images[1], longer_side=SIDE)
    region = query.region_at(level, 40, 20)
    path, similarity, prototype = nearest_regions(memory, level, region.prototype, 1)[0]
    assert path == images[1] and similarity == pytest.approx(1, abs=1e-5)
    again = query.nearest_to(level, prototype)
    np.testing.assert_array_equal(again.mask, region.mask)
    assert region.mask[20, 40]
    assert level != 'segments' or region.mask.mean() < 0.5


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('exclude', [None, 0])
def test_hits_are_those_of_a_plain_search(hsg, images, memory, level, exclude):
    own = None if exclude is None else images[exclude]
    query = describe_regions(hsg, images[0], longer_side=SIDE).region_at(level, 3, 4).prototype
    want = []
    for path in images:
        if path != own:
            rows = describe_regions(hsg, path, longer_side=SIDE).prototypes[level]
            want += [
                (path, float(sum(a * b for a, b in zip(row, query, strict=True)))) for row in rows
            ]
    want = sorted(want, key=lambda hit: -hit[1])
    hits = nearest_regions(memory, level, query, len(want) + 5, own)
    assert [hit[1] for hit in hits] == pytest.approx([hit[1] for hit in want], abs=1e-5)
    assert sorted(hit[0] for hit in hits) == sorted(hit[0] for hit in want)
    assert hits[0][0] == want[0][0]
    assert nearest_regions(memory, level, query, 2, own)[1][:2] == hits[1][:2]


def test_a_memory_is_the_same_from_its_file(hsg, memory, tmp_path):
    path = tmp_path / 'deep' / 'memory.npz'
    save_context_memory(path, memory, folder='x')
    found, origin = read_context_memory(path, memory_metadata(hsg, SIDE))
    assert origin == dict(folder='x') and found.images == memory.images
    assert found.metadata == memory.metadata and list(found.prototypes) == LEVELS
    for level in LEVELS:
        assert torch.equal(found.prototypes[level], memory.prototypes[level])
        assert torch.equal(found.places[level], memory.places[level])
    assert [one.name for one in path.parent.iterdir()] == ['memory.npz']


def test_another_models_memory_other_settings_and_no_memory_are_refused(hsg, memory, tmp_path):
    path = tmp_path / 'memory.npz'
    save_context_memory(path, memory)
    other = init_model(None, save_hsg(tmp_path, seed=1)[1])
    with pytest.raises(ValueError, match=r'memory\.npz was built otherwise \(model'):
        read_context_memory(path, memory_metadata(other, SIDE))
    with pytest.raises(ValueError, match='longer_side: 64 there, 96 here'):
        read_context_memory(path, memory_metadata(hsg, 96))
    truncate(path)
    for file in (path, tmp_path / 'gone.npz'):
        with pytest.raises(ValueError, match='is no memory of regions'):
            read_context_memory(file, memory_metadata(hsg, SIDE))
    memory.places['level_1'] = memory.places['level_1'] + 100
    try:
        save_context_memory(path, memory)
        with pytest.raises(ValueError, match='damaged at level_1'):
            read_context_memory(path, memory_metadata(hsg, SIDE))
    finally:
        memory.places['level_1'] = memory.places['level_1'] - 100


def test_unreadable_images_are_left_out_and_named(hsg, images, tmp_path):
    write_images(tmp_path, ['bad.jpg'])
    truncate(tmp_path / 'bad.jpg')
    memory = build_memory(hsg, [tmp_path / 'bad.jpg', images[0]], longer_side=SIDE)
    assert memory.images == images[:1] and list(memory.failed) == [str(tmp_path / 'bad.jpg')]
    with pytest.raises(ValueError, match=r'memory is empty: none of 1 images.*bad\.jpg'):
        build_memory(hsg, [tmp_path / 'bad.jpg'], longer_side=SIDE)
    with pytest.raises(ValueError, match='memory is empty'):
        build_memory(hsg, [], longer_side=SIDE)
    with pytest.raises(ValueError, match='no region of segments in other images'):
        nearest_regions(memory, 'segments', memory.prototypes['segments'][0], 1, images[0])


def test_queries_that_do_not_fit_are_refused(hsg, images, memory):
    query = describe_regions(hsg, images[0], longer_side=SIDE)
    for x, y in ((64, 0), (0, 48), (-1, 0)):
        with pytest.raises(ValueError, match=rf'point \({x}, {y}\).*64 x 48'):
            query.region_at('segments', x, y)
    with pytest.raises(ValueError, match="no level 'level_9'"):
        query.region_at('level_9', 0, 0)
    with pytest.raises(ValueError, match="no level 'level_9'"):
        nearest_regions(memory, 'level_9', torch.zeros(16), 1)
    with pytest.raises(ValueError, match='embeddings of the same model'):
        nearest_regions(memory, 'segments', torch.ones(8), 1)
    ignored = np.zeros((48, 64), np.int64)
    ignored[:16] = -1
    query = describe_regions(hsg, images[0], ignored, SIDE)
    with pytest.raises(ValueError, match=r'no region at point \(5, 3\)'):
        query.region_at('segments', 5, 3)


def test_an_image_of_one_pixel_is_one_region(hsg, memory, tmp_path):
    Image.new('RGB', (1, 1), 'red').save(tmp_path / 'dot.png')
    found = describe_regions(hsg, tmp_path / 'dot.png', longer_side=SIDE)
    for level in LEVELS:
        region = found.region_at(level, 0, 0)
        assert region.mask.tolist() == [[True]]
        assert len(nearest_regions(memory, level, region.prototype, 3)) == 3


def test_other_models_retrieve_clusters(images):
    model = init_model(None, 'rgb')
    settings = dict(longer_side=128, num_clusters=3)
    memory = build_memory(model, images, **settings)
    assert level_names(model) == list(memory.prototypes) == ['clusters']
    assert len(memory.prototypes['clusters']) == 3 * len(images)
    region = describe_regions(model, images[2], **settings).region_at('clusters', 5, 5)
    path, similarity, _ = nearest_regions(memory, 'clusters', region.prototype, 1)[0]
    assert path == images[2] and similarity == pytest.approx(1, abs=1e-5)
