"""Answers → ids that give the answer back to the letter.

An answer is encoded apart from its prompt, chat markers in it as plain text, and is then put to the proof: the ids of
prompt and answer together must decode to the prompt's text followed by the answer. Where a tokenizer does not keep text
as it is, other ways to encode the answer are tried; what passes none of them is refused, never learnt changed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from byheart.memory.text import quoted
from byheart.memory.tokenizer import Tokenizer, backend, control_ids, text_of, token_ids

# Tokenizers of the SentencePiece family put a space before a text. Behind one of these it is the anchor that gets it,
# and the answer's ids are what follows the anchor's. Several, as an answer's beginning may merge with one of them.
_ANCHORS = ("\n", ":", "x")


class _Flaw(NamedTuple):
    """Why ids do not stand for an answer."""

    num_changed: int  # characters
    what: str


class AnswerEncoder:
    """Encodes answers for one tokenizer, whose state it changes; see `tokenizer.undisturbed`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._control_ids = control_ids(tokenizer)
        self._unnormalised: Any = None

    def encode(self, prompts_ids: Sequence[Sequence[int]], answers: Sequence[str]) -> list[tuple[int, ...] | str]:
        """The ids of each answer, or in their place why it cannot be given back.

        Args:
            prompts_ids: the ids that come before each answer.
            answers: the texts, one for each prompt.
        """
        return [
            self._proved(prompt_ids, answer, ids)
            for prompt_ids, answer, ids in zip(prompts_ids, answers, self._encode_as_text(answers), strict=True)
        ]

    def _proved(self, prompt_ids: Sequence[int], answer: str, plain: list[int]) -> tuple[int, ...] | str:
        before = text_of(self._tokenizer, prompt_ids)
        flaws: list[_Flaw] = []
        for ids in chain([plain], self._ways(answer)):
            if (flaw := self._flaw(prompt_ids, before, answer, ids)) is None:
                return tuple(ids)
            flaws.append(flaw)
        return min(flaws).what  # of the way that came nearest

    def _flaw(self, prompt_ids: Sequence[int], before: str, answer: str, ids: Sequence[int]) -> _Flaw | None:
        text = text_of(self._tokenizer, [*prompt_ids, *ids])
        if text != before + answer:
            return _difference(answer, text.removeprefix(before))
        if controls := [token_id for token_id in ids if token_id in self._control_ids]:
            marker = quoted(text_of(self._tokenizer, controls[:1]))
            what = f"answer holds {marker}, which this tokenizer reads as a control token only"
            return _Flaw(0, f"{what}; write it in another way, or use another model")
        return None

    def _ways(self, answer: str) -> Iterator[list[int]]:
        """Encodings of ``answer``, from the tokenizer's own on, that stray from it as little as they must."""
        for encode in (self._encode_as_text, self._encode_unnormalised):
            yield from encode([answer])
            for anchor in _ANCHORS:
                match encode([anchor, anchor + answer]):
                    case [head, whole] if whole[: len(head)] == head and len(whole) > len(head):
                        yield whole[len(head) :]
                    case _:  # the answer has merged with its anchor
                        continue

    def _encode_as_text(self, texts: Sequence[str]) -> list[list[int]]:
        return token_ids(self._tokenizer, texts, markers_are_text=True)

    def _encode_unnormalised(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids that keep what a normaliser would compose or fold, such as decomposed accents under NFC.

        None but for byte-level vocabularies: they are made of bytes, whatever the text, where others need their
        normaliser's spelling.
        """
        fast = backend(self._tokenizer)
        if fast is None or fast.normalizer is None or type(fast.decoder).__name__ != "ByteLevel":
            return []
        if self._unnormalised is None:
            self._unnormalised = copy.deepcopy(fast)
            self._unnormalised.normalizer = None
            self._unnormalised.encode_special_tokens = True
            self._unnormalised.no_truncation()
            self._unnormalised.no_padding()
        return [encoding.ids for encoding in self._unnormalised.encode_batch(list(texts), add_special_tokens=False)]


def decode_answer(prompt_ids: Sequence[int], answer_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text that ``answer_ids`` add to the prompt's: what a model that wrote them has said.

    Decoded by themselves they may lose a leading space: tokenizers of the SentencePiece family drop a text's first.

    Args:
        prompt_ids: what the model was given.
        answer_ids: what it wrote, without the token that ends its turn.
        tokenizer: whose ids they are.
    """
    return text_of(tokenizer, [*prompt_ids, *answer_ids]).removeprefix(text_of(tokenizer, prompt_ids))


def _difference(answer: str, back: str) -> _Flaw:
    shorter = min(len(answer), len(back))
    start = next((i for i in range(shorter) if answer[i] != back[i]), shorter)
    end = next((i for i in range(shorter - start) if answer[-1 - i] != back[-1 - i]), shorter - start)
    meant, got = answer[start : len(answer) - end], back[start : len(back) - end]
    change = f"from its character {start + 1} on, {_characters(meant)} comes back as {_characters(got)}"
    what = f"answer cannot be written in this tokenizer's tokens: {change}; change it, or use another model"
    return _Flaw(len(meant) + len(got), what)


def _characters(text: str) -> str:
    if not text:
        return "nothing"
    codes = " ".join(f"U+{ord(character):04X}" for character in text[:4])
    return f"{quoted(text)} ({codes}{' …' if len(text) > 4 else ''})"
