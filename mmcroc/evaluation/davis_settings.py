"""Settings of the protocols on DAVIS 2017, and their presets."""

import dataclasses
from dataclasses import dataclass
from typing import Any

#: In what each protocol differs from the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    'davis': {},
    'davis-dinov3': dict(
        short_side=960,
        multiple=1,
        round_up=True,
        frame_resize='bicubic',
        std=(0.229, 0.224, 0.225),
        mask_resize='nearest-exact',
        window='round',
        temperature=0.2,
        upsampling='nearest',
        constant_to_zero=True,
    ),
}


@dataclass(frozen=True)
class DavisSettings:
    """Settings of a protocol on DAVIS; the defaults are those of DINO's script.

    Attributes:
        preset: Name of the protocol that these settings are of, or were changed from: ``'davis'``
            or ``'davis-dinov3'``.
        short_side: Shorter side of the frames that the model sees, pixels.
        multiple: The longer side is floored to a multiple of it, pixels; 1 keeps the ratio. Both
            sides are then made whole tokens.
        round_up: Whether sides are rounded up to whole tokens, not down.
        frame_resize: ``'opencv'``, bilinear without antialiasing, or ``'bicubic'``, Pillow's, with.
            Both on 8-bit values.
        std: Standard deviation that RGB values of 0 ... 1 are divided by. DINO's .228 for red is
            ImageNet's .229 elsewhere.
        void_to_background: Whether 255 in first masks is background; else it is an object.
        mask_resize: Nearest pixel for the first mask on tokens, by ``'pillow'`` or torch's
            ``'nearest-exact'``.
        num_previous: Number of frames before a frame that give labels, besides the first frame.
        radius: Radius of the window in which tokens are compared, tokens; 0: no window.
        window: ``'square'`` or ``'round'``.
        topk: Number of tokens that give a token its labels.
        temperature: Temperature of their weights.
        upsampling: ``'bilinear'`` to the frame as the model saw it, or ``'nearest'`` straight to
            the mask's size.
        constant_to_zero: Whether an object of which all pixels are equally likely is nowhere.
    """

    preset: str = 'davis'
    short_side: int = 480
    multiple: int = 64
    round_up: bool = False
    frame_resize: str = 'opencv'
    std: tuple[float, float, float] = (0.228, 0.224, 0.225)
    void_to_background: bool = True
    mask_resize: str = 'pillow'
    num_previous: int = 7
    radius: int = 12
    window: str = 'square'
    topk: int = 5
    temperature: float = 0.1
    upsampling: str = 'bilinear'
    constant_to_zero: bool = False

    def __post_init__(self) -> None:
        choices = dict(
            preset=tuple(PRESETS), frame_resize=('opencv', 'bicubic'), window=('square', 'round'),
            mask_resize=('pillow', 'nearest-exact'), upsampling=('bilinear', 'nearest'),
        )  # fmt: skip
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f'{name} must be one of {allowed}, got {value!r}')
        least = dict(short_side=1, multiple=1, num_previous=0, radius=0, topk=1)
        for name, minimum in least.items():
            if (value := getattr(self, name)) < minimum:
                raise ValueError(f'{name} must be at least {minimum}, got {value}')
        if not self.temperature > 0:
            raise ValueError(f'temperature must be above 0, got {self.temperature}')

    @property
    def protocol(self) -> str:
        """Name of the protocol, with what was changed: ``'davis (radius=8)'``."""
        own, usual = dataclasses.asdict(self), {f.name: f.default for f in dataclasses.fields(self)}
        usual |= dict(preset=self.preset, **PRESETS[self.preset])
        changed = [f'{name}={value}' for name, value in own.items() if value != usual[name]]
        return f'{self.preset} ({", ".join(changed)})' if changed else self.preset

    def frame_size(self, size: tuple[int, int], stride: int) -> tuple[int, int]:
        """Height and width of a frame as the model sees it.

        Args:
            size: Height and width of the frame.
            stride: Side of a token, pixels.

        Raises:
            ValueError: There is no whole token in it.
        """
        short, long = min(size), max(size)
        if self.round_up:
            shorter = -(-self.short_side // stride) * stride
            longer = -(-shorter * long // (short * stride)) * stride
        else:
            shorter = self.short_side // stride * stride
            longer = self.short_side * long // (short * self.multiple) * self.multiple
            longer = longer // stride * stride
        if not shorter or not longer:
            raise ValueError(
                f'short_side={self.short_side} and multiple={self.multiple} leave no whole token '
                f'of {stride} pixels of frames of {size[0]}x{size[1]}'
            )
        return (longer, shorter) if size[0] > size[1] else (shorter, longer)


DAVIS = DavisSettings()
DAVIS_DINOV3 = DavisSettings('davis-dinov3', **PRESETS['davis-dinov3'])
