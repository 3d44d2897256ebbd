"""Where things lie on a board: its header, then its slots, each a head and a payload.

Numbers that the other side reads at any moment are whole words, each written by one store. (struct's pack_into clears
its bytes first: a reader might see a zero.)
"""

from __future__ import annotations

from typing import Final

HEADER_BYTES: Final = 4096
SLOT_BYTES: Final = 4096
HEAD_BYTES: Final = 512
PAYLOAD_BYTES: Final = SLOT_BYTES - HEAD_BYTES

# Words of the header: of claims, of the child, of interrupts, of exchanges.
SENT, RECEIVED, INVALIDATED, SENT_AT, LEASED_AT, UNSURE_COUNT = 0, 1, 2, 3, 12, 7
ATTEMPTS, SPENT_NS, SETTLING_AT, LEASE_NS, AGED, STOP = 4, 5, 6, 8, 11, 13
WATCHED, ACKNOWLEDGED = 9, 10
ANSWERED_AT, AWAY_SINCE, CUT_OFF_SINCE, HANDED_BACK_UNTIL = 20, 21, 22, 23

# Bytes of the header: the names of the child and of its last shard, claims without an answer, the states of the slots.
NAMES_AT: Final = 256
TAG_AT: Final = NAMES_AT + 200
UNSURE_AT: Final = 512
STATES_AT: Final = 1024

# Words of a slot, at the end of its head: when its attempt started, finished, is interrupted and is ended (monotonic
# ns; 0: not, or never); its progress; what interrupts it; its lease.
STARTED, FINISHED, SOFT, HARD = 50, 51, 53, 54
VERSION, SIZE = 55, 56
ON_LIMIT, REQUESTED, ENFORCED = 57, 58, 59
CLAIMED_AT, ALONE, RENEWED_AT = 52, 60, 61
