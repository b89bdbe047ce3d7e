"""Where a server listens, and which key it asks for: refused, before any work starts, where all could ask."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from byheart.errors import ArtifactError, SettingsError

KEY_VARIABLE = "BYHEART_API_KEY"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        host: a name or an address of this machine.
        port: 0: any free one.
        api_keys: of which a client shows one; none: whoever reaches it is answered. Not shown when printed.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(
        cls, host: str, port: int, api_key_file: Path | None = None, environment: Mapping[str, str] = os.environ
    ) -> Self:
        """An address from plain values.

        Args:
            host: as above.
            port: as above.
            api_key_file: a key a line; None: the key in ``environment``, where there is one.
            environment: looked at for BYHEART_API_KEY.

        Raises:
            SettingsError: there is no such port or host, no usable key in the file, or none at all where others than
                this machine could ask.

        Example:
            >>> Address.parse("127.0.0.1", 8080, environment={"BYHEART_API_KEY": "k3y"})
            Address(host='127.0.0.1', port=8080)
        """
        if not 0 <= port <= _HIGHEST_PORT:
            raise SettingsError(f"--port {port}: allowed are 1 to {_HIGHEST_PORT}, and 0 for any free one")
        api_keys = _keys(api_key_file, environment)
        address = cls(host, port, api_keys)
        if not api_keys and not address.is_loopback:
            raise SettingsError(
                f"--host {host}: other machines could ask there, and an adapter gives its content to whoever asks; put "
                f"a key into a file and give --api-key-file FILE, or set {KEY_VARIABLE}; or keep to 127.0.0.1"
            )
        return address

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can ask.

        Raises:
            SettingsError: the host is no name or address.
        """
        return all(ipaddress.ip_address(found.partition("%")[0]).is_loopback for _, found in self._resolved())

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6."""
        return self._resolved()[0][0]

    def refuse_taken(self) -> None:
        """Makes sure that nobody listens there yet.

        Raises:
            ArtifactError: somebody does, or this machine has no such address.
        """
        with socket.socket(self.family, socket.SOCK_STREAM) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise self.cannot_listen(error) from error

    def cannot_listen(self, error: OSError) -> ArtifactError:
        """What is told when the system refuses the address."""
        return ArtifactError(
            f"cannot listen on {self.host} port {self.port}: {error.strerror or error}; choose another --port, "
            "or an address of this machine as --host"
        )

    def _resolved(self) -> list[tuple[socket.AddressFamily, str]]:
        try:
            found = socket.getaddrinfo(self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"--host {self.host!r} is no name or address of this machine: {error}") from error
        return [(family, str(where[0])) for family, *_, where in found]


def _keys(path: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys; what is told of them when they cannot be used holds none of them."""
    if path is None:
        if KEY_VARIABLE not in environment:
            return ()
        where, lines = KEY_VARIABLE, [environment[KEY_VARIABLE]]
    else:
        try:
            where, lines = str(path), path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"--api-key-file: cannot read {path}: {reason}") from error
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise SettingsError(f"{where} holds no key; put one there, of letters, digits and signs, without spaces")
    if not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
        raise SettingsError(f"{where}: a key may hold ASCII letters, digits and signs alone, and no spaces")
    return keys
