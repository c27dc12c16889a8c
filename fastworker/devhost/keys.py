"""The keys of the local host: one master key, a host key for all functions, a key for each function, system keys.

Used by front.py and admin.py. Rule: as the host decides (protocol 6.1, D-901 to D-959): a header counts before
`?code=`, also when it is wrong; a system key opens webhooks only.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from fastworker.devhost.functions import Function
from fastworker.devhost.webserver import Request
from fastworker.hostrules.principals import KeyUse

# Levels that no key but the master's opens.
FOR_MASTER: Final = ("admin", "system", "user")
# The system keys that there are.
EXTENSIONS: Final = ("eventgrid_extension",)


class Keys:
    """New ones for each session. Without `enforced`, everybody is let in, as `func start` does."""

    def __init__(self, enforced: bool) -> None:
        self.enforced = enforced
        self.master = secrets.token_urlsafe(24)
        self.function = secrets.token_urlsafe(24)  # the host key, good for every function
        self._secret = secrets.token_bytes(32)

    def of_function(self, name: str) -> str:
        """The key of one function."""
        return self._derived(f"function {name.lower()}")

    def of_system(self, name: str) -> str:
        """The key of an extension's webhook."""
        return self._derived(f"system {name}")

    def _derived(self, what: str) -> str:
        digest = hmac.new(self._secret, what.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()

    def given(self, request: Request) -> str:
        return request.header("x-functions-key") or request.query.get("code") or ""

    def use(self, request: Request, function: Function | None = None) -> KeyUse | None:
        """What the caller's key is good for, at this function; None if at nothing."""
        key = self.given(request).encode()
        if hmac.compare_digest(key, self.master.encode()):
            return KeyUse("admin")
        own = "" if function is None else self.of_function(function.name)
        if any(candidate and hmac.compare_digest(key, candidate.encode()) for candidate in (self.function, own)):
            return KeyUse("function")
        name = next((name for name in EXTENSIONS if hmac.compare_digest(key, self.of_system(name).encode())), None)
        return None if name is None else KeyUse("system", name)

    def allow(self, needed: str, use: KeyUse | None) -> bool:
        if not self.enforced or needed == "anonymous":
            return True
        if use is None:
            return False
        return use.level == "admin" or (use.level == "function" and needed not in FOR_MASTER)

    def opens_webhook(self, request: Request, extension: str) -> int:
        """200, 401 for no key that is any good, or 403 for one that is good for something else (part G)."""
        use = self.use(request)
        if not self.enforced or use in (KeyUse("admin"), KeyUse("system", extension)):
            return 200
        return 401 if use is None else 403
