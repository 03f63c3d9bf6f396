"""How the connection to Temporal is protected: TLS and API key, from the SDK's own environment.

`TEMPORAL_TLS`, `TEMPORAL_TLS_SERVER_CA_CERT_PATH`, `TEMPORAL_TLS_CLIENT_CERT_PATH`,
`TEMPORAL_TLS_CLIENT_KEY_PATH`, `TEMPORAL_API_KEY` and their like, or a profile of the file that
`TEMPORAL_CONFIG_FILE` names (https://docs.temporal.io/develop/environment-configuration). A server
on this machine is reached without, unless `TEMPORAL_TLS` says otherwise: the embedded one speaks no
TLS, and is never sent an API key.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from temporalio.envconfig import ClientConfigProfile
from temporalio.service import TLSConfig

_TRUE: Final = frozenset({"true", "1"})


class TransportRefused(Exception):
    """The connection is not protected as it must be; the message is one sentence, what to do."""


@dataclass(frozen=True)
class Transport:
    """How to connect.

    Attributes:
        tls: False for none, True for the system's authorities, or what the environment says, which
            may hold the client's private key.
        api_key: Sent with every call, or None.
        metadata: gRPC metadata sent with every call.
    """

    tls: bool | TLSConfig = field(default=False, repr=False)
    api_key: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


PLAIN: Final = Transport()


def is_loopback(address: str) -> bool:
    """Whether `host:port` names this machine by a loopback address or as localhost."""
    host = address.rpartition(":")[0].strip("[]") or address
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def transport_to(
    address: str, *, required: bool, environment: Mapping[str, str] | None = None
) -> Transport:
    """The transport that the environment configures for an address.

    Args:
        address: `host:port`.
        required: Refuse what would go unencrypted to another machine, as outside development.
        environment: Instead of the process's.

    Raises:
        TransportRefused: if TLS is required and not configured, or the configuration is unusable.
    """
    variables = os.environ if environment is None else environment
    explicit = variables.get("TEMPORAL_TLS", "").lower() in _TRUE
    if is_loopback(address) and not explicit:
        return PLAIN
    try:
        profile = ClientConfigProfile.load(
            disable_file="TEMPORAL_CONFIG_FILE" not in variables,
            override_env_vars=dict(variables),
        )
        configured = profile.to_client_connect_config()
    except (OSError, RuntimeError, ValueError) as error:
        raise TransportRefused(
            f"Mend the TEMPORAL_ variables of TLS: {type(error).__name__}."
        ) from error
    tls = configured.get("tls") or False
    if required and not tls:
        raise TransportRefused(
            f"Set TEMPORAL_TLS for {address}: Temporal on another machine is reached by TLS only."
        )
    return Transport(
        tls=tls,
        api_key=configured.get("api_key"),
        metadata=configured.get("rpc_metadata") or {},
    )
