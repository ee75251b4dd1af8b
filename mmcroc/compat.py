"""Every accommodation of the two distributions of the mm packages, in one place.

The mm packages come from two sources that own the same import names: the maintained OneDL
distributions (``onedl-mmengine``, ...) and the original OpenMMLab ones (``mmengine``, ...).
mmcroc is written for the first and works on the second.
"""

import warnings
from pathlib import Path
from pickle import UnpicklingError

from mmcroc.distributions import DISTRIBUTIONS, installed_distributions, is_tested

NUMPY_DTYPES = ('float32', 'float64', 'int64', 'uint32')


def check_distributions():
    """Raise if an mm package is missing; warn of clashing or untested ones.

    Raises:
        ImportError: An mm package is not installed; the message names the extras that bring it.
    """
    missing, clashing, untested = [], [], []
    for name, found in installed_distributions().items():
        if not found:
            missing.append(name)
        if len(found) > 1:
            clashing.append(' and '.join(found))
        for dist, number in found.items():
            if not is_tested(name, dist, number):
                low, high = DISTRIBUTIONS[name][dist]
                untested.append(f'{dist} {number} (tested: >={low},<{high})')
    if missing:
        raise ImportError(
            f'mmcroc needs {", ".join(missing)}, which is not installed. Run '
            'pip install "mmcroc[onedl]" (recommended, current torch) or '
            'pip install "mmcroc[openmmlab]" (the original packages).'
        )
    if clashing:
        warnings.warn(
            f'{"; ".join(clashing)} are installed together. They own the same files and break '
            'each other: uninstall both and install one.',
            stacklevel=2,
        )
    if untested:
        warnings.warn(f'mmcroc was not tested with {", ".join(untested)}.', stacklevel=2)


def find_configs_by_name():
    """Make ``_base_ = 'mmcroc::croc_vit-s_coco.py'`` work, and the same as inheriting by path.

    MMEngine by itself asks for ``package::folder/name``, where our pretraining configs are in no
    folder; and it marks what is inherited with the package's name as the scope, in which types of
    MMPretrain or MMSegmentation, that our configs name without a prefix, are not found.
    """
    from mmengine.config import Config

    find = Config._get_cfg_path

    def path_and_scope(path, filename):
        package, _, name = path.partition('::')
        return (str(config_path(name)), None) if package == 'mmcroc' else find(path, filename)

    Config._get_cfg_path = staticmethod(path_and_scope)


def config_path(name):
    """The file of one of our configs: of the installed package, else of the repository.

    Args:
        name: Relative to ``configs``.

    Raises:
        FileNotFoundError: There is none.
    """
    package = Path(__file__).parent
    folders = [package / '.mim' / 'configs', package.parent / 'configs']
    for folder in folders:
        if name and (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"_base_ = 'mmcroc::{name}': there is no such config in {' or '.join(map(str, folders))}"
    )


def teach_mmengine_packages():
    """Make ``_base_ = 'mmseg::...'`` work, and ``mmengine.hub`` find ``'mmcroc::...'``.

    MMEngine looks ``mmseg`` up under a distribution name that OneDL's does not have. Its import
    name is right for both. Must run before ``Config.fromfile``.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmseg'] = 'mmseg'
    MODULE2PACKAGE.setdefault('mmcroc', 'mmcroc')


def history_statistic(owner, name):
    """What a pickle gets for ``getattr``: statistics of ``HistoryBuffer``, and nothing else."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise UnpicklingError(f'GLOBAL builtins.getattr was asked for {owner!r}, {name!r}')
    return getattr(HistoryBuffer, name)


def allow_checkpoint_contents():
    """Say what a pickle may contain besides tensors and plain containers.

    ``torch.load(weights_only=True)`` refuses everything else, before anything of it runs:

    ==============================================  ============================================
    ``mmengine.logging.HistoryBuffer``              log histories that MMEngine saves. One drags in
                                                    four functions of its class: they are left out
                                                    when it is saved, the class has them anyway
    ``getattr``                                     replaced by what finds these four, for files
                                                    of programs that do not import mmcroc, and
                                                    nothing else
    numpy arrays and scalars of ``NUMPY_DTYPES``    in those histories, and in messages
    ``argparse.Namespace``                          settings that DINO, iBOT, MAE and CrOC save
    ==============================================  ============================================

    None of these runs code of a file's choosing. On torch >= 2.6 the original MMEngine cannot read
    its own checkpoints without them. Whoever allows one for a while
    (``torch.serialization.safe_globals``: OneDL's MMEngine, at each load) takes it off the list
    after, so readers call this again.
    """
    import argparse

    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer

    HistoryBuffer.__getstate__ = lambda self: {
        name: value for name, value in vars(self).items() if name != 'statistics_methods'
    }
    core = np._core if hasattr(np, '_core') else np.core
    torch.serialization.add_safe_globals(
        [
            argparse.Namespace,
            HistoryBuffer,
            (history_statistic, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            core.multiarray._reconstruct,
            core.multiarray.scalar,
            # The spellings of checkpoints written under the other major version of numpy.
            (core.multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
            (core.multiarray.scalar, 'numpy.core.multiarray.scalar'),
            (core.multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
            (core.multiarray.scalar, 'numpy._core.multiarray.scalar'),
            *(type(np.dtype(name)) for name in NUMPY_DTYPES),
        ]
    )


check_distributions()
find_configs_by_name()
teach_mmengine_packages()
allow_checkpoint_contents()
