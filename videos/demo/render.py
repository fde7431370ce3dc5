"""Draw one pose with the shaders beside this file, off screen, through OpenGL.

Any driver with OpenGL 4.3 and EGL will do; Mesa's software driver (llvmpipe) was used for the
committed clips and needs no graphics card.
"""

from __future__ import annotations

from pathlib import Path

import moderngl
import numpy as np
import numpy.typing as npt
from pose import BONES_PER_HAND, NECK, Bone, Pose, bones, head_turn

Picture = npt.NDArray[np.uint8]

HERE = Path(__file__).parent
BONE_LIMIT = 44
MARCH_STEPS = 72
SHADOW_STEPS = 24
# Pixels that differ from a neighbour by more than this (0..1) are drawn again with more samples.
EDGE = 0.11

_VERSION = "#version 430 core\n"
_COVER = _VERSION + "in vec2 at; void main() { gl_Position = vec4(at, 0.0, 1.0); }"
_FIND_EDGES = """
uniform sampler2D uFirst;
uniform float uEdge;
void main() {
    ivec2 at = ivec2(gl_FragCoord.xy), last = textureSize(uFirst, 0) - 1;
    vec4 low = vec4(1.0), high = vec4(0.0);
    for (int y = -1; y <= 1; y++)
        for (int x = -1; x <= 1; x++) {
            vec4 c = texelFetch(uFirst, clamp(at + ivec2(x, y), ivec2(0), last), 0);
            low = min(low, c);
            high = max(high, c);
        }
    vec4 span = high - low;
    gl_FragDepth = max(max(span.r, span.g), max(span.b, span.a)) > uEdge ? 0.5 : 0.0;
}
"""


def hand_bounds(parts: list[Bone]) -> dict[str, tuple[float, ...]]:
    """A ball round the first half of the segments and one round the second half."""
    balls: dict[str, tuple[float, ...]] = {}
    middle = BONES_PER_HAND if len(parts) > BONES_PER_HAND else len(parts)
    for name, half in (("uBallA", parts[:middle]), ("uBallB", parts[middle:])):
        if not half:
            balls[name] = (0.0, -50.0, 0.0, 0.0)
            continue
        ends = np.array([end for bone in half for end in bone])
        centre = (ends[:, :3].max(0) + ends[:, :3].min(0)) / 2
        reach = np.linalg.norm(ends[:, :3] - centre, axis=1) + abs(ends[:, 3])
        balls[name] = (*centre, reach.max())
    return balls


class Renderer:
    """Holds the compiled shaders and the off-screen buffers for one picture size."""

    def __init__(self, size: int = 512, taps: int = 4) -> None:
        self.size = size
        self.taps = taps
        self._gl = moderngl.create_standalone_context(backend="egl")
        figure = (HERE / "figure.glsl").read_text()
        light = (HERE / "light.glsl").read_text()
        corners = self._gl.buffer(np.array([-1, -1, 3, -1, -1, 3], "f4").tobytes())

        def program(source: str) -> tuple[moderngl.Program, moderngl.VertexArray]:
            made = self._gl.program(vertex_shader=_COVER, fragment_shader=_VERSION + source)
            return made, self._gl.vertex_array(made, [(corners, "2f", "at")])

        early = "layout(early_fragment_tests) in;\n"
        self._paint, self._paint_all = program(early + figure + light)
        self._edges, self._edges_all = program(_FIND_EDGES)
        self._first = self._gl.texture((size, size), 4)
        self._first.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._final = self._gl.texture((size, size), 4)
        self._mask = self._gl.depth_renderbuffer((size, size))
        self._first_target = self._gl.framebuffer([self._first])
        self._final_target = self._gl.framebuffer([self._final], self._mask)
        self._mask_target = self._gl.framebuffer(depth_attachment=self._mask)

    def draw(self, pose: Pose) -> Picture:
        """The picture of `pose`, height x width x RGB, top row first."""
        self._set_pose(pose)
        self._paint["uTaps"].value = 1
        self._first_target.use()
        self._gl.disable(moderngl.DEPTH_TEST)
        self._paint_all.render()
        if self.taps == 1:
            return self._read(self._first_target)
        # The first picture is also the final one away from edges: it is copied, and the depth
        # buffer keeps the costly second pass off every pixel that needs no more samples.
        self._gl.copy_framebuffer(self._final_target, self._first_target)
        self._mask_target.use()
        self._gl.enable(moderngl.DEPTH_TEST)
        self._gl.depth_func = "1"
        self._first.use(0)
        self._edges["uEdge"].value = EDGE
        self._edges_all.render()
        self._final_target.use()
        self._final_target.depth_mask = False
        self._gl.depth_func = "<="
        self._paint["uTaps"].value = self.taps
        self._paint_all.render()
        self._final_target.depth_mask = True
        return self._read(self._final_target)

    def _read(self, target: moderngl.Framebuffer) -> Picture:
        flat = np.frombuffer(target.read(components=3, alignment=1), np.uint8)
        return flat.reshape(self.size, self.size, 3)[::-1].copy()

    def _set_pose(self, pose: Pose) -> None:
        torso = np.array([pose.torso_x, pose.torso_y, pose.torso_z])
        head = NECK + torso + np.array([pose.head_x, pose.head_y, pose.head_z])
        start = np.zeros((BONE_LIMIT, 4), "f4")
        end = np.zeros((BONE_LIMIT, 4), "f4")
        parts = bones(pose)
        for i, (a, b) in enumerate(parts):
            start[i], end[i] = a, b
        values = {
            "uSize": (self.size, self.size),
            "uSteps": MARCH_STEPS,
            "uShadowSteps": SHADOW_STEPS,
            # Row-major bytes of the transpose are GLSL's column-major order.
            "uHeadTurn": tuple(head_turn(pose).T.ravel()),
            "uHeadShift": tuple(head),
            "uTorsoShift": tuple(torso),
            "uBreath": pose.breath,
            "uShoulder": (pose.shoulder_left, pose.shoulder_right),
            "uBlink": pose.blink,
            "uSquint": pose.squint,
            "uGaze": (pose.gaze_x, pose.gaze_y),
            "uBrow": (pose.brow_left, pose.brow_right, pose.brow_inner, pose.brow_pinch),
            "uJaw": pose.jaw,
            "uMouth": (pose.mouth_width, pose.lip_up, pose.lip_low, pose.pucker),
            "uSmile": (pose.smile_left, pose.smile_right),
            "uTongue": pose.tongue,
            "uBones": len(parts),
            **hand_bounds(parts),
        }
        for name, value in values.items():
            self._paint[name].value = value
        self._paint["uBoneA"].write(start.tobytes())
        self._paint["uBoneB"].write(end.tobytes())
