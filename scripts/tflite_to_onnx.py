"""Translate TFLite networks of convolutions to ONNX, so that onnxruntime runs them fast on a processor.

Pictures are (1, H, W, C) in TFLite and (n, C, H, W) in ONNX; other tensors keep their layout. What onnxruntime
has no blocked (NCHWc) kernel for would cost two changes of layout each, so it is written as convolutions: PReLU
as two depthwise ones of 1 x 1, the padding of channels as one by an identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tflite

from onnx_writer import Writer
from tflite_reader import Array, Network, Operator

Pads = tuple[int, int, int, int]  # top, left, bottom, right, in pixels
_NO_PADS: Pads = (0, 0, 0, 0)
_RELU, _RELU6 = tflite.ActivationFunctionType.RELU, tflite.ActivationFunctionType.RELU6
_ONNX_AXES = (0, 2, 3, 1)  # of the axes of a TFLite picture
_TRANSPOSED_SAME = 1  # the padding mode in the options of MediaPipe's transposed convolution


class Translator:
    """Walks a network's operators and writes each; one method an operator, `_conv_2d` for CONV_2D."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.out = Writer()
        self.names: dict[int, str] = {}  # tensors that are computed -> their names in the ONNX graph
        self._constants: dict[int, Array] = {}
        self._padded: dict[int, tuple[int, Pads]] = {}  # tensors that only pad another

    def image(self, low: float, high: float) -> None:
        """Begin with a uint8 picture (n, H, W, 3), scaled to low..high."""
        planes = self.out.node(
            "Transpose", self.out.node("Cast", "image", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2]
        )
        scaled = self.out.node("Mul", planes, self.out.constant((high - low) / 255))
        if low:
            scaled = self.out.node("Add", scaled, self.out.constant(low))
        self.names[self.network.inputs[0]] = scaled

    def run(self) -> None:
        """Write all operators."""
        for operator in self.network.operators():
            getattr(self, f"_{operator.kind.lower()}")(operator)

    def constant(self, tensor: int) -> Array:
        """The values of a constant tensor, float32 or int32."""
        if tensor not in self._constants:
            value = self.network.constant(tensor)
            self._constants[tensor] = value.astype(np.float32) if value.dtype == np.float16 else value
        return self._constants[tensor]

    def name(self, tensor: int) -> str:
        """The ONNX name of a tensor that is computed."""
        if tensor in self._padded:
            raise ValueError(f"only a convolution may read the padded tensor {tensor}")
        return self.names[tensor]

    def _write(self, operator: Operator, kind: str, *more: str, **attributes: Any) -> None:
        """One node of the operator's first input, with its constants `more`."""
        self.names[operator.output] = self.out.node(kind, self.name(operator.inputs[0]), *more, **attributes)

    def _activated(self, value: str, function: int) -> str:
        if function == _RELU:
            return self.out.node("Relu", value)
        if function == _RELU6:
            return self.out.node("Clip", value, self.out.constant(0), self.out.constant(6))
        if function:
            raise ValueError(f"activation {function} is not translated")
        return value

    def depthwise(self, value: str, weights: npt.ArrayLike) -> str:
        """Each channel of `value` times its weight."""
        factors = np.asarray(weights, np.float32).reshape(-1, 1, 1, 1)
        return self.out.node(
            "Conv", value, self.out.constant(factors), kernel_shape=[1, 1], group=len(factors)
        )

    # convolutions

    def _conv_2d(self, operator: Operator) -> None:
        weights = self.constant(operator.inputs[1]).transpose(0, 3, 1, 2)
        self._convolve(operator, weights, 1, operator.options(tflite.Conv2DOptions))

    def _depthwise_conv_2d(self, operator: Operator) -> None:
        weights = self.constant(operator.inputs[1])[0].transpose(2, 0, 1)[:, None]
        groups = self.network.shape(operator.inputs[0])[3]
        self._convolve(operator, weights, groups, operator.options(tflite.DepthwiseConv2DOptions))

    def _convolve(self, operator: Operator, weights: Array, groups: int, options: Any) -> None:
        source, pads = self._padded.get(operator.inputs[0], (operator.inputs[0], _NO_PADS))
        strides = (options.StrideH(), options.StrideW())
        dilations = (options.DilationHFactor(), options.DilationWFactor())
        if options.Padding() == tflite.Padding.SAME:
            if source != operator.inputs[0]:
                raise ValueError(f"tensor {operator.inputs[0]} is padded twice")
            pads = self._same(source, weights.shape[2:], strides, dilations)
        convolved = self.out.node(
            "Conv",
            self.name(source),
            self.out.constant(weights),
            self.out.constant(self.constant(operator.inputs[2])),
            kernel_shape=weights.shape[2:],
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=groups,
        )
        self.names[operator.output] = self._activated(convolved, options.FusedActivationFunction())

    def _same(
        self,
        tensor: int,
        kernel: tuple[int, ...],
        strides: tuple[int, int],
        dilations: tuple[int, int] = (1, 1),
    ) -> Pads:
        """TFLite's SAME padding: what is odd goes to the end."""
        height, width = (
            max((-(-size // step) - 1) * step + (taps - 1) * gap + 1 - size, 0)
            for size, taps, step, gap in zip(
                self.network.shape(tensor)[1:3], kernel, strides, dilations, strict=True
            )
        )
        return (height // 2, width // 2, height - height // 2, width - width // 2)

    def _pad(self, operator: Operator) -> None:
        source = operator.inputs[0]
        batch, rows, columns, channels = self.constant(operator.inputs[1]).reshape(4, 2).tolist()
        if any(batch) or channels[0]:
            raise ValueError(f"the padding of tensor {source} is not translated")
        if not channels[1]:
            self._padded[operator.output] = (source, (rows[0], columns[0], rows[1], columns[1]))
            return
        if any(rows) or any(columns):
            raise ValueError(f"tensor {source} is padded in space and in channels at once")
        identity = np.eye(self.network.shape(operator.output)[3], self.network.shape(source)[3])
        self._write(operator, "Conv", self.out.constant(identity[:, :, None, None]), kernel_shape=[1, 1])

    def _convolution2dtransposebias(self, operator: Operator) -> None:
        mode, stride = (int(v) for v in np.frombuffer(operator.custom_bytes(), np.int32)[:2])
        weights = self.constant(operator.inputs[1])
        kernel, side = weights.shape[1], self.network.shape(operator.inputs[0])[1]
        surplus = max(0, kernel - (side - 1) % stride - 1) if mode == _TRANSPOSED_SAME else 0
        if stride * (side - 1) + kernel - surplus != self.network.shape(operator.output)[1] or surplus % 2:
            raise ValueError("the padding of the transposed convolution is not translated")
        self._write(
            operator,
            "ConvTranspose",
            self.out.constant(weights.transpose(3, 0, 1, 2)),
            self.out.constant(self.constant(operator.inputs[2])),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[surplus // 2] * 4,
        )

    # point by point

    def _prelu(self, operator: Operator) -> None:
        slopes = self.constant(operator.inputs[1]).reshape(-1)
        value = self.name(operator.inputs[0])
        below = self.depthwise(value, slopes)
        above = self.depthwise(self.out.node("Relu", value), 1 - slopes)
        self.names[operator.output] = self.out.node("Add", below, above)

    def _relu(self, operator: Operator) -> None:
        self._write(operator, "Relu")

    def _logistic(self, operator: Operator) -> None:
        self._write(operator, "Sigmoid")

    def _hard_swish(self, operator: Operator) -> None:
        self._write(operator, "HardSwish")

    def _add(self, operator: Operator) -> None:
        self._write(operator, "Add", self.name(operator.inputs[1]))
        options = operator.options(tflite.AddOptions)
        self.names[operator.output] = self._activated(
            self.names[operator.output], options.FusedActivationFunction()
        )

    def _mul(self, operator: Operator) -> None:
        self._write(operator, "Mul", self.name(operator.inputs[1]))

    # sizes and shapes

    def _max_pool_2d(self, operator: Operator) -> None:
        options = operator.options(tflite.Pool2DOptions)
        kernel = (options.FilterHeight(), options.FilterWidth())
        strides = (options.StrideH(), options.StrideW())
        pads = _NO_PADS
        if options.Padding() == tflite.Padding.SAME:
            pads = self._same(operator.inputs[0], kernel, strides)
        self._write(operator, "MaxPool", kernel_shape=kernel, strides=strides, pads=pads)

    def _average_pool_2d(self, operator: Operator) -> None:
        if self.network.shape(operator.output)[1:3] != (1, 1):
            raise ValueError("only means over whole pictures are translated")
        self._write(operator, "GlobalAveragePool")

    def _resize_bilinear(self, operator: Operator) -> None:
        options = operator.options(tflite.ResizeBilinearOptions)
        if options.AlignCorners():
            raise ValueError("a resize with aligned corners is not translated")
        before, after = (self.network.shape(t)[1:3] for t in (operator.inputs[0], operator.output))
        scales = self.out.constant([1, 1, after[0] / before[0], after[1] / before[1]])
        mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        self._write(operator, "Resize", "", scales, mode="linear", coordinate_transformation_mode=mode)

    def _depth_to_space(self, operator: Operator) -> None:
        block = operator.options(tflite.DepthToSpaceOptions).BlockSize()
        self._write(operator, "DepthToSpace", blocksize=block, mode="DCR")

    def _reshape(self, operator: Operator) -> None:
        value = self.name(operator.inputs[0])
        if len(self.network.shape(operator.inputs[0])) == 4:
            value = self.out.node("Transpose", value, perm=[0, 2, 3, 1])
        shape = self.network.shape(operator.output)
        if len(shape) == 4:
            raise ValueError("no shape but a list is translated")
        self.names[operator.output] = self.out.reshape(value, -1, *shape[1:])

    def _concatenation(self, operator: Operator) -> None:
        axis = operator.options(tflite.ConcatenationOptions).Axis() % len(self.network.shape(operator.output))
        if len(self.network.shape(operator.output)) == 4:
            axis = _ONNX_AXES[axis]
        self._write(operator, "Concat", *(self.name(t) for t in operator.inputs[1:]), axis=axis)

    # constants

    def _dequantize(self, operator: Operator) -> None:
        self._constants[operator.output] = self.constant(operator.inputs[0])

    def _densify(self, operator: Operator) -> None:
        self._constants[operator.output] = self.constant(operator.inputs[0])
