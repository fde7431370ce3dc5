"""From latents to small pictures by a matrix, which costs a thousandth of decoding.

The factors are linear fits of latents to their pictures that were published for SD 1.4 in the
thread "Decoding latents to RGB without upscaling" of the Hugging Face forum, and for SDXL in T. A.
Vass, "Explaining the SDXL latent space" (Hugging Face blog).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from processors.generate.diffusion.parameters import Family

# Rows: latent channels; columns: red, green, blue; then the offset. In units of 0 to 255.
_FACTORS: dict[Family, tuple[tuple[tuple[float, float, float], ...], tuple[float, ...]]] = {
    "sd15": (
        (
            (38.0, 26.4, 26.5),
            (23.8, 36.5, 22.1),
            (-20.1, 24.1, 33.7),
            (-23.5, -34.6, -60.3),
        ),
        (127.5, 127.5, 127.5),
    ),
    "sdxl": (
        ((60.0, 60.0, 60.0), (-60.0, -5.0, 10.0), (25.0, 15.0, -5.0), (-70.0, -50.0, -35.0)),
        (150.0, 140.0, 130.0),
    ),
}
_ENLARGED = 4


def preview(latents: Any, family: Family) -> npt.NDArray[np.uint8]:
    """Return what latents look like.

    Args:
        latents: ``[n, 4, h, w]``, as a pipeline has them between steps.
        family: Whose latents they are.

    Returns:
        ``uint8[4 h, 4 n w, 3]``, blue, green, red: n pictures side by side, half the final size.
    """
    values = latents.detach().float().cpu().numpy()
    matrix, offset = _FACTORS[family]
    red_green_blue = np.einsum("nchw,ck->nhwk", values, np.asarray(matrix)) + np.asarray(offset)
    pixels = np.nan_to_num(red_green_blue).clip(0, 255).astype(np.uint8)[..., ::-1]
    row = np.concatenate(list(pixels), axis=1)
    return np.ascontiguousarray(row.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1))
