"""What servers are shown: credentials, sign-ins, and where tokens are kept."""

from __future__ import annotations

from garrison.identity.envelope import envelope_of
from garrison.identity.oauth.callers import CallerTokens
from garrison.identity.oauth.credentials import Credentials, Means
from garrison.identity.oauth.sign_in import SignIns
from garrison.identity.oauth.tokens import TokenStore
from garrison.identity.secrets import SecretsFile
from garrison.kernel.clock import Clock
from garrison.kernel.home import Home
from garrison.protocol.transports.outbound import Outbound
from garrison.telemetry.redaction import Redactor


class _Unmasked(Redactor):
    """Tokens come and go by the hour. They are in no message; a list of all there ever were would only grow."""

    def add(self, value: str) -> None:
        """Nothing is remembered."""


def means_of(home: Home, outbound: Outbound, clock: Clock, administrator: str) -> Means:
    """`administrator`: the principal of the admin key."""
    return Means(outbound, token_store(home, clock), CallerTokens(), clock, administrator)


def token_store(home: Home, clock: Clock) -> TokenStore:
    return TokenStore(sealed_tokens(home, clock), home.run / "locks")


def sealed_tokens(home: Home, clock: Clock) -> SecretsFile:
    """The file that tokens are kept in."""
    return SecretsFile(home.tokens, envelope_of(home), _Unmasked(), clock)


def credentials_of(means: Means) -> tuple[Credentials, SignIns]:
    credentials = Credentials(means)
    return credentials, SignIns(means, credentials)
