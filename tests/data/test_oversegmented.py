"""Region maps and edge maps in files, and the images that have them."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.data.image_reading import UnreadableImageError, read_image
from mmcroc.data.oversegmented import OversegmentedImages
from mmcroc.data.region_maps import read_edges, read_oversegmentation, write_oversegmentation
from tests.support.images import smooth_image, truncate, write_images


def write_maps(folder, names, shape=(48, 64), dtype=np.uint8):
    """Write maps of random ids, each of its own; returns them."""
    maps = {}
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        top = np.iinfo(dtype).max + 1
        maps[name] = np.random.default_rng(seed).integers(0, top, shape, dtype=dtype)
        maps[name][0, 0] = top - 1
        Image.fromarray(maps[name]).save(path)
    return maps


@pytest.fixture
def pairs(tmp_path):
    """Three images, one in a sub-folder, with maps."""
    write_images(tmp_path / 'images', ['a.jpg', 'b.png', 'c/d.JPEG'])
    write_maps(tmp_path / 'maps', ['a.png', 'b.png', 'c/d.png'])
    return tmp_path


def make(root, **kwargs):
    return OversegmentedImages(root, **{'oversegmentation_folders': ['maps'], **kwargs})


def test_each_image_comes_with_the_map_of_its_name(pairs):
    dataset = make(pairs, folders=['images'])
    for i, (image, name) in enumerate([('a.jpg', 'a'), ('b.png', 'b'), ('c/d.JPEG', 'c/d')]):
        sample = dataset[i]
        np.testing.assert_array_equal(sample['img'], read_image(pairs / 'images' / image))
        expected = np.array(Image.open(pairs / 'maps' / f'{name}.png'))
        np.testing.assert_array_equal(sample['oversegmentation'], expected)
        assert sample['oversegmentation'].dtype == np.int32
        assert sample['oversegmentation_path'] == str(pairs / 'maps' / f'{name}.png')
        assert sample['img_shape'] == (48, 64) and sample['unreadable'] == ()


def test_without_maps_each_image_is_one_region(pairs):
    dataset = make(pairs, folders=['images'], oversegmentation_folders=None)
    assert len(dataset) == 3
    sample = dataset[2]
    np.testing.assert_array_equal(sample['img'], read_image(pairs / 'images/c/d.JPEG'))
    np.testing.assert_array_equal(sample['oversegmentation'], np.zeros((48, 64), np.int32))
    assert sample['oversegmentation'].dtype == np.int32


def test_folders_of_maps_are_parallel_to_folders_of_images(tmp_path):
    for name in ('train', 'train2'):  # one name is the beginning of the other
        write_images(tmp_path / name, ['a.jpg'])
    write_maps(tmp_path / 'm1', ['a.png'])
    write_maps(tmp_path / 'm2', ['a.png'], dtype=np.uint16)
    dataset = OversegmentedImages(
        tmp_path, ['m2', str(tmp_path / 'm1')], folders=['train2', 'train']
    )
    paths = [dataset[i]['oversegmentation_path'] for i in range(2)]
    assert paths == [str(tmp_path / 'm2/a.png'), str(tmp_path / 'm1/a.png')]


def test_one_folder_as_a_string_and_no_folders(pairs):
    dataset = OversegmentedImages(pairs / 'images', str(pairs / 'maps'))
    assert len(dataset) == 3 and 'oversegmentation' in dataset[2]


def test_list_of_images(pairs):
    (pairs / 'list.txt').write_text('b.png\na\n')
    dataset = make(pairs, folders='images', ann_file='list.txt')
    assert dataset[1]['oversegmentation_path'] == str(pairs / 'maps/a.png')


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_ids_survive_exactly(tmp_path, dtype):
    (expected,) = write_maps(tmp_path, ['map.png'], dtype=dtype).values()
    regions = read_oversegmentation(tmp_path / 'map.png')
    np.testing.assert_array_equal(regions, expected)
    assert regions.max() == np.iinfo(dtype).max


def test_palette_maps_are_read_as_indices(tmp_path):
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(ids).convert('P')
    image.putpalette([7] * 768)  # colours mean nothing
    image.save(tmp_path / 'map.png')
    np.testing.assert_array_equal(read_oversegmentation(tmp_path / 'map.png'), ids)


@pytest.mark.parametrize(
    ('image', 'kind', 'message'),
    [
        (np.zeros((4, 5, 3), np.uint8), 'PNG', 'PNG of mode RGB'),
        (np.zeros((4, 5, 4), np.uint8), 'PNG', 'PNG of mode RGBA'),
        (np.zeros((4, 5), np.float32), 'TIFF', 'TIFF of mode F'),
        (np.full((4, 5), 70000, np.int32), 'TIFF', 'TIFF of mode I'),
        (np.zeros((4, 5), np.uint8), 'JPEG', 'JPEG of mode L'),
    ],
)
def test_maps_of_another_kind_are_refused(tmp_path, image, kind, message):
    Image.fromarray(image).save(tmp_path / 'map.png', format=kind)
    with pytest.raises(ValueError, match=rf'map\.png.*{message}.*8 or 16 bits'):
        read_oversegmentation(tmp_path / 'map.png')


def test_broken_map_stops_the_run_and_is_named(pairs):
    truncate(pairs / 'maps/b.png')
    dataset = make(pairs, folders=['images'])
    with pytest.raises(ValueError, match=r'Cannot read over-segmentation .*maps/b\.png'):
        dataset[1]


@pytest.mark.parametrize('number', [0, 6])
def test_missing_map_at_either_end_is_found_at_start(tmp_path, number):
    write_images(tmp_path / 'images', [f'{i}.jpg' for i in range(7)])
    write_maps(tmp_path / 'maps', [f'{i}.png' for i in range(7) if i != number])
    with pytest.raises(FileNotFoundError) as error:
        make(tmp_path, folders=['images'])
    for part in (f'images/{number}.jpg', f'maps/{number}.png', 'tools/prepare_oversegmentation.py'):
        assert part in str(error.value)


def test_missing_map_in_the_middle_is_found_when_read(tmp_path):
    write_images(tmp_path / 'images', [f'{i}.jpg' for i in range(7)])
    write_maps(tmp_path / 'maps', [f'{i}.png' for i in range(7) if i != 3])
    dataset = make(tmp_path, folders=['images'])
    with pytest.raises(FileNotFoundError, match=r'(?s)3\.jpg.*3\.png.*prepare_oversegmentation'):
        dataset[3]


def test_map_of_another_size_is_named_with_both_shapes(pairs):
    write_maps(pairs / 'maps', ['b.png'], shape=(64, 48))
    with pytest.raises(ValueError) as error:
        make(pairs, folders=['images'])[1]
    for part in ('maps/b.png', 'images/b.png', '(64, 48)', '(48, 64)', 'EXIF'):
        assert part in str(error.value)


def test_maps_fit_the_image_once_it_is_upright(tmp_path):
    (tmp_path / 'images').mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(smooth_image(48, 64)).save(tmp_path / 'images/a.jpg', exif=exif)
    write_maps(tmp_path / 'maps', ['a.png'], shape=(64, 48))
    assert make(tmp_path, folders=['images'])[0]['oversegmentation'].shape == (64, 48)


@pytest.mark.filterwarnings('ignore:Cannot read')
def test_unreadable_image_is_replaced_together_with_its_map(pairs):
    truncate(pairs / 'images/a.jpg')
    sample = make(pairs, folders=['images'])[0]
    name = sample['oversegmentation_path'].removeprefix(str(pairs / 'maps')).removesuffix('.png')
    assert sample['img_path'].startswith(f'{pairs}/images{name}.')
    assert sample['unreadable'][0][0] == str(pairs / 'images/a.jpg')
    np.testing.assert_array_equal(
        sample['oversegmentation'], read_oversegmentation(sample['oversegmentation_path'])
    )
    with pytest.raises(UnreadableImageError):
        make(pairs, folders=['images'], replace_unreadable=False)[0]


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        (dict(folders=['images', 'images/c']), ValueError, r'but has 1 for 2'),
        (dict(oversegmentation_folders=[]), ValueError, r'but has 0 for 1'),
        (dict(), ValueError, r'maps.* lies in .*where all PNG'),
        (dict(folders=['maps']), ValueError, r'maps.* lies in .*maps'),
        (
            dict(folders=['images'], oversegmentation_folders=['nowhere']),
            FileNotFoundError,
            r"expected '.*nowhere/a\.png'.*prepare_oversegmentation",
        ),
    ],
)
def test_wrong_settings_are_named(pairs, kwargs, error, message):
    with pytest.raises(error, match=message):
        make(pairs, **kwargs)


@pytest.mark.parametrize(('number', 'mode'), [(1, 'L'), (256, 'L'), (257, 'I;16'), (65536, 'I;16')])
def test_regions_come_back_from_the_smallest_type_that_holds_them(tmp_path, number, mode):
    regions = np.arange(256 * 257, dtype=np.int32).reshape(256, 257) % number
    write_oversegmentation(tmp_path / 'a.png', regions)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.mode == mode
    np.testing.assert_array_equal(read_oversegmentation(tmp_path / 'a.png'), regions)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_too_many_regions_name_the_option_and_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'65537 regions.*--max-regions'):
        write_oversegmentation(tmp_path / 'a.png', np.arange(65537)[None])
    assert not list(tmp_path.iterdir())


def test_bad_region_files_are_named(tmp_path):
    (tmp_path / 'half.png').write_bytes(b'\x89PNG')
    Image.new('RGB', (3, 3)).save(tmp_path / 'colour.png')
    for name in ('half.png', 'colour.png'):
        with pytest.raises(ValueError, match=name):
            read_oversegmentation(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r'missing\.png'):
        read_oversegmentation(tmp_path / 'missing.png')


def test_edge_maps_are_read_as_zero_to_one(tmp_path):
    values = np.array([[0, 51], [102, 255]])
    expected = (values / 255).astype(np.float32)
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / 'a.png')
    Image.fromarray((values * 257).astype(np.uint16)).save(tmp_path / 'b.png')
    np.save(tmp_path / 'c.npy', values / 255)
    for name in ('a.png', 'b.png', 'c.npy'):
        np.testing.assert_allclose(read_edges(tmp_path / name), expected, atol=1e-7)


def test_bad_edge_maps_are_named(tmp_path):
    np.save(tmp_path / 'high.npy', np.array([[0.0, 2.0]]))
    np.save(tmp_path / 'whole.npy', np.array([[0, 1]]))
    Image.new('RGB', (3, 3)).save(tmp_path / 'colour.png')
    for name in ('high.npy', 'whole.npy', 'colour.png'):
        with pytest.raises(ValueError, match=name):
            read_edges(tmp_path / name)
