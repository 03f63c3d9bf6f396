"""Holdings: which secret each role holds (design, section 4), and how large it is."""

from typing import Final, Literal

Role = Literal["api", "ceremony", "keys", "codec", "operator"]

DEVELOPMENT_MARK: Final = "development:"
"""Prefix of every secret that `keyfill init` makes; refused outside development."""

SECRET_BYTES: Final = {
    "qr_key": 64,
    "edge_key": 32,
    "session_key": 32,
    "sms_secret": 32,
    "outbox_key": 32,
    "kek": 32,
    "kek_previous": 32,
    "export_key": 32,
}
"""Exact sizes of the secrets that are keys; each is written as hexadecimal."""

HELD_BY: Final[dict[Role, tuple[str, ...]]] = {
    "api": ("payload_keys", "qr_key", "edge_key", "session_key"),
    "ceremony": ("payload_keys", "sms_secret", "edge_key"),
    "keys": (
        "payload_keys",
        "kek",
        "kdh_key",
        "kdh_certificate",
        "record_key",
        "sms_secret",
        "qr_key",
        "edge_key",
    ),
    "codec": ("payload_keys",),
    "operator": (),
}
"""Who holds what (design, section 4); what a gateway adds is checked with the gateway.

`payload_keys` may be missing in development. The operator's commands read the ceremony's folder.
"""

SM2_HELD: Final = ("kdh_sm2_key", "kdh_sm2_certificate")
"""What the key worker also holds where terminals have SM2 EPPs: the KDH's SM2 identity."""

HSM_HELD: Final = ("pkcs11_pin",)
"""What the key worker holds instead of the KDH's keys, where its key manager is an HSM."""

ROTATED: Final = ("kdh_next_key", "kdh_next_certificate", "kek_previous")
"""What the key worker also holds while KDH or KEK are rotated; no other role ever does."""
