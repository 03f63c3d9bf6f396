"""Taking the key token into the EPP, and the receipt that says what became of it."""

from ceremony.encoding import from_b64
from ceremony.stages import OPEN
from ceremony.statements import ReceiptPayload
from terminal.answers import TokenAnswer
from terminal.epp import MASTER_KEY
from terminal.epperrors import EppCode, EppError
from terminal.hosts import thumbprint
from terminal.keytoken import FORMAT, read_key_token
from terminal.loadsession import LoadSession
from terminal.transport import AnswerMalformed, ServerRefused

_OK = 200


def import_token(session: LoadSession, token: TokenAnswer) -> None:
    """Load the key; a receipt is on record afterwards, or the need for another confirmation.

    Raises:
        EppStoreError: if the EPP's memory is damaged.
    """
    data, terminal = from_b64(token.value), session.terminal
    try:
        _require_pinned(session, token.format, data)
        imported = terminal.epp.import_key_token(
            data, request_id=session.request_id, token_format=token.format
        )
    except EppError as error:
        session.kiosk.tell("refused-by-epp", code=error.code.value)
        if error.code is EppCode.RANDOM_INVALID:
            session.save(confirmation=None, token=None)
        else:
            write_receipt(session, error=error.code)
        return
    session.kiosk.tell("imported", kcv=imported.key_check_value)
    write_receipt(session, kcv=imported.key_check_value)


def _require_pinned(session: LoadSession, token_format: str, data: bytes) -> None:
    """The terminal's own list and pin, should the EPP have been set up with another."""
    profile = session.terminal.profile
    if token_format not in profile.formats:
        raise EppError(EppCode.FORMAT_INVALID, "the terminal asked for no token of this format")
    if token_format == FORMAT:
        _read_by_a_pin(data, profile.pins, session.now)
        return
    hosts = session.terminal.epp.host_certificates()
    if not hosts or not {thumbprint(one) for one in hosts}.issubset(profile.pins):
        raise EppError(EppCode.INVALID_CERT_STATE, "the EPP is bound to another KDH")


def _read_by_a_pin(data: bytes, pins: tuple[str, ...], now: int) -> None:
    for pin in pins[:-1]:
        try:
            read_key_token(data, pin, now=now)
        except EppError as error:
            if error.code is not EppCode.SIGNATURE_INVALID:
                raise
        else:
            return
    read_key_token(data, pins[-1], now=now)


def key_is_in(session: LoadSession) -> bool:
    """Whether the EPP took this request's key: a crash may have hidden it from the state file."""
    try:
        (detail,) = session.terminal.epp.get_key_detail(MASTER_KEY)
    except EppError:
        return False
    return detail.request_id == session.state.request_id


def acknowledge_key(session: LoadSession) -> None:
    """Write the receipt for a key that is in the EPP already."""
    write_receipt(session, kcv=session.terminal.epp.generate_kcv().key_check_value)


def write_receipt(
    session: LoadSession, *, kcv: str | None = None, error: EppCode | None = None
) -> None:
    """Put a receipt on record: the key is in, with its KCV, or refused with the EPP's error.

    What was typed for it is not needed any more, and forgotten.
    """
    receipt = session.sign(
        ReceiptPayload,
        request_id=session.request_id,
        epp_fingerprint=session.terminal.epp.fingerprint,
        token_digest=session.state.token_digest,
        outcome="loaded" if error is None else "refused",
        kcv=kcv,
        error=None if error is None else error.value,
        epp_proof=None,
    )
    session.save(receipt=receipt, kcv=kcv, approval=None)


def hand_in_receipt(session: LoadSession) -> None:
    """Send the receipt on record; the request has ended afterwards.

    Raises:
        ServerRefused: the server refused it, and the request is still open.
        AnswerMalformed: the server took it, and the request is still open.
    """
    session.kiosk.tell("receipt", kcv=session.state.kcv)
    try:
        answer = session.client.receipt(session.request_id, session.state.receipt or "")
    except ServerRefused:
        session.refresh(wait=0)
        if session.state.stage in OPEN:
            raise
        return
    if answer.stage in OPEN:
        raise AnswerMalformed(_OK)
    session.save(server_kcv=answer.kcv)
    session.refresh(wait=0)
