"""The key worker's activities: release, settlement, officers' orders, the registry; no others.

A passed timeout interrupts none of them in the middle: the next attempt finds what they wrote.
"""

from temporalio import activity

from ceremony.messages import (
    ChangeNote,
    ChangeNoted,
    ChangeWithdrawn,
    KeyOrderAnswer,
    KeyOrderNote,
    RegistryNoted,
    RegistryPage,
    ReleaseCommand,
    ReleaseOutcome,
    RevocationNote,
    RevocationNoted,
    SettleCommand,
    Settlement,
)
from keymanagement.execution import OrderExecution
from keymanagement.registrymemory import RegistryMemory
from keymanagement.release import KeyRelease
from keymanagement.settlement import KeySettlement


class KeyWorker:
    """Answers commands from Temporal; whoever sends one is believed for nothing."""

    def __init__(
        self,
        release: KeyRelease,
        settlement: KeySettlement,
        orders: OrderExecution,
        memory: RegistryMemory,
    ) -> None:
        """Bind release, settlement, officers' orders, and what is remembered of the registry."""
        self._release = release
        self._settlement = settlement
        self._orders = orders
        self._memory = memory

    @activity.defn(no_thread_cancel_exception=True)
    def release_key(self, command: ReleaseCommand) -> ReleaseOutcome:
        """Release or re-wrap the key that a confirmation asks for, or say why not."""
        return self._release.release(command)

    @activity.defn(no_thread_cancel_exception=True)
    def settle_key(self, command: SettleCommand) -> Settlement:
        """Settle a released key by its receipt, or as unconfirmed if none came."""
        return self._settlement.settle(command)

    @activity.defn(no_thread_cancel_exception=True)
    def order_key(self, note: KeyOrderNote) -> KeyOrderAnswer:
        """Settle, destroy or mark a key as officers signed it, or say why not."""
        return self._orders.execute(note)

    @activity.defn(no_thread_cancel_exception=True)
    def note_revocation(self, note: RevocationNote) -> RevocationNoted:
        """Remember for ever what an officer's revocation takes away, or say why not."""
        return self._memory.note_revocation(note)

    @activity.defn(no_thread_cancel_exception=True)
    def note_change(self, note: ChangeNote) -> ChangeNoted:
        """Look at one change of the registry; give when it takes effect, or why it never will."""
        return self._memory.note_change(note)

    @activity.defn(no_thread_cancel_exception=True)
    def withdraw_change(self, note: ChangeNote) -> ChangeWithdrawn:
        """Have a change that waits never take effect."""
        return self._memory.withdraw_change(note)

    @activity.defn(no_thread_cancel_exception=True)
    def note_registry(self, page: RegistryPage) -> RegistryNoted:
        """Look at a page of the registry, and remember what is newer than what is known."""
        return self._memory.note_registry(page)
