"""Parts of a long loop side by side on a CPU's cores.

A chunk that fits a core's cache is too small to be split again inside each operation, and some
operations (numpy's argmax, index_add_ in order) never are. Whole chunks on each core keep both.
"""

from concurrent.futures import ThreadPoolExecutor

import torch

#: The same on every machine: sums over parts then do not depend on the number of threads.
NUM_PARTS = 16


def split_in_parts(length, chunk_size, device):
    """Contiguous ranges that cover ``range(length)`` in order, each of whole chunks but the last.

    Returns:
        list[range]: At most ``NUM_PARTS`` on a CPU, one on any other device.
    """
    if torch.device(device).type != 'cpu':
        return [range(length)]
    num_chunks = -(-length // chunk_size)
    step = max(-(-num_chunks // NUM_PARTS), 1) * chunk_size
    return [range(start, min(start + step, length)) for start in range(0, length, step)]


def map_parts(function, parts):
    """Call a function on every part, on as many threads as torch is allowed.

    Within a part torch runs on one thread, so cores are not asked for twice. Gradients are not
    recorded.

    Args:
        function (Callable): Takes a part. The parts' calls must not write to the same places.
        parts (list): One argument each.

    Returns:
        list: The results, in order.
    """
    num_threads = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def call(part):
        # Both modes belong to the thread that set them.
        with torch.inference_mode(inference), torch.no_grad():
            return function(part)

    if min(num_threads, len(parts)) == 1:
        return [call(part) for part in parts]
    torch.set_num_threads(1)  # threads started from here on have one
    try:
        with ThreadPoolExecutor(min(num_threads, len(parts))) as pool:
            return list(pool.map(call, parts))
    finally:
        torch.set_num_threads(num_threads)
