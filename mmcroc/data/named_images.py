"""Images that a tool works through, and what its results of them are called."""

from pathlib import Path

from mmcroc.data.unlabelled import scan_images


def named_images(images, out):
    """An image, or all images below a folder, and names for results.

    Args:
        images (Path): Image or folder.
        out (Path): Where results go; images in it are an earlier run's, and left out.

    Returns:
        list[tuple[Path, Path]]: Every image and its path relative to the folder, as a PNG.

    Raises:
        ValueError: There are no images, or two would have one name.
    """
    root, paths = images.parent, [images]
    if images.is_dir():
        root, out = images, out.resolve()
        paths = [Path(path) for path in scan_images(images)]
        paths = [path for path in paths if not path.resolve().is_relative_to(out)]
    if not paths:
        raise ValueError(f'no images below {images}')
    names = {}
    for path in paths:
        name = path.relative_to(root).with_suffix('.png')
        if name in names:
            raise ValueError(f'{names[name]} and {path} would both become {name}: rename one')
        names[name] = path
    return [(path, name) for name, path in names.items()]
