"""``python -m mmcroc.doctor``: what is installed, what does not fit, and what to do about it.

Runs where the mm packages are missing or broken: nothing here imports any of them, or the rest of
mmcroc, outside a check.
"""

from mmcroc.doctor.examination import examine
from mmcroc.doctor.finding import NOTE, OK, PROBLEM, Finding

__all__ = ['NOTE', 'OK', 'PROBLEM', 'Finding', 'examine']
