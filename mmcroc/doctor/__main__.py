"""Print the doctor's report; exit status 1 if there is a problem."""

import argparse
import sys

from mmcroc.doctor.examination import examine
from mmcroc.doctor.finding import NOTE, PROBLEM


def main(argv=None):
    argparse.ArgumentParser(
        prog='python -m mmcroc.doctor',
        description='Say what is installed, what does not fit, and what to do about it. '
        'Exit status 1 if there is a problem.',
    ).parse_args(argv)
    counts = {NOTE: 0, PROBLEM: 0}
    for finding in examine():
        counts[finding.status] = counts.get(finding.status, 0) + 1
        print(finding, flush=True)
    print(f'\n{counts[PROBLEM]} problems, {counts[NOTE]} notes')
    sys.exit(1 if counts[PROBLEM] else 0)


if __name__ == '__main__':
    main()
