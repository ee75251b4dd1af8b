"""What a checkpoint must not do."""

import os


class Hostile:
    """A pickle of it creates a folder when it is loaded as pickles are."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
