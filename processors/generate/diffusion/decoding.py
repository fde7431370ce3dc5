"""From latents to pictures."""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import AvatarServerError

Picture = npt.NDArray[np.uint8]
"""``uint8[height, width, 3]``, red, green, blue."""


class NotANumber(AvatarServerError):
    """A model computed values that are no numbers, which would be seen as a black picture."""


def check_latents(torch: Any, latents: Any, dtype: str) -> None:
    """Raise if denoising went wrong.

    Raises:
        NotANumber: A value is not finite.
    """
    if not bool(torch.isfinite(latents).all()):
        raise NotANumber(
            f"The model computed values that are no numbers ({dtype}).",
            "Set precision to float32 or bfloat16."
            if dtype == "float16"
            else "Its weights may be damaged; try another scheduler, or fewer steps.",
        )


def decode(torch: Any, pipeline: Any, latents: Any) -> tuple[Picture, bool]:
    """Decode one picture.

    A VAE in float16 may overflow (that of SDXL does, which its ``force_upcast`` says); then it is
    run in float32.

    Args:
        torch: The module.
        pipeline: Of diffusers.
        latents: ``[1, 4, height / 8, width / 8]``, as the pipeline returns them.

    Returns:
        The picture, and whether float32 was tried only after an overflow.

    Raises:
        NotANumber: It overflows in float32, too.
    """
    vae = pipeline.vae
    stored = vae.dtype
    half = stored != torch.float32
    try:
        if half and vae.config.force_upcast:
            vae.to(torch.float32)
        picture = _decode(torch, pipeline, latents)
        again = picture is None and vae.dtype != torch.float32
        if again:
            vae.to(torch.float32)
            picture = _decode(torch, pipeline, latents)
    finally:
        if half:
            # Exact, as the weights were of this type before.
            vae.to(stored)
    if picture is None:
        raise NotANumber(
            "Decoding the picture gave values that are no numbers, in float32 too.",
            "The VAE of the model may be damaged: get its files again.",
        )
    return picture, again


def _decode(torch: Any, pipeline: Any, latents: Any) -> Picture | None:
    vae = pipeline.vae
    scaled = latents.to(device=pipeline._execution_device, dtype=torch.float32)
    config = vae.config
    scaled = scaled / config.scaling_factor
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and deviation is not None:
        shape = (1, -1, 1, 1)
        scaled = scaled * torch.tensor(deviation, device=scaled.device).view(shape)
        scaled = scaled + torch.tensor(mean, device=scaled.device).view(shape)
    with torch.no_grad():
        image = vae.decode(scaled.to(vae.dtype), return_dict=False)[0].float()
    if not bool(torch.isfinite(image).all()):
        return None
    image = (image[0] * 127.5 + 127.5).round().clamp(0, 255)
    pixels: Picture = image.permute(1, 2, 0).to("cpu", torch.uint8).numpy()
    return np.ascontiguousarray(pixels)
