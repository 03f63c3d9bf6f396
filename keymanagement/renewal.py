"""Replacing the KEK: every row of the journal comes under the newest one, a page at a time.

A page is one transaction, and a row that is under the newest KEK already is passed over: the work
may stop anywhere and start again from the beginning. The key worker may go on meanwhile, as long
as it holds both KEKs. When a whole run has renewed nothing, the former KEK can go.

Where a destroyed key's copy was there is nothing to seal. A host's copy that is no X9.143 block (an
HSM's name for a key, or a copy of a former version, which this one opens under no KEK) is left as
it is and counted; its KCV and its row are renewed.

The marks by which a key would be known again (`unique_keys`) are keyed by the KEK too: each key
whose copy opens here gets one under the newest. A destroyed key, and one whose copy was left as it
is (with an HSM, any key), could come again unnoticed after a change of the KEK (docs/adr/0016).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from keymanagement.hostcopy import HostCopies
from keymanagement.journalerrors import JournalConflict
from keymanagement.journalfile import HEADS, JournalFile, Row, Table
from keymanagement.journalrows import KEYS, RELEASES, TABLES, UNIQUE_KEYS
from keymanagement.kcvseal import KcvSeal
from keymanagement.port import HostCopyForeign, KeyAlgorithm, KeyBinding
from keymanagement.uniqueness import KeyUniqueness

_ORDER: Final[tuple[Table, ...]] = (*TABLES, HEADS)
"""The heads last: renewing keys adds to them."""


@dataclass(frozen=True, slots=True)
class RenewalPlace:
    """How far a renewal is: which table, and after which of its rows. Begin with the default."""

    table: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True)
class RenewedKey:
    """A key under the newest KEK: the host's copy, and the 32 bytes of its uniqueness."""

    block: bytes = field(repr=False)
    uniqueness: bytes = field(repr=False)


RenewKey = Callable[[bytes, KeyAlgorithm, KeyBinding], RenewedKey]


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a page held: how many rows were renewed, of which requests a key; where to go on.

    `left` counts the host's copies that are no X9.143 blocks, and were left as they are;
    `keys` are the host's copies of all keys of the page, renewed now or before, by request id;
    `after` is None at the end.
    """

    rows: int
    left: int
    keys: dict[str, bytes] = field(repr=False)
    after: RenewalPlace | None


def software_renewal(kek: bytes, *previous: bytes) -> RenewKey:
    """How the software key manager renews a key.

    Raises:
        KekInvalid: if a KEK is not 32 bytes.
    """
    copies, uniqueness = HostCopies(kek, *previous), KeyUniqueness(kek)

    def renew_key(block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> RenewedKey:
        return RenewedKey(
            copies.resealed(block, algorithm, binding),
            uniqueness.of(copies.open(block, algorithm, binding)),
        )

    return renew_key


def renew(
    file: JournalFile,
    kcvs: KcvSeal,
    place: RenewalPlace,
    renew_key: RenewKey | None,
    limit: int,
) -> Renewed:
    """Renew the next `limit` rows as `Journal.renew` describes, within the caller's transaction."""
    table = _ORDER[place.table]
    page = file.page(table, place.row, limit)
    count, left, keys = 0, 0, {}
    for _, row, newest in page:
        fresh = row
        if table is KEYS:
            fresh = _renewed_kcv(kcvs, row)
            if renew_key is not None and row["host_block"]:
                try:
                    fresh = _renewed_key(file, fresh, renew_key)
                except HostCopyForeign:
                    left += 1
            if fresh["host_block"]:
                keys[str(row["request_id"])] = bytes(fresh["host_block"])
        if not newest or fresh != row:
            file.update(table, fresh)
            count += 1
    if len(page) == limit:
        return Renewed(count, left, keys, RenewalPlace(place.table, page[-1][0]))
    following = place.table + 1
    after = RenewalPlace(following) if following < len(_ORDER) else None
    return Renewed(count, left, keys, after)


def _renewed_kcv(kcvs: KcvSeal, row: Row) -> Row:
    if not row["kcv_sealed"]:
        return row
    return {**row, "kcv_sealed": kcvs.resealed(row["request_id"], row["kcv_sealed"])}


def _renewed_key(file: JournalFile, row: Row, renew_key: RenewKey) -> Row:
    request_id = row["request_id"]
    release = file.get(RELEASES, request_id=request_id)
    if release is None:
        raise JournalConflict("no release was begun for this request")
    binding = KeyBinding(release["terminal_no"], request_id)
    renewed = renew_key(row["host_block"], KeyAlgorithm(row["algorithm"]), binding)
    digest = renewed.uniqueness.hex()
    if file.get(UNIQUE_KEYS, digest=digest) is None:
        file.insert(UNIQUE_KEYS, {"digest": digest, "request_id": request_id})
    return {**row, "host_block": renewed.block}
