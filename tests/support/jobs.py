"""What processes do for tests that are not about it, without waiting for torch."""


def halve(path, number):
    """Half of an even number."""
    if number % 2:
        raise ValueError(f'{number} is odd')
    return number // 2


def threads(path, number):
    """Threads of OpenCV and torch that this process would use."""
    import cv2
    import torch

    return cv2.getNumThreads(), torch.get_num_threads()
