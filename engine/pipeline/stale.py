"""The mark on a picture that is no longer live."""

from engine.pipeline.frame import Frame, Image


def mark_stale(image: Image, text: str) -> Image:
    """A copy at half brightness with a text across its middle.

    Args:
        image: ``uint8[h, w, 3]``.
        text: A few words; ASCII, as OpenCV's fonts have nothing else.
    """
    import cv2

    marked: Image = image // 2
    height, width = marked.shape[:2]
    scale = max(0.4, width / 700.0)
    thickness = max(1, round(scale * 2))
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    at = (max(0, (width - text_width) // 2), (height + text_height) // 2)
    for colour, extra in (((0, 0, 0), 2 * thickness), ((255, 255, 255), 0)):
        cv2.putText(
            marked,
            text,
            at,
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            colour,
            thickness + extra,
            cv2.LINE_AA,
        )
    return marked


def stale_frame(frame: Frame, text: str = "NO SIGNAL") -> Frame:
    """The frame again, marked: in the picture, and by its ``stale`` flag."""
    return Frame(
        mark_stale(frame.image, text),
        frame.sequence,
        frame.pts,
        frame.time_base,
        frame.captured_at,
        frame.stamps,
        stale=True,
    )
