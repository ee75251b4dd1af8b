"""All checks in their order."""

import contextlib
import io
import warnings

from mmcroc.doctor.finding import PROBLEM, Finding
from mmcroc.doctor.machine import (
    check_distributed,
    check_gpu,
    check_shared_memory,
    check_threads,
)
from mmcroc.doctor.packages import (
    check_extras,
    check_mm_packages,
    check_mmcv_ops,
    check_python,
    check_torch,
)
from mmcroc.doctor.places import check_places
from mmcroc.doctor.self_test import check_config_inheritance, check_mmcroc, check_registry

CHECKS = (
    check_python, check_torch, check_mm_packages, check_mmcv_ops, check_mmcroc, check_registry,
    check_config_inheritance, check_gpu, check_distributed, check_threads, check_shared_memory,
    check_places, check_extras,
)  # fmt: skip


def examine(checks=CHECKS):
    """Run all checks, whatever becomes of each.

    Yields:
        Finding: One or more per check, as they come.
    """
    for check in checks:
        try:
            # What imports warn of and print, a check of its own says.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter('ignore')
                findings = list(check())
        except Exception as error:
            findings = [
                Finding(
                    PROBLEM,
                    f'{check.__name__} itself failed: {type(error).__name__}: {error}',
                    'This is unexpected: please report it with the whole output.',
                )
            ]
        yield from findings
