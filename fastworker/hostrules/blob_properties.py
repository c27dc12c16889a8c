"""`Metadata.Properties` of a blob trigger: the 45 members of the library's BlobProperties (protocol 2.7, B-275).

Rule: pure; what a local store does not know has the value that a plain block blob has.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

NEVER: Final = "0001-01-01T00:00:00+00:00"


# The settings of a blob's content that are absent from most, as their members are called (B-281).
SETTINGS: Final = ("ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl")


def blob_properties(
    modified: datetime,
    content: bytes,
    content_type: str,
    metadata: Mapping[str, str],
    settings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The members in the host's order. `settings` has values of SETTINGS, where the blob has any."""
    at = modified.replace(microsecond=0)
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return {
        "LastModified": at,
        "CreatedOn": at,
        "Metadata": dict(metadata),
        "ObjectReplicationDestinationPolicyId": None,
        "ObjectReplicationSourceProperties": None,
        "BlobType": 0,
        "CopyCompletedOn": NEVER,
        "CopyStatusDescription": None,
        "CopyId": None,
        "CopyProgress": None,
        "CopySource": None,
        "CopyStatus": 0,
        "BlobCopyStatus": None,
        "IsIncrementalCopy": False,
        "DestinationSnapshot": None,
        "LeaseDuration": 0,
        "LeaseState": 0,
        "LeaseStatus": 1,
        "ContentLength": len(content),
        "ContentType": content_type,
        "ETag": {},
        "ContentHash": digest,
        **{name: (settings or {}).get(name) for name in SETTINGS},
        "BlobSequenceNumber": 0,
        "AcceptRanges": "bytes",
        "BlobCommittedBlockCount": 0,
        "IsServerEncrypted": True,
        "EncryptionKeySha256": None,
        "EncryptionScope": None,
        "AccessTier": "Hot",
        "AccessTierInferred": True,
        "ArchiveStatus": None,
        "AccessTierChangedOn": at,
        "VersionId": None,
        "IsLatestVersion": False,
        "TagCount": 0,
        "ExpiresOn": NEVER,
        "IsSealed": False,
        "RehydratePriority": None,
        "LastAccessed": NEVER,
        "ImmutabilityPolicy": {"ExpiresOn": None, "PolicyMode": None},
        "HasLegalHold": False,
    }
