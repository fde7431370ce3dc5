"""What prompts may say, and making them richer, by rules or by a local language model."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import Forbidden, SettingsError
from engine.pipeline.generate_settings import PromptSettings

_SETTING = "generate.prompts.blocked_words"

# What the eye does not see must not hide a word: zero-width characters, soft hyphens, accents that
# were put on letters.
_UNSEEN = ("Cf", "Mn")

_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("portrait", "face", "person", "man", "woman", "child", "girl", "boy", "people"),
        "natural skin texture, soft key light, shallow depth of field",
    ),
    (
        ("landscape", "mountain", "sea", "beach", "forest", "city", "street", "sky", "valley"),
        "wide view, atmospheric perspective, golden hour light",
    ),
    (
        ("room", "interior", "kitchen", "office", "house", "building", "architecture"),
        "clean composition, natural window light, straight verticals",
    ),
    (
        ("food", "product", "bottle", "cup", "car", "watch", "shoe"),
        "studio light, fine detail, plain background",
    ),
)
_ELSE = "balanced composition, soft natural light"
_LAST = "highly detailed, sharp focus"
_DRAWN = ("painting", "drawing", "sketch", "cartoon", "anime", "illustration", "logo", "pixel art")
_DRAWN_LAST = "clean lines, harmonious colours, highly detailed"

_TASK = (
    "Rewrite this request for a picture as one line that names subject, surroundings, light and"
    " style, without inventing a different subject: "
)


class PromptRejected(Forbidden):
    """A prompt has a word that the settings forbid."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A forbidden word, and what its list is called."""

    pattern: re.Pattern[str]
    word: str
    reason: str


class PromptFilter:
    """Refuses prompts with words that the settings forbid.

    Words are compared without regard to case, accents, invisible characters and how they are
    spaced; only whole words count, unless a ``*`` stands for more letters.

    Args:
        settings: The lists.

    Raises:
        SettingsError: A file of words cannot be read.
    """

    def __init__(self, settings: PromptSettings) -> None:
        self._rules = tuple(_rules(settings))

    def check(self, prompt: str) -> None:
        """Raise if a prompt must not be used.

        Raises:
            PromptRejected: Names the word and its list.
        """
        plain = _plain(prompt)
        for rule in self._rules:
            if rule.pattern.search(plain):
                raise PromptRejected(
                    f"The prompt has '{rule.word}', which is not allowed here ({rule.reason}).",
                    "Say it differently, or ask whoever runs this server.",
                )


def by_rules(prompt: str) -> str:
    """Add details that suit what a prompt is about, as far as it does not name them itself."""
    words = set(re.findall(r"\w+", prompt.lower()))
    drawn = any(style in prompt.lower() for style in _DRAWN)
    kind = next((added for marks, added in _KINDS if words.intersection(marks)), _ELSE)
    details = [_DRAWN_LAST] if drawn else [kind, _LAST]
    added = [
        part for detail in details for part in detail.split(", ") if not set(part.split()) & words
    ]
    return ", ".join([prompt.strip().rstrip(".,;"), *added])


def by_model(torch: Any, tokenizer: Any, model: Any, prompt: str, tokens: int) -> str:
    """Have a language model write a richer prompt; the same one each time.

    Args:
        torch: The module.
        tokenizer: Of the model.
        model: A causal language model of transformers.
        prompt: What was asked for.
        tokens: Most tokens that are written.

    Returns:
        One line; the prompt itself if the model writes nothing.
    """
    instructed = bool(getattr(tokenizer, "chat_template", None))
    if instructed:
        messages = [{"role": "user", "content": _TASK + prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        text = prompt.strip().rstrip(".,;") + ","
    given = tokenizer(text, return_tensors="pt", add_special_tokens=not instructed)
    given = {key: value.to(model.device) for key, value in given.items() if key != "token_type_ids"}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    with torch.no_grad():
        found = model.generate(**given, max_new_tokens=tokens, do_sample=False, pad_token_id=pad)
    written = tokenizer.decode(found[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    line = " ".join(written.strip().split("\n")[0].split()).strip("\"' ")
    if not line:
        return prompt
    return line if instructed else f"{text} {line}"


def richer(
    prompt: str,
    how: str,
    allowed: Callable[[str], None],
    ask_model: Callable[[str], str],
) -> str:
    """Return the prompt that is used.

    Args:
        prompt: What was asked for.
        how: ``off``, ``rules`` or ``model``.
        allowed: Raises for prompts that are not; asked before and after.
        ask_model: Writes a richer prompt.
    """
    allowed(prompt)
    if how == "off":
        return prompt
    made = by_rules(prompt) if how == "rules" else ask_model(prompt)
    allowed(made)
    return made


def _rules(settings: PromptSettings) -> Iterator[_Rule]:
    yield from _compiled(settings.blocked_words, _SETTING)
    for path in settings.blocked_files:
        yield from _compiled(_read(path), path.stem)


def _compiled(words: Sequence[str], reason: str) -> Iterator[_Rule]:
    for word in words:
        plain = _plain(word).strip()
        if not plain.replace("*", ""):
            continue
        pattern = r"\W+".join(
            r"\w*".join(re.escape(part) for part in piece.split("*")) for piece in plain.split()
        )
        yield _Rule(re.compile(rf"(?<!\w){pattern}(?!\w)"), word.strip(), reason)


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"generate.prompts.blocked_files: {path} cannot be read ({error}).",
            "It must be a text file with one word on each line.",
        ) from None
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _plain(text: str) -> str:
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in spread if unicodedata.category(c) not in _UNSEEN)
