"""The two proofs, which every accusation needs, read off a measurement.

*Alive* (`living`): it works now for a control, or by another path of ours. *Between*: something on the way, and
not the site, did it. Its name fails at unrelated servers (`elsewhere`), or they have its certificate (`impostor`), or
its packets are answered or die short of its network (`place`). `quic` reads the same off steps over QUIC. `zone`
clears a resolver that repeats the site's own name servers. See law 3 of DESIGN and `docs/decisions`; each function
says what it takes for proof.
"""

from measurements.proofs.elsewhere import ENOUGH, MOST, name_fails_elsewhere, repeated, shut_out, tally, unsettled
from measurements.proofs.impostor import another_signs, doubted, suspicious
from measurements.proofs.living import Life, alive, given_by_others, harmless_at_target, lives, lives_beyond
from measurements.proofs.place import answered_for, place
from measurements.proofs.quic import announced, greetings, page_over
from measurements.proofs.steps import (
    Shown,
    Step,
    answers_like,
    fails_like,
    kind_of,
    like,
    outcomes,
    same_prefix,
    stood,
    worked,
)
from measurements.proofs.zone import canonical, said_by_its_own

__all__ = [
    "ENOUGH",
    "MOST",
    "Life",
    "Shown",
    "Step",
    "alive",
    "announced",
    "another_signs",
    "answered_for",
    "answers_like",
    "canonical",
    "doubted",
    "fails_like",
    "given_by_others",
    "greetings",
    "harmless_at_target",
    "kind_of",
    "like",
    "lives",
    "lives_beyond",
    "name_fails_elsewhere",
    "outcomes",
    "page_over",
    "place",
    "repeated",
    "said_by_its_own",
    "same_prefix",
    "shut_out",
    "stood",
    "suspicious",
    "tally",
    "unsettled",
    "worked",
]
