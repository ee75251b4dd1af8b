"""The two sources of the mm packages: which distributions own which import name.

Needs none of them: whoever asks what is installed may find that nothing is.
"""

import contextlib
import importlib
import io
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


def check_distributions() -> None:
    """Warn of clashing or untested mm packages; an ImportError names the extras of missing ones."""
    found = installed_distributions()
    missing = [name for name, versions in found.items() if not versions]
    if missing:
        raise ImportError(
            f'mmcroc needs {", ".join(missing)}, which is not installed. Run '
            'pip install "mmcroc[onedl]" (recommended, current torch) or '
            'pip install "mmcroc[openmmlab]" (the original packages).'
        )
    clashing = [' and '.join(versions) for versions in found.values() if len(versions) > 1]
    if clashing:
        warnings.warn(
            f'{"; ".join(clashing)} are installed together. They own the same files and break '
            'each other: uninstall both and install one.',
            stacklevel=2,
        )
    untested = [
        f'{dist} {number} (tested: {tested_range(name, dist)})'
        for name, versions in found.items()
        for dist, number in versions.items()
        if not is_tested(name, dist, number)
    ]
    if untested:
        warnings.warn(f'mmcroc was not tested with {", ".join(untested)}.', stacklevel=2)


def import_quietly(*modules: str) -> None:
    """Import modules of the mm packages without what they print and warn of meanwhile.

    It is of libraries and operators that mmcroc does not use. What cannot be imported says so where
    it is needed.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        for name in modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def installed_version(distribution: str) -> str | None:
    """Installed version of a distribution; None where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def installed_distributions() -> dict[str, dict[str, str]]:
    """Installed distributions by import name: ``{'mmcv': {'onedl-mmcv': '2.3.6'}, ...}``."""
    return {
        name: {dist: number for dist in candidates if (number := installed_version(dist))}
        for name, candidates in DISTRIBUTIONS.items()
    }


def is_tested(name: str, distribution: str, number: str) -> bool:
    """Whether a version lies in the tested range."""
    low, high = DISTRIBUTIONS[name][distribution]
    return Version(low) <= Version(number) < Version(high)


def tested_range(name: str, distribution: str) -> str:
    """Tested versions as pip writes them, ``'>=1.2,<1.3'``."""
    low, high = DISTRIBUTIONS[name][distribution]
    return f'>={low},<{high}'
