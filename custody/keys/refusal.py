"""How the signer says no: a stable rule and a sentence. Nothing secret is ever in either."""


class Refusal(Exception):
    """`rule` is stable and tested; the caller sees it as SignerRefused."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def require(holds: bool, rule: str, detail: str) -> None:
    """Raise Refusal unless the condition holds."""
    if not holds:
        raise Refusal(rule, detail)
