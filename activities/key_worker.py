"""The key worker's activities: release, re-wrap and settle; nothing else runs on its queue."""

from temporalio import activity

from ceremony.messages import ReleaseCommand, ReleaseOutcome, SettleCommand, Settlement
from keymanagement.release import KeyRelease
from keymanagement.settlement import KeySettlement


class KeyWorker:
    """Answers commands from Temporal; whoever sends one is believed for nothing."""

    def __init__(self, release: KeyRelease, settlement: KeySettlement) -> None:
        """Bind release and settlement."""
        self._release = release
        self._settlement = settlement

    @activity.defn
    def release_key(self, command: ReleaseCommand) -> ReleaseOutcome:
        """Release or re-wrap the key that a confirmation asks for, or say why not."""
        return self._release.release(command)

    @activity.defn
    def settle_key(self, command: SettleCommand) -> Settlement:
        """Settle a released key by its receipt, or as unconfirmed if none came."""
        return self._settlement.settle(command)
