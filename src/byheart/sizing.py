"""The rank at which a memory is learnt quickly: a rule by bits. A plan knows less room to be enough; an adapter with
more than it needs is certified in fewer epochs, and where nothing is calibrated the rule is all there is.

With the default placement on the embedded model a hundred numbers are certified well within the default budget at
0.0070 bits a parameter, the densest that was measured so. The density below is one of 0.01, as digits were counted
before, in the bits of `byheart.memory.information`. Denser adapters hold the same, given time; see docs/law.md.
"""

from __future__ import annotations

EASY_BITS_PER_PARAMETER = 0.0086
ROOM_RANK = 128
"""Up to which room is given for the sake of time alone, where a plan says that less would do."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What serving engines take (vLLM's set), from 8 up."""


def rank_for(bits: float, parameters_per_rank: int) -> tuple[int, str]:
    """The smallest rank at which ``bits`` stay below the easy density, and the reason in a sentence.

    Args:
        bits: upper bound of the information in the answers.
        parameters_per_rank: of the placement: Σ over sites of in + out features.
    """
    needed = bits / EASY_BITS_PER_PARAMETER / parameters_per_rank
    rank = next((rank for rank in RANKS if rank >= needed), RANKS[-1])
    sentence = (
        f"about {bits:,.0f} bits to learn: rank {rank} gives {rank * parameters_per_rank:,} parameters, "
        f"{bits / (rank * parameters_per_rank):.3f} bits each"
    )
    if needed > RANKS[-1]:
        sentence += f" (more than the {EASY_BITS_PER_PARAMETER} that come easily; adapt more layers)"
    return rank, sentence
