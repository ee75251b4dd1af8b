"""Bad inputs: a few of each kind in the suite, and with ``MMCROC_CAMPAIGN=N`` N of each, anew."""

import os

from hypothesis import HealthCheck, settings

from tests.support.bad_inputs import COUNTS

COMMON = dict(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile('suite', derandomize=True, max_examples=12, **COMMON)
NUMBER = int(os.environ.get('MMCROC_CAMPAIGN', 0))
settings.register_profile('campaign', max_examples=NUMBER or 500, **COMMON)
settings.load_profile('campaign' if NUMBER else 'suite')


def pytest_terminal_summary(terminalreporter):
    """Tell how many inputs each reader was given, and how many it read."""
    if not NUMBER:
        return
    for reader, (given, read) in sorted(COUNTS.items()):
        terminalreporter.write_line(f'{reader}: {given} inputs, {read} read')
    terminalreporter.write_line(f'{sum(given for given, _ in COUNTS.values())} inputs in all')
