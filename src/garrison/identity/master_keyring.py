"""Master keys in the operating system's keyring: the desktop's secret service, macOS' keychain, and others.

The only module that imports `keyring` (extra `keyring`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import keyring
from keyring.errors import KeyringError, PasswordDeleteError

from garrison.identity.master_keys import HeldKeys, SourceName
from garrison.kernel.errors import Unavailable

SERVICE: Final = "garrison"


class KeyringKeys(HeldKeys):
    """One entry of the keyring for each home; `account` names it."""

    name: SourceName = "keyring"

    def __init__(self, account: str) -> None:
        super().__init__("the keyring of this user")
        self._account = account

    def where(self) -> dict[str, str]:
        return {"account": self._account}

    def read(self) -> str | None:
        try:
            return keyring.get_password(SERVICE, self._account)
        except KeyringError as error:
            raise _unusable(error) from error

    def write(self, text: str) -> None:
        try:
            if text:
                keyring.set_password(SERVICE, self._account, text)
            else:
                keyring.delete_password(SERVICE, self._account)
        except PasswordDeleteError:
            return  # there was none
        except KeyringError as error:
            raise _unusable(error) from error


def source(where: Mapping[str, str]) -> KeyringKeys:
    return KeyringKeys(where["account"])


def _unusable(error: Exception) -> Unavailable:
    hint = "Unlock it or set one up, or keep the master key elsewhere: `garrison secrets rekey --to file`"
    return Unavailable("secrets.keyring", f"The keyring cannot be used: {type(error).__name__}.", hint)
