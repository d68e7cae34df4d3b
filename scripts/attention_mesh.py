"""The face mesh with attention (Grishchenko et al. 2020), whose custom operators are written out in plain ONNX.

The network finds a mesh of 468 points, then cuts lips and both eyes out of its feature map, upright and 16 x 16,
and looks at each again. Three operators of MediaPipe's do that: `Landmarks2TransformMatrix` (where a region
lies), `TransformTensorBilinear` (the cut), `TransformLandmarks` (from the cut back to the picture). Here they are
done for the three regions at once. Points are rows, so a rotation Q turns points p as p Q.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tflite_reader import Network, Operator
from tflite_to_onnx import Translator

REGIONS = 3  # lips, the eye on the viewer's left, the eye on the viewer's right
CUT = 16  # side of a region's cut, in feature pixels
MARGIN = 1.5  # side of the cut, in sizes of the region
FEATURE_SCALE = 0.25  # feature pixels in a pixel of the crop
MESH, IRIS = 468, 5  # points

# Which points of the mesh the second looks replace, in the order of their outputs; an eye's rim comes first.
RIM = 16
# fmt: off
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 78,
    95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415, 76, 77,
    90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408, 62, 96, 89,
    179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)
EYE_ON_LEFT = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
    23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244,
    113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121,
    128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)
EYE_ON_RIGHT = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339,
    254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451,
    452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346,
    347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)
# fmt: on


class AttentionMesh(Translator):
    """Gathers MediaPipe's operators of the three regions, and writes each kind when the third one comes."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._options: list[dict[str, Any]] = []  # of Landmarks2TransformMatrix, by region
        self._region: dict[int, int] = {}  # matrix -> region
        self._flat: dict[int, int] = {}  # list of points -> the tensor that it is a view of
        self._cuts: list[int] = []
        self._seen_again: list[list[int]] = [[] for _ in range(REGIONS)]  # flat points, by region
        self._mesh = self._turn = self._shift = ""

    def _reshape(self, operator: Operator) -> None:
        self._flat[operator.output] = operator.inputs[0]

    def _strided_slice(self, operator: Operator) -> None:
        if self.network.shape(operator.inputs[0]) != self.network.shape(operator.output):
            raise ValueError("the slice leaves something out")
        self.names[operator.output] = self.name(operator.inputs[0])

    def _mul(self, operator: Operator) -> None:
        value, factor = operator.inputs
        if value in self._region:
            if not np.array_equal(self.constant(factor).reshape(4, 4)[:2], [[1, 1, 4, 4]] * 2):
                raise ValueError("the matrices are scaled otherwise")
            self._region[operator.output] = self._region[value]
        elif self.constant(factor).item() != FEATURE_SCALE:
            raise ValueError("the landmarks are scaled otherwise")
        else:
            self._flat[operator.output] = self._flat[value]

    def _landmarks2transformmatrix(self, operator: Operator) -> None:
        options = operator.custom_options()
        usual = {"output_width": CUT, "output_height": CUT, "scale_x": MARGIN, "scale_y": MARGIN}
        if options["target_rotation_radians"] or any(options[key] != value for key, value in usual.items()):
            raise ValueError(f"the regions are cut otherwise: {options}")
        self._region[operator.output] = len(self._options)
        self._options.append(options)
        if len(self._options) == REGIONS:
            self._place_regions(self.name(self._flat[operator.inputs[0]]))

    def _place_regions(self, mesh: str) -> None:
        """From the mesh to `turn` (N, 3, 2, 2) and `shift` (N, 3, 1, 2): pixels of the cuts -> feature pixels."""
        out = self.out
        self._mesh = out.reshape(mesh, -1, MESH, 3)
        longest = max(len(o["subset_idxs"]) for o in self._options)
        points = out.take(
            self._mesh, [_indices(o, longest) for o in self._options], 1
        )  # (N, 3, 2 + longest, 3)
        points = out.node("Mul", out.cut(points, 0, 2, 3), out.constant(FEATURE_SCALE))
        across = out.node("Sub", out.cut(points, 1, 2, 2), out.cut(points, 0, 1, 2))  # (N, 3, 1, 2)
        cosine_sine = out.node("Div", across, out.node("ReduceL2", across, axes=[3], keepdims=1))
        upright = out.node("MatMul", cosine_sine, out.constant([[1, 0, 0, 1], [0, -1, 1, 0]]))
        upright = out.reshape(upright, -1, REGIONS, 2, 2)
        back = out.node("Transpose", upright, perm=[0, 1, 3, 2])
        turned = out.node("MatMul", out.cut(points, 2, 2 + longest, 2), upright)
        high = out.node("ReduceMax", turned, axes=[2], keepdims=1)
        low = out.node("ReduceMin", turned, axes=[2], keepdims=1)
        scale = out.node("Mul", out.node("Sub", high, low), out.constant(MARGIN / CUT))
        self._turn = out.node("Mul", back, out.node("Transpose", scale, perm=[0, 1, 3, 2]))
        middle = out.node("Mul", out.node("Add", high, low), out.constant(0.5))
        corner = out.node("MatMul", out.constant(np.full((1, 2), CUT / 2)), self._turn)
        self._shift = out.node("Sub", out.node("MatMul", middle, back), corner)

    def _transformtensorbilinear(self, operator: Operator) -> None:
        features, matrix = operator.inputs
        if self._region[matrix] != len(self._cuts):
            raise ValueError("the regions are cut in another order")
        self._cuts.append(operator.output)
        if len(self._cuts) == REGIONS:
            self._cut_regions(features)

    def _cut_regions(self, features: int) -> None:
        """Bilinear cuts that are 0 wherever a place lies outside of the outermost pixels' centres."""
        out, (_, height, width, channels) = self.out, self.network.shape(features)
        if height != width:
            raise ValueError("the feature map is not square")
        y, x = np.mgrid[:CUT, :CUT].reshape(2, -1) + 0.5
        places = out.node("MatMul", out.constant(np.stack([x, y], axis=1)), self._turn)
        places = out.node("Mul", out.node("Add", places, self._shift), out.constant(2 / width))
        grid = out.reshape(out.node("Sub", places, out.constant(1)), -1, REGIONS * CUT, CUT, 2)
        cuts = out.node(
            "GridSample", self.name(features), grid, mode="bilinear", padding_mode="zeros", align_corners=0
        )
        farthest = out.node("ReduceMax", out.node("Abs", grid), axes=[3], keepdims=0)
        inside = out.node("LessOrEqual", farthest, out.constant(1 - 1 / width))
        inside = out.node("Unsqueeze", out.node("Cast", inside, to=onnx.TensorProto.FLOAT), out.integers(1))
        cuts = out.node("Mul", cuts, inside)
        names = out.nodes("Split", cuts, outputs=[f"region_{k}" for k in range(REGIONS)], axis=2)
        for tensor, name in zip(self._cuts, names, strict=True):
            # a convolution that changes nothing brings the cut into the blocked layout
            self.names[tensor] = self.depthwise(name, np.ones(channels))

    def _transformlandmarks(self, operator: Operator) -> None:
        points, matrix = operator.inputs
        self._seen_again[self._region[matrix]].append(self._flat[points])

    def finish(self) -> None:
        """Write the outputs `landmarks` (N, 478, 3), pixels of the crop, and `score` (N,), 0..1."""
        out = self.out
        mesh_xy, mesh_z = out.cut(self._mesh, 0, 2, 2), out.cut(self._mesh, 2, 3, 2)
        everything = out.node("Concat", mesh_xy, self._points_seen_again(), axis=1)
        xy = out.take(everything, self._refined(), 1)
        # an iris lies as deep as the rim of its eye does in the mean
        rims = out.take(mesh_z, [EYE_ON_LEFT[:RIM], EYE_ON_RIGHT[:RIM]], 1)
        depths = out.node("ReduceMean", rims, axes=[2], keepdims=0)
        depths = out.take(depths, [0] * IRIS + [1] * IRIS, 1)
        out.node("Concat", xy, out.node("Concat", mesh_z, depths, axis=1), output="landmarks", axis=2)
        out.node("Sigmoid", out.reshape(self.name(self.network.outputs[-1]), -1), output="score")

    def _points_seen_again(self) -> str:
        """The points of the three second looks in pixels of the crop, (N, 3 * 80, 2)."""
        out, rows = self.out, []
        for flat in self._seen_again:
            rows += [self.name(tensor) for tensor in flat]
            missing = 2 * len(LIPS) - sum(self.network.shape(tensor)[3] for tensor in flat)
            if missing:
                rows[-1] = out.node(
                    "Pad", out.reshape(rows[-1], -1, 2 * IRIS), out.integers(0, 0, 0, missing)
                )
        rows = [out.node("Flatten", row) for row in rows]
        points = out.reshape(out.node("Concat", *rows, axis=1), -1, REGIONS, len(LIPS), 2)
        shift = out.node("Mul", self._shift, out.constant(1 / FEATURE_SCALE))
        points = out.node("Add", out.node("MatMul", points, self._turn), shift)
        return out.reshape(points, -1, REGIONS * len(LIPS), 2)

    def _refined(self) -> np.ndarray[Any, Any]:
        """Where each of the 478 points stands among the mesh's points and those of the second looks."""
        index = np.arange(MESH + 2 * IRIS)
        for region, points in enumerate((LIPS, EYE_ON_LEFT, EYE_ON_RIGHT)):
            start = MESH + region * len(LIPS)
            index[list(points)] = start + np.arange(len(points))
            if region:
                iris = MESH + (region - 1) * IRIS
                index[iris : iris + IRIS] = start + len(points) + np.arange(IRIS)
        return index


def _indices(options: dict[str, Any], length: int) -> list[int]:
    """The two points that tell a region's angle, then the points that it encloses, the last one repeated."""
    subset = list(options["subset_idxs"])
    ends = [options["left_rotation_idx"], options["right_rotation_idx"]]
    return [*ends, *subset, *[subset[-1]] * (length - len(subset))]
