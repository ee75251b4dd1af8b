import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from torch._utils import ExceptionWrapper

from mmcroc.data import image_reading
from mmcroc.data.image_reading import UnreadableImageError, read_image
from tests.support.images import smooth_image, truncate

IMAGE = smooth_image()
#: How to save a JPEG that differs by a few grey levels only.
FAITHFUL = dict(quality=98, subsampling=0)


def write_png_16(path, pixels):
    """Write a PNG of 16-bit RGB, which Pillow cannot: uint16 (height, width, 3)."""

    def chunk(kind, data):
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    h, w, _ = pixels.shape
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 16, 2, 0, 0, 0))
    body = chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + header + body)


def check(img, expected, tolerance=0):
    assert img.dtype == np.uint8 and img.shape == expected.shape and img.flags.writeable
    assert np.abs(img.astype(int) - expected).max() <= tolerance


class TestPlainJPEG:
    """What simplejpeg decodes, and Pillow where it is not installed."""

    @pytest.mark.parametrize('shape', [(48, 64), (61, 45), (1, 1)])
    @pytest.mark.parametrize('settings', [{}, dict(progressive=True), FAITHFUL])
    def test_numbers_are_pillows(self, tmp_path, shape, settings, monkeypatch):
        noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / 'a.jpg', **settings)
        expected = np.asarray(Image.open(tmp_path / 'a.jpg'))
        monkeypatch.delattr(Image.Image, 'load')  # it is not Pillow who reads
        img = read_image(tmp_path / 'a.jpg')
        np.testing.assert_array_equal(img, expected)
        assert img.flags.c_contiguous and img.flags.writeable

    def test_without_simplejpeg_pillow_reads(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'simplejpeg', None)
        image_reading._jpeg_decoder.cache_clear()
        Image.fromarray(smooth_image(48, 64)).save(tmp_path / 'a.jpg')
        try:
            np.testing.assert_array_equal(
                read_image(tmp_path / 'a.jpg'), np.asarray(Image.open(tmp_path / 'a.jpg'))
            )
        finally:
            image_reading._jpeg_decoder.cache_clear()

    @pytest.mark.parametrize('share', [0.5, 0.9])
    def test_truncated_file_is_refused(self, tmp_path, share):
        path = tmp_path / 'a.jpg'
        Image.fromarray(smooth_image(480, 640)).save(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(UnreadableImageError, match=r'a\.jpg: .*truncated'):
            read_image(path)


def test_channels_come_as_rgb(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / 'a.png')
    check(read_image(tmp_path / 'a.png'), IMAGE)


@pytest.mark.parametrize('mode', ['L', '1', 'P', 'LA', 'RGBA'])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.fromarray(IMAGE).convert(mode)
    image.save(tmp_path / 'a.png')
    check(read_image(tmp_path / 'a.png'), np.array(image.convert('RGB')))


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.fromarray(IMAGE).convert('CMYK').save(tmp_path / 'a.jpg', quality=98)
    check(read_image(tmp_path / 'a.jpg'), IMAGE, tolerance=16)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(4, 64)
    Image.fromarray(grey).save(tmp_path / 'a.png')
    expected = np.arange(256).reshape(4, 64, 1).repeat(3, axis=2)
    check(read_image(tmp_path / 'a.png'), expected)


def test_16_bit_rgb_is_scaled(tmp_path):
    write_png_16(tmp_path / 'a.png', IMAGE.astype(np.uint16) * 257)
    check(read_image(tmp_path / 'a.png'), IMAGE)


@pytest.mark.parametrize('shape', [(1, 300), (300, 1), (1, 1)])
def test_thin_images(tmp_path, shape):
    image = np.full((*shape, 3), 77, dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / 'a.png')
    check(read_image(tmp_path / 'a.png'), image)


@pytest.mark.parametrize(('suffix', 'settings'), [('jpg', FAITHFUL), ('png', {})])
def test_exif_orientation_is_applied(tmp_path, suffix, settings):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    Image.fromarray(IMAGE).save(tmp_path / f'a.{suffix}', exif=exif, **settings)
    check(read_image(tmp_path / f'a.{suffix}'), np.rot90(IMAGE, -1), tolerance=8)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_broken_exif_does_not_hide_the_image(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / 'a.jpg', exif=b'Exif\0\0MM\0*\0\0\xff\xff')
    assert read_image(tmp_path / 'a.jpg').shape == IMAGE.shape


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_truncated_image_is_refused(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(IMAGE).save(path)
    truncate(path)
    with pytest.raises(UnreadableImageError, match=rf'a\.{suffix}: .+'):
        read_image(path)


def test_empty_file_is_refused(tmp_path):
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(UnreadableImageError, match=r'a\.jpg: the file is empty'):
        read_image(tmp_path / 'a.jpg')


def test_text_file_is_refused(tmp_path):
    (tmp_path / 'a.jpg').write_text('404: not found')
    with pytest.raises(UnreadableImageError, match=r'a\.jpg: not an image'):
        read_image(tmp_path / 'a.jpg')


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableImageError, match=r'a\.jpg: no such file'):
        read_image(tmp_path / 'a.jpg')


def test_float_image_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / 'a.tif')
    with pytest.raises(UnreadableImageError, match=r'a\.tif: floating-point'):
        read_image(tmp_path / 'a.tif')


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.fromarray(IMAGE).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(UnreadableImageError, match=r'a\.png: .*bomb'):
        read_image(tmp_path / 'a.png')


def test_error_can_be_raised_again_from_its_message_alone():
    # torch does so with an error from a worker.
    error = UnreadableImageError('a.jpg', 'truncated')
    assert str(type(error)(str(error))) == str(error) == 'Cannot read image a.jpg: truncated'
    try:
        raise error
    except UnreadableImageError:
        report = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(UnreadableImageError, match=r'\ACannot read image a\.jpg: truncated\Z'):
        report.reraise()
