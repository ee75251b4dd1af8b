"""The two sources of the mm packages: which distributions own which import name.

Needs none of them: whoever asks what is installed may find that nothing is.
"""

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

#: import name -> {distribution: (lowest version tested, first version not tested)}
DISTRIBUTIONS = {
    'mmengine': {'onedl-mmengine': ('0.10.12', '0.11'), 'mmengine': ('0.10.7', '0.11')},
    'mmcv': {'onedl-mmcv': ('2.3.6', '2.4'), 'mmcv': ('2.1', '2.2')},
    'mmpretrain': {'onedl-mmpretrain': ('1.3.6', '1.4'), 'mmpretrain': ('1.2', '1.3')},
    'mmseg': {'onedl-mmsegmentation': ('1.4.2', '1.5'), 'mmsegmentation': ('1.2.2', '1.3')},
}


def installed_version(distribution):
    """The installed version of a distribution as a string, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def installed_distributions():
    """By import name, the distributions there are: ``{'mmcv': {'onedl-mmcv': '2.3.6'}, ...}``."""
    found = {}
    for name, candidates in DISTRIBUTIONS.items():
        versions = {dist: installed_version(dist) for dist in candidates}
        found[name] = {dist: number for dist, number in versions.items() if number is not None}
    return found


def is_tested(name, distribution, number):
    """Whether a version lies in the tested range."""
    low, high = DISTRIBUTIONS[name][distribution]
    return Version(low) <= Version(number) < Version(high)
