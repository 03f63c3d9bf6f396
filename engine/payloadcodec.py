"""The payload codec: what Temporal keeps is sealed with AES-256-GCM (NIST SP 800-38D).

A sealed payload says in clear which workflow it belongs to and which key seals it, because the
codec server of the Temporal UI is told neither. Whoever works with a payload goes by the workflow
that the SDK names (its serialization context), never by what the payload claims: sealed for another
workflow or namespace, it does not open.

    data = version (1 byte) | length of the key id (1) | key id | check value (4) | nonce (12)
           | ciphertext and tag (16)
    associated data = label | namespace | workflow id | header, each text with its length before it

What was surely not sealed here (plaintext, malformed, moved, changed, under a refused id) is not
raised but replaced by a mark, which the payload converter refuses when somebody wants its value.
The SDK drops a signal whose value is refused; raised in here, the whole workflow task would fail,
again and again, and a forged signal would hold up the ceremony for ever. An id that the ring does
not know is raised: it is most likely a key that this process was not given yet, and nothing may be
lost.
"""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    EncodingPayloadConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from engine.keyring import CHECK_BYTES, KeyIdRefused, KeyIdUnknown, KeyRing

ENCODING: Final = "binary/keyfill-sealed"
REFUSED_ENCODING: Final = "binary/keyfill-refused"
WORKFLOW: Final = "keyfill-workflow"
"""The metadata entry that claims the workflow id, in clear: Temporal shows ids in clear anyway."""

_VERSION: Final = 1
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LABEL: Final = b"keyfill/payload/1\x00"
# A schedule seals the arguments for the id as configured; each run's id has its time after it.
_RUN_OF_SCHEDULE: Final = re.compile(r"-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")

_log = logging.getLogger("keyfill.payloads")


class Refusal(StrEnum):
    """Why a payload was not opened."""

    PLAINTEXT = "payload-not-sealed"
    MALFORMED = "payload-malformed"
    KEY_REFUSED = "payload-key-refused"
    NOT_AUTHENTIC = "payload-not-authentic"
    UNREADABLE = "payload-unreadable"


class PayloadRefused(ValueError):
    """A payload was not sealed by this deployment for this workflow.

    Attributes:
        refusal: Why, as far as the payload itself can be believed.
    """

    def __init__(self, refusal: str) -> None:
        """Name the reason, and nothing of the payload."""
        self.refusal = refusal
        super().__init__(refusal)


class PayloadKeyUnknown(Exception):
    """A payload names a key that this process does not have; give it that key, or refuse the id.

    Attributes:
        key_id: As the payload says: not authentic.
    """

    def __init__(self, key_id: str) -> None:
        """Name the key."""
        self.key_id = key_id
        super().__init__(f"payload-key-unknown: {key_id}")


class ContextMissing(Exception):
    """A payload that belongs to no workflow: there is nothing to bind it to."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payload belongs; `workflow_id` without a schedule's time."""

    namespace: str
    workflow_id: str

    @classmethod
    def of(cls, namespace: str, workflow_id: str) -> "Place":
        """The place of a workflow's payloads, its activities' among them."""
        return cls(namespace, _RUN_OF_SCHEDULE.sub("", workflow_id))

    def associated(self, header: bytes) -> bytes:
        """The associated data of a payload with this header."""
        parts = (self.namespace.encode(), self.workflow_id.encode(), header)
        return _LABEL + b"".join(len(one).to_bytes(4, "big") + one for one in parts)


def seal(ring: KeyRing, place: Place, payload: Payload) -> Payload:
    """Seal a payload for its place, under a random nonce."""
    key = ring.sealing
    name = key.key_id.encode()
    nonce = os.urandom(_NONCE_BYTES)
    header = bytes([_VERSION, len(name)]) + name + key.check + nonce
    cipher = ring.opener(key.key_id, key.check)
    sealed = cipher.encrypt(nonce, payload.SerializeToString(), place.associated(header))
    metadata = {"encoding": ENCODING.encode(), WORKFLOW: place.workflow_id.encode()}
    return Payload(metadata=metadata, data=header + sealed)


def open_sealed(ring: KeyRing, place: Place, payload: Payload) -> Payload:
    """Open a payload that was sealed for this place.

    Raises:
        PayloadRefused: It was not.
        PayloadKeyUnknown: It names a key that the ring neither has nor refuses.
    """
    if payload.metadata.get("encoding") != ENCODING.encode():
        raise PayloadRefused(Refusal.PLAINTEXT)
    key_id, check, header, sealed = _split(payload.data)
    try:
        cipher = ring.opener(key_id, check)
        opened = cipher.decrypt(header[-_NONCE_BYTES:], sealed, place.associated(header))
    except KeyIdRefused:
        raise PayloadRefused(Refusal.KEY_REFUSED) from None
    except KeyIdUnknown:
        raise PayloadKeyUnknown(key_id) from None
    except InvalidTag:
        raise PayloadRefused(Refusal.NOT_AUTHENTIC) from None
    try:
        return Payload.FromString(opened)
    except DecodeError:
        raise PayloadRefused(Refusal.UNREADABLE) from None


def claimed_workflow(payload: Payload) -> str:
    """The workflow id that a sealed payload claims: not authentic before it has opened.

    Raises:
        PayloadRefused: It claims none.
    """
    try:
        claimed = payload.metadata[WORKFLOW].decode() if WORKFLOW in payload.metadata else ""
    except UnicodeDecodeError:
        claimed = ""
    if not claimed:
        raise PayloadRefused(Refusal.PLAINTEXT)
    return claimed


@dataclass(frozen=True)
class SealingCodec(PayloadCodec, WithSerializationContext):
    """Seals what goes to Temporal, opens what comes; the SDK tells it the place."""

    ring: KeyRing = field(repr=False)
    place: Place | None = None
    unopened: Callable[[bool], None] | None = field(default=None, repr=False, compare=False)
    """Told of every payload that is not opened: whether its key is unknown."""

    def with_context(self, context: SerializationContext) -> "SealingCodec":
        """The codec for the payloads of one workflow, or of an activity that it started."""
        match context:
            case WorkflowSerializationContext() | ActivitySerializationContext():
                workflow_id = context.workflow_id
                place = Place.of(context.namespace, workflow_id) if workflow_id else None
                return SealingCodec(self.ring, place, self.unopened)
        return SealingCodec(self.ring, unopened=self.unopened)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal each payload.

        Raises:
            ContextMissing: They belong to no workflow.
        """
        place = self._known_place()
        return [seal(self.ring, place, one) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open each payload; in the place of a refused one comes a mark (see above).

        Raises:
            PayloadKeyUnknown: One names a key that the ring neither has nor refuses.
            ContextMissing: They belong to no workflow.
        """
        place = self._known_place()
        return [self._opened(place, one) for one in payloads]

    def _opened(self, place: Place, payload: Payload) -> Payload:
        try:
            return open_sealed(self.ring, place, payload)
        except PayloadRefused as error:
            self._tell(key_unknown=False)
            _log.warning(
                "%(reason)s: a payload of %(workflow_id)s was refused",
                {"reason": error.refusal, "workflow_id": place.workflow_id},
            )
            return Payload(
                metadata={"encoding": REFUSED_ENCODING.encode()}, data=error.refusal.encode()
            )
        except PayloadKeyUnknown as error:
            self._tell(key_unknown=True)
            # In quotes: a forger chooses the id.
            _log.error(
                "payload-key-unknown: '%(key_id)s', in a payload of %(workflow_id)s. Give this "
                "process that key, or, if it is not one of this deployment, put <id>:refused into "
                "keyfill_payload_keys",
                {"key_id": error.key_id, "workflow_id": place.workflow_id},
            )
            raise

    def _tell(self, *, key_unknown: bool) -> None:
        if self.unopened is not None:
            self.unopened(key_unknown)

    def _known_place(self) -> Place:
        if self.place is None:
            raise ContextMissing("a payload outside of any workflow")
        return self.place


class RefusedPayloads(EncodingPayloadConverter):
    """Refuses the mark of a refused payload, in the worker as in a client."""

    @property
    def encoding(self) -> str:
        """The mark's encoding."""
        return REFUSED_ENCODING

    def to_payload(self, value: object) -> Payload | None:
        """Make none: no value is one."""
        del value
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> object:
        """Refuse it.

        Raises:
            PayloadRefused: always.
        """
        del type_hint
        raise PayloadRefused(payload.data[:64].decode(errors="replace"))


def codec_of(
    payload_keys: str | None, unopened: Callable[[bool], None] | None = None
) -> SealingCodec | None:
    """The codec of a deployment's secret `payload_keys`; None without one, as in development.

    `unopened` is told of every payload that is not opened: whether its key is unknown.

    Raises:
        KeyRingError: if the secret cannot be used.
    """
    if payload_keys is None:
        return None
    return SealingCodec(KeyRing.read(payload_keys), unopened=unopened)


def _split(data: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Key id, check value, whole header, and ciphertext with tag."""
    if len(data) < 2 or data[0] != _VERSION:
        raise PayloadRefused(Refusal.MALFORMED)
    ends = 2 + data[1]
    header_ends = ends + CHECK_BYTES + _NONCE_BYTES
    if not data[1] or len(data) < header_ends + _TAG_BYTES:
        raise PayloadRefused(Refusal.MALFORMED)
    try:
        key_id = data[2:ends].decode("ascii")
    except UnicodeDecodeError:
        raise PayloadRefused(Refusal.MALFORMED) from None
    return key_id, data[ends : ends + CHECK_BYTES], data[:header_ends], data[header_ends:]
