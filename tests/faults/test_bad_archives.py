"""Tar shards that lie, end early or lead astray: read, or refused in words, nothing unpacked."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcroc.data import SampleIndex, TarShards
from mmcroc.data.tar_shards import members_of
from tests.support.bad_inputs import bounded, damaged, read_or_refuse


def packed(*members, form=tarfile.USTAR_FORMAT):
    """Bytes of a tar file of members: names and data, or whole headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w', format=form) as archive:
        for member, data in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


PIXELS = b'P6 2 2 255\n' + bytes(12)


def link(kind, target, name='link.png'):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b''


PLAIN = packed(('a/0.ppm', PIXELS), ('a/0.txt', b'a dog'))
LONG = packed(('n' * 300 + '.ppm', PIXELS), form=tarfile.PAX_FORMAT)
GNU = packed(('n' * 300 + '.ppm', PIXELS), form=tarfile.GNU_FORMAT)


def checked(header):
    """A header with its checksum."""
    header = header[:148] + b' ' * 8 + header[156:]
    return header[:148] + b'%06o\0 ' % sum(header) + header[156:]


@st.composite
def with_fields(draw):
    """A tar file with numbers and types of a header changed, its checksum right."""
    data = draw(st.sampled_from([PLAIN, LONG, GNU]))
    header = data[:512]
    size = draw(st.integers(-(2**63), 2**63) | st.integers(-9999, 9999))
    number = b'\xff' if size < 0 else b'\x80'
    sizes = (number + (size % 256**11).to_bytes(11, 'big'), b'%011o\0' % abs(size % 8**11))
    if draw(st.booleans()):
        header = header[:124] + draw(st.sampled_from(sizes)) + header[136:]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(list(b'01234567gxLKSDMNVX\0\xff')))
        header = header[:156] + bytes([kind]) + header[157:]
    return checked(header) + data[512:]


@given(damaged(PLAIN, LONG, GNU) | with_fields())
def test_damaged_shards(tmp_path, data):
    path = tmp_path / '0.tar'
    path.write_bytes(data)
    read_or_refuse(members_of, str(path))


def test_members_that_lead_astray_are_images_by_name_alone(tmp_path):
    (tmp_path / 'outside.png').write_bytes(PIXELS)
    (tmp_path / 'shards').mkdir()
    (tmp_path / 'shards' / '0.tar').write_bytes(
        packed(
            ('../../up.ppm', PIXELS),
            ('/etc/root.ppm', PIXELS),
            link(tarfile.SYMTYPE, '../outside.png'),
            link(tarfile.LNKTYPE, '../outside.png'),
            link(tarfile.FIFOTYPE, ''),
            link(tarfile.CHRTYPE, ''),
        )
    )
    with bounded():
        shards = TarShards(tmp_path / 'shards')
        assert len(shards) == 2
        for number in range(2):
            assert not shards[SampleIndex(number, 0, 0)]['img'].any()
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['0.tar', 'outside.png', 'shards']


@pytest.mark.parametrize('size', [-512, -1024, -(2**40)])
def test_a_member_of_negative_size_does_not_send_the_reader_back(tmp_path, size):
    header = tarfile.TarInfo('a.ppm').tobuf(tarfile.GNU_FORMAT)
    number = b'\xff' + (size % 256**11).to_bytes(11, 'big')
    path = tmp_path / '0.tar'
    path.write_bytes(checked(header[:124] + number + header[136:]) + bytes(1024))
    assert read_or_refuse(members_of, str(path)) is None


@pytest.mark.parametrize('kind', [b'x', b'L', b'g'])
def test_headers_of_headers_without_end(tmp_path, kind):
    header = tarfile.TarInfo('a').tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / '0.tar'
    path.write_bytes(checked(header[:156] + kind + header[157:]) * 5000 + bytes(1024))
    assert read_or_refuse(members_of, str(path)) is None


def test_a_header_of_more_bytes_than_memory(tmp_path):
    header = tarfile.TarInfo('a').tobuf(tarfile.GNU_FORMAT)
    number = b'\x80' + (2**62).to_bytes(11, 'big')
    path = tmp_path / '0.tar'
    header = checked(header[:124] + number + header[136:156] + b'L' + header[157:])
    path.write_bytes(header + PLAIN)
    assert read_or_refuse(members_of, str(path)) is None
