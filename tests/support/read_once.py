"""The repository's configs, read once: MMEngine takes 20 to 50 ms, and tests read thousands."""

import copy
import functools
import os
from pathlib import Path
from unittest import mock

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from tests.support.paths import CONFIGS


def configs_read_once():
    """A context in which the repository's configs, which no test changes, are read once each."""
    read = Config._file2dict

    @functools.cache
    def known(path, surroundings, args, kwargs):
        return read(path, *args, **dict(kwargs))

    def read_once(filename, *args, **kwargs):
        path = Path(filename).resolve()
        if not path.is_relative_to(CONFIGS):
            return read(filename, *args, **kwargs)
        # What else a config depends on: a setting of protocols, and whether names mean ours.
        surroundings = os.environ.get('MMCROC_IMAGE_SIZE'), MODULE2PACKAGE['mmseg']
        kwargs = tuple(sorted(kwargs.items()))
        return copy.deepcopy(known(str(path), surroundings, args, kwargs))

    return mock.patch.object(Config, '_file2dict', staticmethod(read_once))
