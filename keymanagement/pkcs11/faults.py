"""What can go wrong with an HSM, as one typed error each; no message holds a PIN or a key."""

from keymanagement.port import KeyManagementError


class HsmError(KeyManagementError):
    """The HSM cannot serve, or must not be used as it is set up."""


class ModuleMissing(HsmError):
    """There is no PKCS#11 module at the path that was set, or it does not load."""


class TokenMissing(HsmError):
    """The module has no token of the label that was set."""


class PinRefused(HsmError):
    """The token refused the PIN, or one more wrong one would lock it; it is not tried again."""


class HsmUnavailable(HsmError):
    """The module failed, and failed again after it was started anew; the call may be repeated."""


class ModuleTooWeak(HsmError):
    """The module does not enforce a rule that this deployment asks for, or lacks a mechanism."""


class HsmKeyInvalid(HsmError):
    """A key in the HSM is missing, or has not exactly the attributes that it must have."""


class TerminalUntrusted(HsmError):
    """The HSM's security officer has not marked this EPP's key as trusted."""
