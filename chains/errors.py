"""What can go wrong between us and a chain.

ChainError
├── RpcUnavailable      no endpoint gave a usable answer: nothing is known, ask again
├── RpcDisagreement     endpoints contradict each other, or one contradicts itself: a person looks
├── RpcRefused          the node answered with an error of its own
│   └── CallReverted    the contract said no; `data` carries its reason
├── UndecodableAnswer   a contract answered with what its ABI does not allow
├── DeploymentRefused   a deployment would not be what this build gives
│   ├── ArtifactDiffers     the compiled contract is not the one whose hash is committed
│   ├── DeployerMissing     the chain lacks the deterministic deployment proxy, or has another
│   └── CodeDiffers         the chain has other code where one of our contracts belongs
└── BroadcastError      about `send_raw`
    ├── AmbiguousBroadcast  it may or may not be on its way: only the same bytes may go again
    ├── AlreadyKnown        it is in the pool: as good as accepted
    ├── NonceTooLow         that nonce is mined, by this transaction or another: read the receipt
    ├── Underpriced         the fees do not pay for entry or for the replacement
    └── BroadcastRejected   refused for good as it is; it is in no pool through this call
"""


class ChainError(Exception):
    """Root of the tree; `values` holds the facts of the case, never a secret."""

    def __init__(self, detail: str, **values: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.values = values


class RpcUnavailable(ChainError):
    pass


class RpcDisagreement(ChainError):
    pass


class RpcRefused(ChainError):
    def __init__(self, detail: str, code: int = 0, data: bytes = b"", **values: object) -> None:
        super().__init__(detail, code=code, **values)
        self.code = code
        self.data = data


class CallReverted(RpcRefused):
    pass


class UndecodableAnswer(ChainError):
    pass


class DeploymentRefused(ChainError):
    pass


class ArtifactDiffers(DeploymentRefused):
    pass


class DeployerMissing(DeploymentRefused):
    pass


class CodeDiffers(DeploymentRefused):
    pass


class BroadcastError(ChainError):
    pass


class AmbiguousBroadcast(BroadcastError):
    pass


class AlreadyKnown(BroadcastError):
    pass


class NonceTooLow(BroadcastError):
    pass


class Underpriced(BroadcastError):
    pass


class BroadcastRejected(BroadcastError):
    pass
