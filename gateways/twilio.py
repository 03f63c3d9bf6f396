"""Twilio: sends messages.

Creating a message at Twilio is not idempotent and has no key to make it so. Therefore nothing is
repeated here, and every outcome says which of three things is known: surely sent, surely not
sent, or nobody knows. What is sure is decided narrowly: only a connection that never stood, a
429, and an overfull queue count as not sent.
"""

import logging
import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import requests
from twilio.base.exceptions import (
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import NewConnectionError

from ceremony.sms import (
    SmsAmbiguous,
    SmsError,
    SmsReceipt,
    SmsRefused,
    SmsUnavailable,
    region_of,
)

API: Final = "https://api.twilio.com"

# Twilio's error dictionary: 20429 too many requests, 21611 the sender's queue is full.
_NOT_TAKEN: Final = frozenset({20429, 21611})
_TOO_MANY_REQUESTS: Final = 429
_REQUEST_TIMEOUT: Final = 408
_SID: Final = re.compile(r"[A-Z]{2}[0-9A-Za-z]{1,62}\Z")


class _OneShotHttp(HttpClient):
    """Twilio's HTTP port over requests: another host, one connection a call, nothing logged."""

    def __init__(self, base_url: str, timeout: float) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False, timeout=timeout)
        self._base = urlsplit(base_url)

    def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send one request; Twilio's own client would log its URL and headers at INFO.

        Raises:
            SmsUnavailable: the connection never stood.
            SmsAmbiguous: anything that went wrong afterwards.
        """
        target = urlsplit(uri)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        try:
            # A pooled connection that the other side has closed meanwhile would turn an ordinary
            # message into an ambiguous one, so each message has a connection of its own.
            with requests.Session() as session:
                answer = session.request(
                    method.upper(),
                    urlunsplit(target),
                    params=None if params is None else {k: str(v) for k, v in params.items()},
                    data=None if data is None else dict(data),
                    headers=headers,
                    auth=auth,
                    timeout=timeout or self.timeout,
                    allow_redirects=False,
                )
                # Not `.text`: guessing the charset would put the body through another logger.
                text = answer.content.decode("utf-8", "replace")
                return Response(answer.status_code, text, dict(answer.headers))
        except requests.RequestException as error:
            problem = _transport_problem(error)
        # Raised out here, because the caught error holds the request, number and text included.
        raise problem


def _transport_problem(error: requests.RequestException) -> SmsError:
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return SmsUnavailable("connect-failed")
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, NewConnectionError):
        return SmsUnavailable("connect-failed")
    if cause is not None and any(isinstance(x, ssl.SSLCertVerificationError) for x in cause.args):
        return SmsUnavailable("certificate-refused")
    if isinstance(error, requests.Timeout):
        return SmsAmbiguous("timeout")
    return SmsAmbiguous("connection-lost")


class TwilioGateway:
    """Sends SMS through Twilio's Messages resource.

    Args:
        account_sid: the account (`AC…`).
        secret: the account's auth token, or the secret of `key_sid`.
        sender: the sending number in E.164, or a messaging service (`MG…`).
        key_sid: an API key (`SK…`); None signs in as the account itself.
        status_callback: the exact public URL of `POST /v1/sms/status`, None for no callbacks.
        base_url: scheme and host of the API; http only for a loopback address.
        timeout: seconds to wait for the connection and again for each read.
        regions: regions (ISO 3166-1 alpha-2) that may be written to; None allows all.
        discard: have Twilio keep neither the text nor the whole number (`ContentRetention`,
            `AddressRetention`); an account without message redaction refuses such a message.
    """

    repeatable = False

    def __init__(
        self,
        account_sid: str,
        secret: str,
        sender: str,
        *,
        key_sid: str | None = None,
        status_callback: str | None = None,
        base_url: str = API,
        timeout: float = 10.0,
        regions: frozenset[str] | None = None,
        discard: bool = True,
    ) -> None:
        _check_base_url(base_url)
        client = Client(  # type: ignore[no-untyped-call]
            username=key_sid or account_sid,
            password=secret,
            account_sid=account_sid,
            http_client=_OneShotHttp(base_url, timeout),
        )
        self._messages = client.messages
        self._regions = regions
        self._terms = {
            "messaging_service_sid" if sender.startswith("MG") else "from_": sender,
            "risk_check": "enable",
        }
        if status_callback is not None:
            self._terms["status_callback"] = status_callback
        if discard:
            self._terms |= {"content_retention": "discard", "address_retention": "obfuscate"}

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Send one message, once.

        Args:
            step: the caller's name for this message; Twilio has no use for it.
            to: the number, E.164.
            text: the message.

        Raises:
            SmsRefused: Twilio's final no (its error code), or a region that is not allowed.
            SmsUnavailable: surely not sent.
            SmsAmbiguous: perhaps sent: a timeout, a lost connection, a 5xx, an unreadable answer.
        """
        if self._regions is not None and region_of(to) not in self._regions:
            raise SmsRefused("region-not-allowed")
        problem: SmsError
        try:
            sid = self._messages.create(to=to, body=text, **self._terms).sid
        except (TwilioRestException, TwilioServiceException) as error:
            problem = _answered_problem(error.status, error.code)
        except (TwilioException, ValueError, TypeError, KeyError, AttributeError):
            problem = SmsAmbiguous("unreadable-answer")
        else:
            if isinstance(sid, str) and _SID.match(sid):
                return SmsReceipt(sid)
            problem = SmsAmbiguous("unreadable-answer")
        # Raised out here, because Twilio's own error repeats the number.
        raise problem


def _answered_problem(status: object, code: object) -> SmsError:
    # Where the answer holds no code of Twilio's, its client repeats the status there.
    number = code if isinstance(code, int) and code != status else None
    if status == _TOO_MANY_REQUESTS or number in _NOT_TAKEN:
        return SmsUnavailable(str(number) if number else f"http-{status}")
    if not isinstance(status, int) or status >= 500 or status == _REQUEST_TIMEOUT:
        return SmsAmbiguous(f"http-{status}")
    return SmsRefused(str(number) if number else f"http-{status}")


def _check_base_url(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("base_url must be scheme and host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("base_url must be scheme and host")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("base_url must be https: the account's secret travels with each call")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
