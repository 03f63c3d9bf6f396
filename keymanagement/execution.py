"""Carrying out what officers order about a key: settle it, mark it compromised, destroy it.

The key worker believes nobody who brings an order: the envelope itself comes, its officers'
signatures are verified here, and the journal judges it by where the key really stands. Intent
first, then what the key manager still holds, then the outcome; a repeat after a crash goes on.
"""

import logging
import time
from collections.abc import Callable

from ceremony.keylife import KeyAct
from ceremony.keyorders import KeyOrder, read_key_order, require_current
from ceremony.messages import KeyOrderAnswer, KeyOrderNote
from ceremony.trust import Trust
from ceremony.verification import StatementError
from keymanagement.archive import Archive
from keymanagement.journal import Journal
from keymanagement.orderrows import CarriedOrder, OrderIntent
from keymanagement.port import KeyBinding, KeyManager

_log = logging.getLogger("keyfill.execution")


class OrderExecution:
    """Carries out key orders; safe for threads and several key workers on one journal."""

    def __init__(
        self,
        *,
        trust: Trust,
        journal: Journal,
        manager: KeyManager,
        archive: Archive,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind what an order needs; `clock` gives Unix seconds."""
        self._trust = trust
        self._journal = journal
        self._manager = manager
        self._archive = archive
        self._clock = clock

    def execute(self, note: KeyOrderNote) -> KeyOrderAnswer:
        """Carry out an order, or say why not; repeatable, with the same answer for ever.

        Raises:
            KeyManagementError: if the journal or the key manager fails; the call may be repeated.
        """
        try:
            order = read_key_order(note.order, self._trust)
            if self._journal.order_of(order.digest) is None:
                require_current(order, now=self._now())
        except StatementError as error:
            return KeyOrderAnswer(refused=error.reason)
        carried = self._carried(order)
        # A refused order moved nothing, and may name another terminal than the key's.
        moved = carried.refused is None
        key = self._journal.key_of(order.request_id) if moved else None
        retired = self._journal.retired_beside(order.request_id) if moved else ()
        self._archive.publish_order(order, carried, key, retired, self._now())
        return KeyOrderAnswer(state=carried.state, refused=carried.refused)

    def _carried(self, order: KeyOrder) -> CarriedOrder:
        now = self._now()
        begun = self._journal.begin_order(
            OrderIntent(
                digest=order.digest,
                request_id=order.request_id,
                terminal_no=order.terminal_no,
                act=order.act,
                actor=order.actor,
                intent_at=now,
            )
        )
        if begun.done_at is None:
            _log.warning(
                "officers order %(act)s for the key of %(request_id)s",
                {"act": order.act, "request_id": order.request_id},
            )
            if order.act is KeyAct.DESTROY:
                self._manager.forget(KeyBinding(order.terminal_no, order.request_id))
        return self._journal.finish_order(order.digest, now)

    def _now(self) -> int:
        return int(self._clock())
