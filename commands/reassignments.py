"""Terminal entries that officers sign too: another EPP, device key or administrator.

The back office signs first; it puts what the officers signed into its feed.
"""

import typer

from ceremony.eppcertificate import EntryError
from ceremony.keys import KeyRefused, SigningKey
from ceremony.registry import (
    VerifiedTerminal,
    envelope_statements,
    read_terminal_entry,
    seal_envelope,
)
from ceremony.signing import sign
from ceremony.statements import TerminalEntry
from ceremony.trust import Trust
from ceremony.verification import StatementError, peek
from commands.options import Exit, leave


def is_terminal_entry(envelope: str) -> bool:
    """Whether an envelope claims to hold a terminal's entry; it is not verified."""
    try:
        return isinstance(peek(envelope_statements(envelope)[0]).payload, TerminalEntry)
    except (EntryError, StatementError):
        return False


def signed_terminal(
    envelope: str, officer: SigningKey, trust: Trust, *, now: int, ask: bool
) -> str:
    """Show a terminal's entry, and give it with the officer's signature if that is wanted.

    One that does not verify, and one that the officer has signed, is given as it is.
    """
    try:
        verified = read_terminal_entry(envelope, trust, now=now)
    except EntryError as error:
        typer.echo(f"A terminal's entry does not count: {error.reason}.", err=True)
        return envelope
    _show(verified, trust)
    if officer.kid in verified.officers or (ask and not typer.confirm("Sign this entry?")):
        return envelope
    try:
        signature = sign(verified.entry, officer)
    except KeyRefused:
        leave(Exit.USAGE, "This key cannot sign entries.")
    return seal_envelope([*envelope_statements(envelope), signature])


def _show(verified: VerifiedTerminal, trust: Trust) -> None:
    entry = verified.entry
    shown = {
        "terminal": entry.terminal_no,
        "model": entry.model,
        "branch": entry.branch,
        "first": entry.first,
        "second": entry.second,
        "epp": verified.epp.fingerprint,
        "device key": verified.device_key.public_key.kid,
        "seq": entry.seq,
        "entry": verified.digest,
        "signatures": f"{len(verified.officers)} (other administrators: {trust.officer_threshold})",
    }
    typer.echo("\n".join(f"{name:<11} {value}" for name, value in shown.items()) + "\n")
