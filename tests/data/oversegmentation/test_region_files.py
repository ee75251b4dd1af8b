import numpy as np
import pytest
from PIL import Image

from mmcroc.data.oversegmentation.region_files import read_edges, read_regions, write_regions


@pytest.mark.parametrize(('number', 'mode'), [(1, 'L'), (256, 'L'), (257, 'I;16'), (65536, 'I;16')])
def test_regions_come_back_from_the_smallest_type_that_holds_them(tmp_path, number, mode):
    regions = np.arange(256 * 257, dtype=np.int32).reshape(256, 257) % number
    write_regions(tmp_path / 'a.png', regions)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.mode == mode
    np.testing.assert_array_equal(read_regions(tmp_path / 'a.png'), regions)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_too_many_regions_name_the_option_and_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'65537 regions.*--max-regions'):
        write_regions(tmp_path / 'a.png', np.arange(65537)[None])
    assert not list(tmp_path.iterdir())


def test_bad_region_files_are_named(tmp_path):
    (tmp_path / 'half.png').write_bytes(b'\x89PNG')
    Image.new('RGB', (3, 3)).save(tmp_path / 'colour.png')
    for name in ('half.png', 'colour.png', 'missing.png'):
        with pytest.raises(ValueError, match=name):
            read_regions(tmp_path / name)


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
