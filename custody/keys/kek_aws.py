"""A KEK in AWS KMS: a symmetric key that never leaves it. Credentials and region are boto3's own.

The associated data is the call's encryption context. KMS authenticates it and writes it, in the
clear, to the audit trail of the account: it names tenant, key and version, and nothing secret.
"""

from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from custody.keys.vault import CannotOpen, KekDestroyed

KIND = "aws-kms"
CONTEXT = "moorage"
DESTROY_AFTER_DAYS = 7
"""The least that KMS allows. The key is of no use from the first moment, and a person who made a
mistake can call it off until the last."""

_PENDING = "PendingDeletion"
_GONE = "NotFoundException"


@dataclass(frozen=True, slots=True)
class AwsKek:
    """One key of KMS by its ARN. Use `create` or `reopen`."""

    arn: str
    _client: Any = field(repr=False)

    @staticmethod
    def create(client: Any = None) -> "AwsKek":
        """A new key. Raises CannotOpen when KMS says no or does not answer."""
        client = client or boto3.client("kms")
        made = _call(client.create_key, Description="moorage KEK", KeySpec="SYMMETRIC_DEFAULT")
        return AwsKek(str(made["KeyMetadata"]["Arn"]), client)

    @staticmethod
    def reopen(description: dict[str, Any], client: Any = None) -> "AwsKek":
        """The key that an envelope describes. Raises ValueError for another kind."""
        if description.get("kind") != KIND:
            raise ValueError("the envelope's KEK is of another kind")
        return AwsKek(str(description["arn"]), client or boto3.client("kms"))

    def describe(self) -> dict[str, Any]:
        return {"kind": KIND, "arn": self.arn}

    def wrap(self, data_key: bytes, associated: bytes) -> bytes:
        answer = _call(
            self._client.encrypt,
            KeyId=self.arn,
            Plaintext=data_key,
            EncryptionContext={CONTEXT: associated.decode()},
        )
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, blob: bytes, associated: bytes) -> bytes:
        if self._state() == _PENDING:
            raise KekDestroyed(f"{self.arn} is to be deleted")
        answer = _call(
            self._client.decrypt,
            KeyId=self.arn,
            CiphertextBlob=blob,
            EncryptionContext={CONTEXT: associated.decode()},
        )
        return bytes(answer["Plaintext"])

    def destroy(self) -> None:
        if self._state() != _PENDING:
            _call(
                self._client.schedule_key_deletion,
                KeyId=self.arn.rpartition("/")[2],  # moto knows it here by its id alone
                PendingWindowInDays=DESTROY_AFTER_DAYS,
            )

    def _state(self) -> str:
        return str(_call(self._client.describe_key, KeyId=self.arn)["KeyMetadata"]["KeyState"])


def _call(operation: Any, **fields: object) -> Any:
    """One call. Raises KekDestroyed or CannotOpen, with KMS' code alone and no content."""
    try:
        return operation(**fields)
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        kind = KekDestroyed if code == _GONE else CannotOpen
        raise kind(f"AWS KMS: {code}") from None
    except BotoCoreError as error:
        raise CannotOpen(f"AWS KMS: {type(error).__name__}") from None
