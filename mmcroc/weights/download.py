"""Files of the network."""

from pathlib import Path

import torch


def download(url: str) -> str:
    """The file of a URL, in torch's cache, where MMEngine puts it too."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise OSError(f'{url} cannot be downloaded: {error}') from error
    return str(path)
