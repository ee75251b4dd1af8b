"""Pictures that are damaged, lie, or are no pictures: read, or refused in words, nothing run."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from mmcroc.data.image_reading import UnreadableImageError, load_picture, open_picture, read_image
from mmcroc.data.labelled_transforms import LoadMappedAnnotations
from mmcroc.data.own_images import _values, class_values
from mmcroc.data.prepared_cache import shrink_image
from mmcroc.data.region_maps import read_edges, read_oversegmentation
from mmcroc.data.true_regions import LoadCOCOInstances, LoadHumanRegions
from mmcroc.data.unlabelled import scan_images
from mmcroc.evaluation.davis_folder import picture_size, read_mask
from tests.support.bad_inputs import bounded, damaged, read_or_refuse
from tests.support.images import smooth_image

RGB = Image.fromarray(smooth_image(20, 30))


def encoded(form, mode='RGB', **options):
    """Bytes of a small picture."""
    file = io.BytesIO()
    RGB.convert(mode).save(file, form, **options)
    return file.getvalue()


SIXTEEN = io.BytesIO()
Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(SIXTEEN, 'PNG')
PICTURES = [
    encoded('JPEG'), encoded('JPEG', progressive=True), encoded('PNG'), encoded('BMP'),
    encoded('TIFF'), encoded('TIFF', compression='tiff_lzw'), encoded('WEBP'), encoded('PPM'),
    encoded('GIF'),
]  # fmt: skip
MAPS = [encoded('PNG', 'L'), encoded('PNG', 'P'), encoded('PNG', '1'), SIXTEEN.getvalue()]
#: What Pillow would hand to Ghostscript.
PROGRAM = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n'


def human_regions(path):
    return LoadHumanRegions()(dict(region_paths=[path]))


def coco_instances(path):
    return LoadCOCOInstances()(dict(seg_map_path=path, instance_ids=[1]))


def own_mask(path):
    return class_values([(path, path)], ['a', 'b'], 'classes')


def labels(path):
    sample = dict(seg_map_path=path, seg_fields=[], reduce_zero_label=False)
    return LoadMappedAnnotations()(sample)


def map_values(path):
    return _values(path, None, 'classes')


READERS = [
    read_image, load_picture, open_picture, read_oversegmentation, read_edges, read_mask,
    picture_size, human_regions, coco_instances, own_mask, labels, map_values,
]  # fmt: skip


@pytest.mark.parametrize('read', READERS)
@given(damaged(*PICTURES, *MAPS, PROGRAM))
def test_damaged_pictures(tmp_path, read, data):
    path = tmp_path / 'picture.png'
    path.write_bytes(data)
    read_or_refuse(read, str(path))


@pytest.mark.parametrize('read', READERS)
def test_a_picture_that_is_a_program_is_not_run(tmp_path, monkeypatch, read):
    """Pillow has Ghostscript draw EPS, whatever the file's name says."""
    from PIL import EpsImagePlugin

    tool = tmp_path / 'bin' / 'gs'
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ntouch {tmp_path}/trace\n')
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', str(tool.parent), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, 'gs_binary', None)
    path = tmp_path / 'picture.png'
    path.write_bytes(PROGRAM)
    assert read_or_refuse(read, str(path)) is None
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize('read', READERS)
@pytest.mark.parametrize('kind', ['pipe', 'device', 'folder', 'nothing', 'zero byte'])
def test_what_is_no_file_is_refused_at_once(tmp_path, read, kind):
    """A pipe would be waited for, a device has no end."""
    path = tmp_path / 'picture.png'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'device':
        path.symlink_to('/dev/zero')
    elif kind == 'folder':
        path.mkdir()
    path = f'{path}\0' if kind == 'zero byte' else str(path)
    assert read_or_refuse(read, path) is None


def png(width, height, depth=8, colour=0, data=b''):
    """A PNG of such a header."""
    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(data)), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d)) for k, d in chunks
    )


@pytest.mark.parametrize(
    'read', [one for one in READERS if one not in (open_picture, picture_size)]
)
@pytest.mark.parametrize('size', [(2**31 - 1, 2**31 - 1), (30000, 30000), (0, 5)])
def test_pictures_of_more_pixels_than_any(tmp_path, read, size):
    path = tmp_path / 'picture.png'
    path.write_bytes(png(*size))
    assert read_or_refuse(read, str(path)) is None


def test_a_file_of_more_bytes_than_any_picture_is_not_read(tmp_path):
    path = tmp_path / 'picture.jpg'
    path.write_bytes(PICTURES[0])
    os.truncate(path, 1 << 40)  # takes no place on the disk
    with bounded(), pytest.raises(UnreadableImageError, match=r'picture\.jpg: 1099511627776 bytes'):
        read_image(path)


@pytest.mark.parametrize(
    ('array', 'reason'),
    [
        (np.full((4, 4), 300, np.uint16), r'mask.png is a picture of mode I;16.* up to 300'),
        (np.zeros((4, 4, 3), np.uint8), r'mask.png is a picture of mode RGB'),
    ],
)
def test_masks_that_eight_bits_do_not_hold_are_refused(tmp_path, array, reason):
    """MMSegmentation by itself would take 300 for 44, and colours for maps."""
    Image.fromarray(array).save(tmp_path / 'mask.png')
    with pytest.raises(ValueError, match=reason):
        labels(str(tmp_path / 'mask.png'))


def test_masks_of_sixteen_bits_with_small_numbers_are_read(tmp_path):
    Image.fromarray(np.full((4, 4), 7, np.uint16)).save(tmp_path / 'mask.png')
    assert (labels(str(tmp_path / 'mask.png'))['gt_seg_map'] == 7).all()


def test_a_link_back_to_its_own_folder_is_not_followed(tmp_path):
    """Two of them would be followed in every order, forty deep."""
    inner = tmp_path / 'a' / 'b'
    inner.mkdir(parents=True)
    (inner / '1.png').touch()
    for name in ('x', 'y', 'z'):
        (inner / name).symlink_to(tmp_path)
    (tmp_path / 'linked').symlink_to(inner)
    with bounded():
        found = scan_images(tmp_path)
    # A link aside is a folder like any.
    assert found == [str(inner / '1.png'), str(tmp_path / 'linked' / '1.png')]


def test_a_copy_of_a_bad_picture_is_not_made(tmp_path):
    path = tmp_path / 'picture.jpg'
    path.write_bytes(PROGRAM)
    with pytest.raises(UnreadableImageError, match=r'picture\.jpg'):
        shrink_image(8, path, tmp_path / 'copy.jpg')
    assert not (tmp_path / 'copy.jpg').exists()
