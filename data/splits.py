"""Which samples train, which validate, which test."""

import hashlib
from collections.abc import Callable, Sequence

from data.records import Record


def official_split(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """(train, test) as the data set's authors divided it; records that they left out are in neither."""
    train = [record for record in records if record.split in ("", "train")]
    return train, [record for record in records if record.split == "test"]


def carve_validation(
    records: Sequence[Record], share: float, seed: int, lit: Callable[[Record], bool] = lambda _: True
) -> tuple[list[Record], list[Record]]:
    """(train, validation): about `share` of the records, at least one, chosen by a hash of scene and seed.

    Records of one scene (the angles of a PSD group, the views of an SSHR object) stay together, or
    validation would be on known objects; where there is one scene only, its records are divided. Something
    always stays for training. The rule looks at names only, so adding pictures moves few others.

    lit  whether a record has a highlight, without which it ranks no checkpoint. Where none of the chosen has
         one, as many that do are chosen beside them, as far as there are
    """
    if not share:
        return list(records), []
    one_scene = len({_scene(record) for record in records}) == 1
    units = [record.name if one_scene else _scene(record) for record in records]
    ranked = sorted(set(units), key=lambda unit: hashlib.sha256(f"{seed}/{unit}".encode()).digest())
    wanted, taken, chosen = max(1, round(share * len(records))), 0, set()
    for unit in ranked[:-1]:
        if taken >= wanted:
            break
        chosen.add(unit)
        taken += units.count(unit)
    paired = list(zip(records, units, strict=True))
    if not any(lit(record) for record, unit in paired if unit in chosen):
        taken = 0
        for unit in ranked:
            if taken >= wanted or len(chosen) == len(ranked) - 1:
                break
            members = [record for record, own in paired if own == unit and unit not in chosen]
            if any(map(lit, members)):
                chosen.add(unit)
                taken += len(members)
    return [r for r, unit in paired if unit not in chosen], [r for r, unit in paired if unit in chosen]


def _scene(record: Record) -> str:
    return record.scene or record.name
