"""A PKCS#11 module in this process: loaded once, initialised for threads, started anew on demand.

`python-pkcs11` initialises a module with no arguments, which by PKCS#11 2.40 section 5.4 promises
that one thread alone calls it. So this module is initialised here instead, with
CKF_OS_LOCKING_OK: it then locks by itself. NSS softokn, which needs parameters, gets them on the
same way.

Even so a single lock is held around all work, unless the module is set to be called in parallel:
SoftHSM 2.6 keeps its promise and yet fails a search while another thread destroys an object.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import ClassVar, Final, Self

import pkcs11
from pkcs11 import _pkcs11 as binding

from keymanagement.pkcs11.faults import HsmUnavailable, ModuleMissing, TokenMissing

_OK: Final = 0x00
_CANT_LOCK: Final = 0x0A
_ALREADY_INITIALISED: Final = 0x191
_OS_LOCKING_OK: Final = 0x02


class _InitArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS; `parameters` is NSS's, where the standard has `pReserved`."""

    _fields_ = (
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("parameters", ctypes.c_char_p),
        ("reserved", ctypes.c_void_p),
    )


_Function = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)


class _FunctionList(ctypes.Structure):
    """The head of CK_FUNCTION_LIST."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("initialize", _Function),
        ("finalize", _Function),
    )


class Pkcs11Module:
    """One module of this process; use `load`. Safe for threads."""

    _loaded: ClassVar[dict[str, Self]] = {}
    _loading: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: str, parameters: str) -> None:
        """Load and initialise; `load` does it once for each path."""
        self._parameters = parameters.encode() or None
        self._gate = threading.Condition()
        self._callers = 0
        self._restarting = False
        self._serial = threading.RLock()
        self._locks_itself = True
        self.generation = 0
        try:
            library = ctypes.CDLL(path)
            functions = ctypes.POINTER(_FunctionList)()
            found = library.C_GetFunctionList(ctypes.byref(functions))
        except (OSError, AttributeError) as error:
            raise ModuleMissing(f"There is no PKCS#11 module at {path}.") from error
        if found != _OK:
            raise ModuleMissing(f"The PKCS#11 module at {path} does not load.")
        self._functions = functions.contents
        self._initialise()
        # without __init__, which would initialise again, and wrongly
        self._library = binding.lib.__new__(binding.lib, path)  # type: ignore[call-arg]

    @classmethod
    def load(cls, path: str, parameters: str = "") -> Self:
        """Load a module, or return the one that this process has loaded from `path`.

        Raises:
            ModuleMissing: if there is none.
            HsmUnavailable: if it cannot be initialised.
        """
        with cls._loading:
            known = cls._loaded.get(path)
            if known is None:
                known = cls._loaded[path] = cls(path, parameters)
            return known

    @contextmanager
    def calling(self, *, parallel: bool = False) -> Iterator[int]:
        """Call the module inside this block; gives the generation, which stands still in it.

        With `parallel`, other such blocks may run at the same time, if the module locks itself.
        """
        with self._gate:
            self._gate.wait_for(lambda: not self._restarting)
            self._callers += 1
        try:
            with nullcontext() if parallel and self._locks_itself else self._serial:
                yield self.generation
        finally:
            with self._gate:
                self._callers -= 1
                self._gate.notify_all()

    def restart(self, seen: int) -> None:
        """Start the module anew, unless somebody did since generation `seen`; not while calling.

        All sessions, logins and handles of the generation before are gone.

        Raises:
            HsmUnavailable: if it cannot be initialised.
        """
        with self._gate:
            self._gate.wait_for(lambda: not self._restarting)
            if self.generation != seen:
                return
            self._restarting = True
            self._gate.wait_for(lambda: self._callers == 0)
            try:
                self.generation += 1
                self._functions.finalize(None)
                self._initialise()
            finally:
                self._restarting = False
                self._gate.notify_all()

    def token(self, label: str) -> pkcs11.Token:
        """Find a token; call it inside `calling`.

        Raises:
            TokenMissing: if there is none, or more than one, of this label.
        """
        found = [token for token in self._library.get_tokens() if token.label == label]
        if len(found) != 1:
            raise TokenMissing(f"The PKCS#11 module has {len(found)} tokens {label!r}, not one.")
        return found[0]

    def _initialise(self) -> None:
        arguments = _InitArguments(flags=_OS_LOCKING_OK, parameters=self._parameters)
        answer = self._functions.initialize(ctypes.addressof(arguments))
        if answer == _CANT_LOCK:
            arguments.flags = 0
            answer = self._functions.initialize(ctypes.addressof(arguments))
            self._locks_itself = False
        if answer not in (_OK, _ALREADY_INITIALISED):
            raise HsmUnavailable(f"The PKCS#11 module does not start: {answer:#x}.")


_LOST: Final = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.ObjectHandleInvalid,
    pkcs11.KeyHandleInvalid,
    pkcs11.WrappingKeyHandleInvalid,
    pkcs11.DeviceError,
    pkcs11.DeviceMemory,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
    pkcs11.TokenNotRecognised,
    pkcs11.SlotIDInvalid,
    pkcs11.GeneralError,
    pkcs11.FunctionFailed,
    pkcs11.OperationActive,
    pkcs11.OperationNotInitialized,
    pkcs11.HostMemory,
    pkcs11.SessionCount,
)


def is_lost(error: pkcs11.PKCS11Error) -> bool:
    """Whether an error says that the session, login or device is gone, not that a rule was broken.

    `python-pkcs11` raises the bare base class for CKR_CRYPTOKI_NOT_INITIALIZED and for makers'
    own codes.
    """
    return type(error) is pkcs11.PKCS11Error or isinstance(error, _LOST)
