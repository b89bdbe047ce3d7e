"""Random tokens in a text that is still a text: its tokens are the ones that were drawn.

Tokens drawn at random cannot simply be decoded and learnt. Their text, encoded again, may have other tokens: `he` and
`llo` come back as `hello`. So the text is encoded again, what was drawn where the two differ is drawn anew, and so on
until no difference is left. Tokens that are half a character, which no text has by themselves, are not drawn at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from byheart.errors import SettingsError
from byheart.memory.tokenizer import Tokenizer, control_ids
from byheart.tasks.answer_tokens import AnswerTokens
from byheart.tasks.draws import Draws

_BROKEN = "\ufffd"
_NO_TOKEN = -1
_MOST_ROUNDS = 500
_RUN, _REACH = 3, 64  # so many equal tokens end a difference, looked for among so many


def random_ids(num_tokens: int, tokenizer: Tokenizer, seed: int) -> list[int]:
    """Ordinary tokens, each as likely as the others, whose text is encoded as just these.

    Args:
        num_tokens: how many.
        tokenizer: changed; see `byheart.memory.tokenizer.undisturbed`.
        seed: of the tokens.

    Raises:
        SettingsError: none were found.
    """
    return _as_text([_NO_TOKEN] * num_tokens, set(range(num_tokens)), AnswerTokens(tokenizer), tokenizer, seed)


def replaced(ids: Sequence[int], ratio: float, tokenizer: Tokenizer, seed: int) -> list[int]:
    """``ids`` with a share of them replaced by other ordinary tokens, whose text is encoded as just these.

    A number is drawn for each position, and those with the lowest are replaced: the positions of a smaller ratio are
    among those of a larger one.

    Args:
        ids: those of a text; no other is to come back for it.
        ratio: the share, 0 to 1, rounded to whole tokens. Tokens that are parts of one character are replaced together,
            so that it may be one or two more.
        tokenizer: changed; see `byheart.memory.tokenizer.undisturbed`.
        seed: of positions and tokens.

    Raises:
        SettingsError: no tokens were found that leave the others as they are.
    """
    answers, draws = AnswerTokens(tokenizer), Draws("random positions", seed)
    numbers = [draws.below(2**53) for _ in ids]
    characters = _characters(ids, answers)
    places: set[int] = set()
    for place in sorted(range(len(ids)), key=lambda place: numbers[place]):
        if len(places) >= round(ratio * len(ids)):
            break
        places.update(characters[place])
    if not places:
        return list(ids)
    return _as_text(ids, places, answers, tokenizer, seed)


def _characters(ids: Sequence[int], answers: AnswerTokens) -> list[range]:
    """For each position those that it makes whole characters with: itself, but where characters have several tokens."""
    is_part = {token_id: _is_part(token_id, answers) for token_id in set(ids)}
    characters: list[range] = []
    start = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or not (is_part[ids[end - 1]] and is_part[ids[end]]):
            characters += [range(start, end)] * (end - start)
            start = end
    return characters


def _is_part(token_id: int, answers: AnswerTokens) -> bool:
    """Whether a token is a part of a character."""
    return _BROKEN in answers.decode([token_id])


def _as_text(ids: Sequence[int], places: set[int], answers: AnswerTokens, tokenizer: Tokenizer, seed: int) -> list[int]:
    """``ids`` with other tokens at ``places``, drawn anew wherever the text is not encoded as what it was made of."""
    ordinary, draws = sorted(set(tokenizer.get_vocab().values()) - control_ids(tokenizer)), Draws("random tokens", seed)

    def other_than(token_id: int) -> int:
        while (drawn := ordinary[draws.below(len(ordinary))]) == token_id or _is_part(drawn, answers):
            pass
        return drawn

    # Also drawn where nothing is replaced, so that a position begins with the same token whatever the ratio.
    drawn = [other_than(token_id) for token_id in ids]
    result = [drawn[place] if place in places else token_id for place, token_id in enumerate(ids)]
    for _ in range(_MOST_ROUNDS):
        differences = list(_differences(result, answers.closest(answers.decode(result))))
        if not differences:
            return result
        for place in sorted({place for difference in differences for place in _nearest(difference, places)}):
            result[place] = other_than(ids[place])
    raise SettingsError(
        f"random_ratio: in {_MOST_ROUNDS} rounds no text was found whose tokens are those drawn; this source and this "
        "tokenizer do not go together: use another source, seed or model, or random_ratio 0 or 1"
    )


def _differences(ids: Sequence[int], again: Sequence[int]) -> Iterator[range]:
    """Where in ``ids`` two encodings of one text differ; they meet again where a few tokens on end are equal."""
    here = there = 0
    while here < len(ids):
        if there < len(again) and ids[here] == again[there]:
            here, there = here + 1, there + 1
        elif (meeting := _meeting(ids, again, here, there)) is None:
            yield range(here, min(here + _REACH, len(ids)))
            return  # what comes after is seen once this is mended
        else:
            yield range(here, max(here + meeting[0], here + 1))
            here, there = here + meeting[0], there + meeting[1]
    if there < len(again):
        yield range(len(ids) - 1, len(ids))


def _meeting(ids: Sequence[int], again: Sequence[int], here: int, there: int) -> tuple[int, int] | None:
    """How far on, in each, the two are equal again, or None where that is not near."""
    for distance in range(1, _REACH):
        for skipped in range(distance + 1):
            run = ids[here + skipped : here + skipped + _RUN]
            other = again[there + distance - skipped : there + distance - skipped + _RUN]
            if tuple(run) == tuple(other) and (len(run) == _RUN or here + skipped + len(run) == len(ids)):
                return skipped, distance - skipped
    return None


def _nearest(difference: range, places: set[int]) -> list[int]:
    """The replaced positions in a difference, or those that are the fewest tokens away."""
    start, stop = difference.start, difference.stop
    while not (found := [place for place in range(start, stop) if place in places]):
        start, stop = start - 1, stop + 1
    return found
