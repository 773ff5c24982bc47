"""Azure's identities (azure-identity): who Stallwatch is, without a secret in its configuration."""

from typing import Final

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from stallwatch.errors import Permanent

SCHEDULER: Final = "https://durabletask.io/.default"
"""The scope of the Durable Task Scheduler."""


def default_credential() -> TokenCredential:
    """A managed or workload identity, the environment, or a login of Azure's tools, in the order of azure-identity."""
    return DefaultAzureCredential()


class Tokens:
    """Bearer tokens for the Durable Task Scheduler; azure-identity keeps them until they are about to expire."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    def metadata(self) -> tuple[tuple[str, str], ...]:
        try:
            token = self._credential.get_token(SCHEDULER).token
        except (ClientAuthenticationError, CredentialUnavailableError):
            # Its text is long and may name tenants and accounts; azure-identity logs it for whoever wants to know.
            raise Permanent(
                "no Azure identity was found for the Durable Task Scheduler: see azure-identity, DefaultAzureCredential"
            ) from None
        return (("authorization", f"Bearer {token}"),)
