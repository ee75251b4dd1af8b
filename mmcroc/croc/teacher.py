"""The teacher of self-distillation: a copy of the student that follows it."""

import copy
from collections.abc import Iterable

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmcroc.croc.schedules import warmup_cosine
from mmcroc.weights.checkpoint_content import below

#: Parameters of the student, each with the teacher's.
Pairs = list[tuple[nn.Parameter, nn.Parameter]]


class MomentumTeacher(nn.ModuleDict):
    """Copies of parts of a student, of whose parameters they keep running means.

    After each step of the student ``θₜ ← m θₜ + (1 - m) θₛ``; m rises by a cosine over the
    iterations of training. The teacher never trains: no gradient, no stochastic depth.

    Args:
        student: The model that has the parts, as attributes of their names.
        start_momentum: m of the first step, by part.
        end_momentum: m that the last step comes near.
    """

    def __init__(self, student: nn.Module, start_momentum: dict[str, float], end_momentum: float):
        super().__init__({part: copy.deepcopy(getattr(student, part)) for part in start_momentum})
        self.start_momentum, self.end_momentum = start_momentum, end_momentum
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> 'MomentumTeacher':
        """Stay in evaluation, whatever the student does."""
        return super().train(False)

    def momentum(self, iteration: int, max_iters: int) -> dict[str, float]:
        """m of a step, by part."""
        return {
            part: warmup_cosine(iteration, start, self.end_momentum, max_iters)
            for part, start in self.start_momentum.items()
        }

    def pairs(self, student: nn.Module) -> dict[str, Pairs]:
        """Parameters of the student, each with the teacher's, by part."""
        return {
            part: [*zip(getattr(student, part).parameters(), teacher.parameters(), strict=True)]
            for part, teacher in self.items()
        }

    @staticmethod
    @torch.no_grad()
    def follow(pairs: Iterable[tuple[nn.Parameter, nn.Parameter]], momentum: float) -> None:
        """Move the teacher's parameters towards those of the student that learn."""
        learning = [pair for pair in pairs if pair[0].requires_grad]
        if learning:
            students, teachers = zip(*learning, strict=True)
            torch._foreach_lerp_(teachers, students, 1 - momentum)

    def complete(self, student: nn.Module, state: dict[str, Tensor], prefix: str) -> None:
        """Fill in what weights to be loaded lack of the teacher, by the student's.

        Args:
            student: The model, of which the teacher starts as a copy where weights lack both.
            state: Weights about to be loaded, completed in place.
            prefix: What their names begin with.
        """
        for part, teacher in self.items():
            student_prefix, teacher_prefix = f'{prefix}{part}.', f'{prefix}teacher.{part}.'
            if not below(teacher_prefix, state):
                teacher.load_state_dict(getattr(student, part).state_dict())
                given = below(student_prefix, state)
                state.update({f'{teacher_prefix}{name}': value for name, value in given.items()})
                print_log(f"CrOC: teacher.{part} starts as the student's copy", logger='current')
