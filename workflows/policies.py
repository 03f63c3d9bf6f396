"""Every deadline, timeout and retry of the workflows in one place, each with its reason."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from temporalio.common import RetryPolicy

from ceremony.checks import RESEND_SECONDS, SMS_CODE_SECONDS
from ceremony.qr import VALID_SECONDS
from ceremony.stages import Stage

QR_CODE: Final = timedelta(seconds=VALID_SECONDS)
"""A QR code is on a screen in front of a person; two minutes are enough to scan it."""
SMS_CODE: Final = timedelta(seconds=SMS_CODE_SECONDS)
"""NIST SP 800-63B-4 section 3.1.3.2: ten minutes at most."""
RESEND: Final = timedelta(seconds=RESEND_SECONDS)
"""An SMS may take a minute; asking sooner only costs money."""
RESEND_SLACK: Final = timedelta(seconds=5)
"""The API counts that minute by its own clock, and a signal takes a moment to be handled."""

STAGE_DEADLINES: Final[Mapping[Stage, timedelta]] = MappingProxyType(
    {
        # The technician stands at the terminal and the first administrator was called.
        Stage.AWAITING_APPLICATION: timedelta(minutes=15),
        # The second administrator may be in a meeting, but not away for the day.
        Stage.AWAITING_REVIEW: timedelta(hours=4),
        # An approval is for a load that is about to happen.
        Stage.AWAITING_CONFIRMATION: timedelta(hours=1),
        # The terminal may lose its network at the worst moment and find it again tomorrow.
        Stage.AWAITING_RECEIPT: timedelta(hours=24),
    }
)

RECORD_TIMEOUT: Final = timedelta(seconds=10)
"""One transaction on a database that may be busy; nobody outside is waited for."""
RECORD_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=10),
)
"""For ever: a statement that was acknowledged is recorded as soon as the database is back."""
RECORD_LOCAL_THRESHOLD: Final = timedelta(seconds=10)
"""Below it a retry stays within the workflow task; above it a durable timer waits."""

KEY_TIMEOUT: Final = timedelta(seconds=30)
"""An HSM under load; one attempt more is harmless, because a release is find-or-create."""
KEY_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=10),
)
"""For ever: only the key worker knows whether a key exists, so only its answer may end this."""

SMS_TIMEOUT: Final = timedelta(seconds=30)
"""One call of the provider, whose client gives up earlier by itself."""
SMS_CODE_WITHIN: Final = timedelta(minutes=5)
"""A code that comes later than this finds nobody waiting; a new one may be asked for."""
NOTICE_WITHIN: Final = timedelta(hours=1)
"""A notice is worth having late, but not tomorrow."""
LAST_NOTICE_WITHIN: Final = timedelta(minutes=1)
"""The workflow must close, so that the terminal may ask again; nobody waits for this SMS."""
SMS_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)
"""Only what was surely not sent raises and comes here; the rest is an outcome."""

SYNC_TIMEOUT: Final = timedelta(minutes=30)
"""200,000 terminals over a slow feed, each with two signatures to verify."""
SYNC_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    maximum_interval=timedelta(minutes=1),
    maximum_attempts=5,
)
"""The schedule comes again; a feed that stays away is for people to see."""

ORDER_TIMEOUT: Final = timedelta(seconds=30)
"""An HSM under load destroys an object; one attempt more is harmless."""
ORDER_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(minutes=1)
)
"""For ever: officers have decided, and only the key worker knows what became of it."""

NOTE_TIMEOUT: Final = timedelta(minutes=5)
"""A page of a thousand subjects, each with a few entries to verify, on a busy key worker."""
NOTE_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(minutes=1)
)
"""For ever: until the key worker has seen it, a revocation can be undone in the database."""

CHANGE_AGAIN: Final = timedelta(minutes=1)
"""Where two clocks do not agree yet that a change is due."""
CHANGE_LAST_LOOK: Final = timedelta(minutes=5)
"""So long before a change is due the records are looked at again: it may have been withdrawn where
nobody told its workflow, and what is due the key worker withdraws no more."""
CHANGE_TOLD_WITHIN: Final = timedelta(days=1)
"""For as long as a change waits, and at least for so long. A provider that is away for longer keeps
no change from ending; the audit trail says so."""
CHANGE_SMS_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=10)
)
"""There is time: the change waits for longer than most outages last."""

EXPORTS_UNANSWERED: Final = 3
"""Deliveries in a row without an answer: the back office is away, and not only one key's matter."""
EXPORT_EVERY: Final = timedelta(minutes=1)
"""How often the back office is brought what it lacks; a pass that finds nothing is short."""
EXPORTS_OF_A_PASS: Final = 200
"""Two activities each: a pass stays far below the limit of a workflow's history."""
EXPORT_WRAPPED_WITHIN: Final = timedelta(minutes=10)
"""A key worker that is away for longer ends the pass; the next one asks again."""
EXPORT_TIMEOUT: Final = timedelta(minutes=1)
"""One call of the back office, whose client gives up earlier by itself."""
EXPORT_RETRIES: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
"""A hiccup is passed over here; a back office that is away is asked again by the next pass."""
