"""How much memory models that segment need, where only their name is known."""

_WEIGHTS = {
    "vit_h": 2_600_000_000,
    "vit_l": 1_260_000_000,
    "vit_b": 380_000_000,
    "large": 900_000_000,
    "base_plus": 330_000_000,
    "small": 190_000_000,
    "tiny": 160_000_000,
}
_WORKING = {"vit_h": 4_500_000_000, "vit_l": 3_500_000_000, "vit_b": 2_800_000_000}
_USUAL_WORKING = 1_000_000_000


def segmenting_bytes(model: str) -> int:
    """Return the bytes that a job with a model needs at its peak."""
    name = model.lower()
    weights = next((size for key, size in _WEIGHTS.items() if key in name), _WEIGHTS["large"])
    return weights + working_bytes(name)


def working_bytes(model: str) -> int:
    """Return the bytes of activations while a picture is embedded.

    The original encoders attend globally in some layers: a matrix of 4096x4096 for each head.
    """
    name = model.lower()
    return next((size for key, size in _WORKING.items() if key in name), _USUAL_WORKING)
