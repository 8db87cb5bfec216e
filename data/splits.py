"""Which samples train and which validate."""

import hashlib
from collections.abc import Sequence

from data.records import Record


def carve_validation(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """(train, validation): `share` of the records, at least one of two, chosen by a hash of name and seed.

    The rule looks at names only, so adding pictures moves few others from one side to the other.
    """
    count = max(1, round(share * len(records))) if share > 0 and len(records) > 1 else 0
    ranked = sorted(records, key=lambda r: hashlib.sha256(f"{seed}/{r.name}".encode()).digest())
    chosen = {record.name for record in ranked[:count]}
    return (
        [record for record in records if record.name not in chosen],
        [record for record in records if record.name in chosen],
    )
