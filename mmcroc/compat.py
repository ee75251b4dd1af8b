"""Every accommodation of the two distributions of the mm packages, in one place.

The mm packages come from two sources that own the same import names: the maintained OneDL
distributions (``onedl-mmengine``, ...) and the original OpenMMLab ones (``mmengine``, ...).
mmcroc is written for the first and works on the second.
"""

import warnings

from .distributions import DISTRIBUTIONS, installed_distributions, is_tested


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


def teach_mmengine_packages():
    """Make ``_base_ = 'mmseg::...'`` and ``_base_ = 'mmcroc::...'`` work.

    MMEngine looks ``mmseg`` up under a distribution name that OneDL's does not have. Its import
    name is right for both. Must run before ``Config.fromfile``.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmseg'] = 'mmseg'
    MODULE2PACKAGE.setdefault('mmcroc', 'mmcroc')


def allow_configs_outside_folders():
    """Make ``_base_ = 'mmcroc::croc_vit-s_coco.py'`` work.

    MMEngine asks for ``package::folder/name`` and refuses a name without a folder, where our
    pretraining configs are. It finds them once the name is taken apart: only that is done here,
    for our own prefix alone.
    """
    from mmengine.config import config, utils

    split = config._get_package_and_cfg_path

    def package_and_config(path):
        package, _, name = path.partition('::')
        if package == 'mmcroc' and name and '/' not in name and '::' not in name:
            return package, name
        return split(path)

    # utils: from there mmengine.hub takes it, once that is imported.
    config._get_package_and_cfg_path = utils._get_package_and_cfg_path = package_and_config


def allow_mmengine_checkpoints():
    """Let ``torch.load(weights_only=True)`` read what MMEngine itself puts into a checkpoint.

    These are log histories and numpy scalars; on torch >= 2.6 the original MMEngine cannot read
    its own. A history would drag in functions of its class, reached through ``getattr``, which no
    loader should allow: they are left out, the class has them anyway.
    """
    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer

    HistoryBuffer.__getstate__ = lambda self: {
        name: value for name, value in vars(self).items() if name != 'statistics_methods'
    }
    core = np._core if hasattr(np, '_core') else np.core
    numpy_dtypes = [type(np.dtype(name)) for name in ('float32', 'float64', 'int64', 'uint32')]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            core.multiarray._reconstruct,
            core.multiarray.scalar,
            # The spellings of checkpoints written under the other major version of numpy.
            (core.multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
            (core.multiarray.scalar, 'numpy.core.multiarray.scalar'),
            (core.multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
            (core.multiarray.scalar, 'numpy._core.multiarray.scalar'),
            *numpy_dtypes,
        ]
    )


check_distributions()
teach_mmengine_packages()
allow_configs_outside_folders()
allow_mmengine_checkpoints()
