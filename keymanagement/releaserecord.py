"""The release record: the key worker's signed account of what a key rests on."""

from ceremony.keys import SigningKey
from ceremony.release_rule import Grant
from ceremony.signing import new_nonce, sign
from ceremony.statements import ReleaseRecordPayload
from keymanagement.port import KeyToken


class RecordSigner:
    """Signs release records with the record key, which is not the KDH's."""

    def __init__(self, key: SigningKey, audience: str) -> None:
        """Take the record key and the deployment's name."""
        self._key = key
        self._audience = audience

    def sign(self, grant: Grant, token: KeyToken, kcv_digest: str, now: int) -> str:
        """Sign the record of one release, as a statement text.

        Args:
            grant: what was proved.
            token: the first key token.
            kcv_digest: a keyed digest of the KCV; a plain one of 3 bytes could be guessed.
            now: Unix seconds.
        """
        payload = ReleaseRecordPayload(
            aud=self._audience,
            iat=now,
            nonce=new_nonce(),
            request_id=grant.request_id,
            terminal_no=grant.standing.terminal.entry.terminal_no,
            request=grant.request.digest,
            application=grant.application.digest,
            decision=grant.decision.digest,
            confirmation=grant.confirmation.digest,
            terminal_entry=grant.standing.terminal.digest,
            first_entry=grant.standing.first.digest,
            second_entry=grant.standing.second.digest,
            checks=grant.checks,
            key_algorithm=token.key_algorithm.value,
            token_digest=token.digest,
            kcv_digest=kcv_digest,
        )
        return sign(payload, self._key)
