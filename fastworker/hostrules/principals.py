"""Who calls: the identities of `Data.req.Identities`, from keys and from App Service authentication (protocol 2.4).

Used by envelope.py. Rule: pure; PrincipalError is what makes the host answer 500.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastworker.hostrules.dotnet_values import from_base64
from fastworker.hostrules.newtonsoft import JsonError, decode, read_json

NAME_CLAIM: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
ROLE_CLAIM: Final = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
ID_CLAIM: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
FUNCTIONS_CLAIMS: Final = "http://schemas.microsoft.com/2017/07/functions/claims"
STRING_TYPE: Final = "http://www.w3.org/2001/XMLSchema#string"
PRINCIPAL_HEADER: Final = "x-ms-client-principal"


class PrincipalError(ValueError):
    """The principal header cannot be read, and the host answers 500."""


class KeyUse(NamedTuple):
    """The key that a caller has given: what it is good for (`function`, `admin` or `system`), and its name."""

    level: str
    name: str = ""

    @property
    def key_id(self) -> str:
        return self.name or ("default" if self.level == "function" else "master")


def identity(
    kind: str | None = None,
    claims: list[tuple[str, str]] | None = None,
    *,
    name_claim: str = NAME_CLAIM,
    role_claim: str = ROLE_CLAIM,
) -> dict[str, Any]:
    """A .NET ClaimsIdentity as JSON; without `kind` the anonymous one."""
    claims = claims or []
    return {
        "AuthenticationType": kind,
        "IsAuthenticated": bool(kind),
        "Actor": None,
        "BootstrapContext": None,
        "Claims": [
            {
                "Issuer": "LOCAL AUTHORITY",
                "OriginalIssuer": "LOCAL AUTHORITY",
                "Properties": {},
                "Type": claim,
                "Value": value,
                "ValueType": STRING_TYPE,
            }
            for claim, value in claims
        ],
        "Label": None,
        "Name": next((value for claim, value in claims if claim == name_claim), None),
        "NameClaimType": name_claim,
        "RoleClaimType": role_claim,
    }


def key_identity(key: KeyUse) -> dict[str, Any]:
    """The identity of a caller with a key."""
    claims = [("authlevel", key.level.capitalize()), ("invoke", "true"), ("keyid", key.key_id)]
    return identity("WebJobsAuthLevel", [(f"{FUNCTIONS_CLAIMS}/{name}", value) for name, value in claims])


def principal_identity(header: str) -> dict[str, Any] | None:
    """The identity in an `x-ms-client-principal` header, of App Service or Static Web Apps. Raises PrincipalError."""
    data = from_base64(header)
    if data is None:
        raise PrincipalError(f"{PRINCIPAL_HEADER} is no base64")
    try:
        principal = read_json(decode(data))
    except JsonError as error:
        raise PrincipalError(f"{PRINCIPAL_HEADER} holds no JSON: {error}") from None
    if not isinstance(principal, dict):
        return None
    members = {name.lower(): value for name, value in principal.items()}
    if "identityprovider" in members:
        return _static_web_app(members)
    claims = [
        (str(claim.get("typ")), str(claim.get("val")))
        for claim in members.get("claims") or ()
        if isinstance(claim, Mapping)
    ]
    return identity(
        members.get("auth_typ"),
        claims,
        name_claim=members.get("name_typ") or NAME_CLAIM,
        role_claim=members.get("role_typ") or ROLE_CLAIM,
    )


def _static_web_app(members: Mapping[str, Any]) -> dict[str, Any]:
    claims = [(ID_CLAIM, str(members.get("userid"))), (NAME_CLAIM, str(members.get("userdetails")))]
    claims += [(ROLE_CLAIM, str(role)) for role in members.get("userroles") or ()]
    return identity(members.get("identityprovider"), claims)


def identities(key: KeyUse | None, principal: str) -> list[dict[str, Any]]:
    """All of a request: App Service's first, then the key's; the anonymous one if there is neither.

    `principal` is the principal header's value where the host looks at it (`WEBSITE_AUTH_ENABLED`), else empty.
    """
    found = []
    if principal:
        of_principal = principal_identity(principal)
        if of_principal is not None:
            found.append(of_principal)
    if key is not None:
        found.append(key_identity(key))
    return found or [identity()]
