"""The key policy that `keyfill init` writes: what is in force without it, and every field shown."""

from typing import Final

SAMPLE_POLICY: Final = """\
# Key policy: which key, and which key tokens, the terminals of each model get.
# The key worker reads it when it starts. docs/key-policy.md says what each field means.

# For every model that has no section of its own. Without a [default] section, a terminal of a
# model that is not named here gets no key.
[default]
# algorithm = "AES-128"            # left out: KEYFILL_KEY_ALGORITHM
# key_usage = "K1"                 # K1 protects key blocks; K0: for terminals without key blocks
# formats = ["tr34", "oaep-jws"]   # left out: all that carry the algorithm; SM4: "gm-envelope"
# tr34_dialect = "strict-cms"      # or "annexb-errata"
# tr34_cipher = "aes-128-cbc"      # or "des-ede3-cbc", for TDES keys only

# A model by the name that the ATM back office gives it; only what differs from [default].
# [model."Older 100"]
# algorithm = "TDES"
# tr34_dialect = "annexb-errata"
# tr34_cipher = "des-ede3-cbc"
"""
