"""A graph for ONNX."""

import inspect
import io
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import as_strings
from mmcroc.export.source import Source
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.optional import require
from mmcroc.registry import MODELS
from mmcroc.weights.architectures import ViTArchitecture

OPSET = 17
INPUT, OUTPUT = 'images', 'tokens'
RESNET_SIDE = 64


def write_onnx(source: Source, path: Path) -> list[str]:
    """Write the graph from images to the dense map; batch, height and width are free."""
    onnx = import_onnx()
    architecture = source.architecture
    if isinstance(architecture, ViTArchitecture) and architecture.num_registers:
        raise ValueError(
            'onnx has no antialiased resizing, which positions of DINOv2 with registers take'
        )
    # In patches more than the model's own, so that positions are interpolated to any size.
    height, width = getattr(architecture, 'img_size', (RESNET_SIDE, RESNET_SIDE))
    stride = architecture.stride
    module = DenseMap(source)
    graph = _trace(module, torch.zeros(2, 3, height + stride, width + 2 * stride))
    model = onnx.load_from_string(graph)
    metadata = dict(
        source.described(),
        input=f'{INPUT}: float32 (B, 3, H, W), RGB, normalised by mean and std',
        output=f'{OUTPUT}: float32 (B, {module.channels}, h, w), one vector per {stride} pixels',
        sizes='any; they are padded with zeros at the right and the bottom to whole patches'
        if isinstance(architecture, ViTArchitecture)
        else 'any',
    )
    # The exporter's guess is a name.
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = module.channels
    onnx.helper.set_model_props(model, as_strings(metadata))
    onnx.checker.check_model(model)
    with atomic_file(path) as file:
        file.write(model.SerializeToString())
    return [
        'import onnxruntime',
        f"session = onnxruntime.InferenceSession('{path}')",
        f"(tokens,) = session.run(['{OUTPUT}'], {{'{INPUT}': images}})",
    ]


def import_onnx() -> ModuleType:
    """The onnx package; an ImportError says which extra brings it."""
    return require('onnx', '--format onnx', 'mmcroc[export]')


class DenseMap(nn.Module):
    """From images of any size to the dense map of a backbone, as a graph can say it."""

    def __init__(self, source: Source):
        super().__init__()
        self.patch_size, self.network = 1, source.backbone
        if isinstance(source.architecture, ViTArchitecture):
            # MMPretrain's own class: it is what resizes positions in its forward.
            self.network = MODELS.build(source.architecture.config())
            self.network.load_state_dict(source.state)
            self.patch_size = source.architecture.patch_size
        self.eval()
        with torch.no_grad():
            self.channels = self(torch.zeros(1, 3, 64, 64)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        if self.patch_size > 1:
            # MMPretrain pads the same way, but decides in Python, which a trace would freeze.
            height, width = images.shape[-2:]
            images = F.pad(images, (0, -width % self.patch_size, 0, -height % self.patch_size))
        return dense_tokens(self.network, images)


def _trace(module: nn.Module, images: Tensor) -> bytes:
    """The graph, serialised."""
    # torch's older exporter: it needs onnx alone, and sizes stay free in it.
    has_newer = 'dynamo' in inspect.signature(torch.onnx.export).parameters
    options: dict[str, Any] = dict(dynamo=False) if has_newer else {}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # of every size that decides something in Python
        torch.onnx.export(
            module,
            (images,),
            buffer,  # type: ignore[arg-type]  # the older exporter takes it
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={
                INPUT: {0: 'batch', 2: 'height', 3: 'width'},
                OUTPUT: {0: 'batch', 2: 'rows', 3: 'columns'},
            },
            opset_version=OPSET,
            **options,
        )
    return buffer.getvalue()
