"""Every accommodation of the two distributions of the mm packages, in one place.

The mm packages come from two sources that own the same import names: the maintained OneDL
distributions (``onedl-mmengine``, ...) and the original OpenMMLab ones (``mmengine``, ...).
mmcroc is written for the first and works on the second.
"""

import warnings
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

#: import name -> {distribution: (lowest version tested, first version not tested)}
DISTRIBUTIONS = {
    'mmengine': {'onedl-mmengine': ('0.10.12', '0.11'), 'mmengine': ('0.10.7', '0.11')},
    'mmcv': {'onedl-mmcv': ('2.3.6', '2.4'), 'mmcv': ('2.1', '2.2')},
    'mmpretrain': {'onedl-mmpretrain': ('1.3.6', '1.4'), 'mmpretrain': ('1.2', '1.3')},
    'mmseg': {'onedl-mmsegmentation': ('1.4.2', '1.5'), 'mmsegmentation': ('1.2.2', '1.3')},
}
NUMPY_DTYPES = ('float32', 'float64', 'int64', 'uint32')


def installed_version(distribution):
    """The installed version of a distribution as a string, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def check_distributions():
    """Raise if an mm package is missing; warn of clashing or untested ones.

    Raises:
        ImportError: An mm package is not installed; the message names the extras that bring it.
    """
    missing, clashing, untested = [], [], []
    for name, candidates in DISTRIBUTIONS.items():
        found = {dist: installed_version(dist) for dist in candidates}
        found = {dist: number for dist, number in found.items() if number is not None}
        if not found:
            missing.append(name)
        if len(found) > 1:
            clashing.append(' and '.join(found))
        for dist, number in found.items():
            low, high = candidates[dist]
            if not Version(low) <= Version(number) < Version(high):
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


def allow_checkpoint_contents():
    """Say what a pickle may contain besides tensors and plain containers.

    ``torch.load(weights_only=True)`` refuses everything else, before anything of it runs:

    ==============================================  ============================================
    ``mmengine.logging.HistoryBuffer``              log histories that MMEngine saves. One would
                                                    drag in functions of its class, reached
                                                    through ``getattr``, which no loader should
                                                    allow: they are left out when it is saved,
                                                    the class has them anyway
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
teach_mmengine_packages()
allow_checkpoint_contents()
