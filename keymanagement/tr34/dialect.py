"""The two dialects in which tokens are written, and where they differ on the wire.

TR-34's own examples are not DER, and EPPs were built against the examples (docs/adr/0012 has the
whole table). A terminal's model says which one its EPP reads; `strict-cms` is the default.
"""

from enum import StrEnum


class Dialect(StrEnum):
    """`STRICT_CMS` is RFC 5652 in DER; `ANNEXB_ERRATA` is annex B of TR-34-2019 as corrected."""

    STRICT_CMS = "strict-cms"
    ANNEXB_ERRATA = "annexb-errata"
