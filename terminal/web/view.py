"""What a page of the kiosk shows, worked out from the record, the load and the EPP."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ceremony.qr import RENEWAL_SECONDS, VALID_SECONDS
from ceremony.stages import BEFORE_RELEASE, Stage
from ceremony.state import CONFIRMATION_TRIES
from ceremony.statements import ReceiptPayload
from ceremony.verification import peek
from terminal.epp import MASTER_KEY, Epp
from terminal.epperrors import EppError
from terminal.loadstate import LoadState
from terminal.web.background import BackgroundLoad, Stopped
from terminal.web.browserscreen import Told

_STALE_QR: Final = VALID_SECONDS - RENEWAL_SECONDS


class Screen(StrEnum):
    """The screens, each with a template of its name."""

    START = "start"
    OPENING = "opening"
    SCAN = "scan"
    REVIEW = "review"
    APPROVAL = "approval"
    LOADING = "loading"
    ENDED = "ended"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """The key in the EPP: its KCV, and when it came, Unix seconds."""

    kcv: str
    loaded_at: int


@dataclass(frozen=True, slots=True)
class View:
    """One screen with all that it shows.

    Attributes:
        screen: which one.
        load: the record of the load; None on the start screen.
        told: what the load told last.
        stopped: why it stands still; None if it does not.
        qr_text: the code to scan; None if there is none that is still valid.
        renewal_in: seconds until the next code, None if unknown.
        tries_left: how often number and approval code may still be typed.
        steps: the acts of loading: done, now or to come.
        epp_error: the EPP's refusal, as the receipt names it.
        cancellable: whether a cancellation is in place.
    """

    screen: Screen
    load: LoadState | None
    told: Told
    stopped: Stopped | None
    qr_text: str | None = field(repr=False)
    renewal_in: int | None
    tries_left: int
    steps: tuple[tuple[str, str], ...]
    epp_error: str | None
    cancellable: bool


def view_of(background: BackgroundLoad) -> View:
    """Work out what is on the screen now."""
    # This order: what the load tells is told after it is on record.
    told = background.screen.told
    load, stopped = background.state, background.stopped
    shown = None if load is None else _renewal(told, background.server_time())
    return View(
        screen=_screen(background, load, told),
        load=load,
        told=told,
        stopped=stopped,
        qr_text=None if shown is None else shown[0],
        renewal_in=None if shown is None else shown[1],
        tries_left=CONFIRMATION_TRIES - (0 if load is None else load.mistyped),
        steps=_steps(load, told),
        epp_error=None if load is None else _epp_error(load),
        cancellable=load is not None and load.stage in BEFORE_RELEASE,
    )


def loaded_key(epp: Epp) -> LoadedKey | None:
    """The key that is in the EPP, None if none is.

    Raises:
        EppStoreError: if the EPP's memory is damaged.
    """
    try:
        (detail,) = epp.get_key_detail(MASTER_KEY)
        return LoadedKey(epp.generate_kcv().key_check_value, detail.loaded_at)
    except EppError:
        return None


_OF_STAGE: Final = {
    Stage.AWAITING_APPLICATION: Screen.SCAN,
    Stage.AWAITING_REVIEW: Screen.REVIEW,
    Stage.AWAITING_CONFIRMATION: Screen.LOADING,
    Stage.AWAITING_RECEIPT: Screen.LOADING,
}


def _screen(background: BackgroundLoad, load: LoadState | None, told: Told) -> Screen:
    if background.stopped is not None:
        return Screen.STOPPED
    if load is None:
        return Screen.OPENING if background.starting else Screen.START
    if load.ended:
        # A loaded key is told with both check values, the server's may still be under way.
        loading = load.stage is Stage.LOADED and background.busy
        return Screen.LOADING if loading else Screen.ENDED
    if told.asking:
        return Screen.APPROVAL
    if load.stage is None:
        return Screen.OPENING
    return _OF_STAGE.get(load.stage, Screen.LOADING)


def _renewal(told: Told, server_time: float | None) -> tuple[str | None, int | None]:
    """The code's text while it is valid, and the seconds until the next one."""
    if told.qr is None:
        return None, None
    if server_time is None:
        return told.qr.text, None
    left = told.qr.expires_at - server_time
    return (told.qr.text if left > 0 else None), max(0, math.ceil(left - _STALE_QR))


def _steps(load: LoadState | None, told: Told) -> tuple[tuple[str, str], ...]:
    """Confirming, taking the key in, telling Keyfill: each with `done`, `now` or `todo`."""
    if load is None:
        return ()
    reached = 0
    if "token" in told.acts or load.token is not None or load.receipt is not None:
        reached = 1
    if load.receipt is not None:
        reached = 2
    if load.ended:
        reached = 3
    names = ("confirming", "importing", "reporting")
    return tuple(
        (name, "done" if at < reached else "now" if at == reached else "todo")
        for at, name in enumerate(names)
    )


def _epp_error(load: LoadState) -> str | None:
    if load.receipt is None:
        return None
    payload = peek(load.receipt).payload
    return payload.error if isinstance(payload, ReceiptPayload) else None
