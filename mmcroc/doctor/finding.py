"""One line of the doctor's report."""

import textwrap
from dataclasses import dataclass

OK, NOTE, PROBLEM = 'OK', 'note', 'problem'


@dataclass
class Finding:
    """What a check found.

    Attributes:
        status: ``OK``; ``NOTE``, worth knowing; or ``PROBLEM``, something will fail.
        text: What is there.
        advice: What it means and what to do; none where all is well.
    """

    status: str
    text: str
    advice: str = ''

    def __str__(self):
        lines = [f'{self.status:<8} {self.text}']
        if self.advice:
            lines += textwrap.wrap(self.advice, 92, break_long_words=False, break_on_hyphens=False)
        return '\n         '.join(lines)
