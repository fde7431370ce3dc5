"""Texts that every database takes."""


def plain(text: str, length: int) -> str:
    """Return at most ``length`` characters of a text, without what databases refuse.

    That is U+0000, and halves of surrogate pairs, as names of files that are no UTF-8 have.
    """
    return text[:length].replace("\x00", "\ufffd").encode(errors="replace").decode()
