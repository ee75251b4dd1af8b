"""GPU, processes that talk to each other, threads, shared memory."""

import os
import shutil
import subprocess

from mmcroc.doctor.finding import NOTE, OK, PROBLEM, Finding
from mmcroc.doctor.packages import import_error

GIB = 2**30
#: Below this, data loader workers run into "Bus error".
LEAST_SHARED_MEMORY = GIB
SHARED_MEMORY = '/dev/shm'


def nvidia_smi():
    """The first line of ``nvidia-smi``'s names and driver versions; None without a driver."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return None
    query = [program, '--query-gpu=name,driver_version', '--format=csv,noheader']
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None


def check_gpu():
    """Whether torch reaches a GPU, and whether it computes there."""
    if import_error('torch'):
        return
    import torch

    driver = nvidia_smi()
    if not torch.cuda.is_available():
        if driver and torch.version.cuda is None:
            yield Finding(
                PROBLEM,
                f'a GPU ({driver}), but torch {torch.__version__} is built for the CPU',
                'Install the build for your driver as https://pytorch.org says, torchvision with '
                'it.',
            )
        elif driver:
            yield Finding(
                PROBLEM,
                f'a GPU ({driver}) that torch (CUDA {torch.version.cuda}) does not reach',
                'Mostly the driver is older than this CUDA: update it, or install torch for an '
                'older CUDA. Or CUDA_VISIBLE_DEVICES hides the GPU.',
            )
        else:
            yield Finding(
                NOTE,
                'no GPU',
                'The demos, clustering and segmenting run on a CPU; published trainings need GPUs.',
            )
        return
    cudnn = torch.backends.cudnn.version()
    yield Finding(
        OK, f'CUDA {torch.version.cuda}, cuDNN {cudnn}, driver {(driver or "?").split(", ")[-1]}'
    )
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            free, total = torch.cuda.mem_get_info(index)
            probe = torch.ones(8, 8, device=f'cuda:{index}')
            computes = float((probe @ probe).sum()) == 512
        except RuntimeError as error:
            yield Finding(
                PROBLEM,
                f'GPU {index} ({name}) does not compute: {str(error).splitlines()[0]}',
                '"no kernel image" means that this torch was not built for this GPU; "out of '
                'memory" that others fill it (nvidia-smi says who).',
            )
            continue
        status = OK if computes else PROBLEM
        bf16 = 'bfloat16' if torch.cuda.is_bf16_supported() else 'float16'
        yield Finding(
            status,
            f'GPU {index}: {name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free; mixed precision '
            f'in {bf16}',
            '' if computes else 'It computed a wrong sum: the GPU or its driver is faulty.',
        )


def check_distributed():
    """Whether several processes can work together."""
    if import_error('torch'):
        return
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        yield Finding(NOTE, 'torch without torch.distributed', 'Training runs in one process only.')
        return
    backends = {'gloo': dist.is_gloo_available(), 'NCCL': dist.is_nccl_available()}
    there = ' and '.join(name for name, available in backends.items() if available)
    if torch.cuda.device_count() > 1 and not backends['NCCL']:
        yield Finding(
            PROBLEM,
            'several GPUs, but torch without NCCL',
            'Install a CUDA build of torch; or train on one GPU.',
        )
    else:
        yield Finding(
            OK, f'torch.distributed by {there or "none"} (NCCL between GPUs, gloo between CPUs)'
        )


def cores():
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def check_threads():
    """How many threads compute."""
    if import_error('torch'):
        return
    import torch

    threads, there = torch.get_num_threads(), cores()
    names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')
    settings = ', '.join(f'{name}={os.environ.get(name, "unset")}' for name in names)
    text = f'{threads} threads on {there} cores ({settings})'
    if threads > there:
        yield Finding(
            NOTE,
            text,
            f'More threads than cores slow everything down: export OMP_NUM_THREADS={there}',
        )
    elif threads < there and 'OMP_NUM_THREADS' in os.environ:
        yield Finding(
            NOTE, text, 'On a CPU, training in one process could use more: unset OMP_NUM_THREADS.'
        )
    else:
        yield Finding(OK, text)


def check_shared_memory():
    """Room for what data loader workers hand over."""
    if not os.path.isdir(SHARED_MEMORY):
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    text = f'{free / GIB:.1f} GiB of shared memory ({SHARED_MEMORY})'
    if free < LEAST_SHARED_MEMORY:
        yield Finding(
            NOTE,
            text,
            'Data loader workers may die of "Bus error": start the container with --shm-size=8g, '
            'or set train_dataloader.num_workers=0.',
        )
    else:
        yield Finding(OK, text)
