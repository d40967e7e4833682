// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TestToken} from "../src/devnet/TestToken.sol";
import {IPayouts} from "../src/interfaces/IPayouts.sol";

/// @dev Says no without reverting.
contract FalseToken is TestToken("False", "F", 18) {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Moves, but returns nothing, like the oldest tokens.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Says it moved and did not.
contract LyingToken is TestToken("Lying", "L", 18) {
    function transfer(address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @dev Keeps a hundredth of whatever moves.
contract FeeToken is TestToken("Fee", "FEE", 18) {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) super._update(to, address(0), amount / 100);
    }
}

/// @dev Keeps a hundredth of what its holder sends himself, and nothing of what is fetched.
contract OutwardFeeToken is TestToken("Outward", "OUT", 18) {
    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount - amount / 100);
        return super.transfer(address(1), amount / 100);
    }
}

/// @dev Calls those recipients that asked for it, and fails as they fail.
contract HookToken is TestToken("Hook", "H", 18) {
    mapping(address account => bool) public isHooked;

    function hook(address account) external {
        isHooked[account] = true;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (!isHooked[to]) return;
        (bool ok, bytes memory answer) = to.call(abi.encode(amount));
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}

/// @dev Pays itself a batch in the middle of another one, when its tokens are fetched.
contract ReentrantToken is TestToken("Reentrant", "R", 18) {
    receive() external payable {}

    function transferFrom(address, address, uint256) public override returns (bool) {
        uint256[] memory words = new uint256[](1);
        words[0] = uint256(uint160(address(1))) << 96 | 1;
        IPayouts(msg.sender).payNative{value: 1}(0, words);
        return true;
    }
}

/// @dev Uses up whatever gas it is given.
contract GasBurner {
    fallback() external payable {
        assembly ("memory-safe") {
            invalid()
        }
    }
}

/// @dev Answers with as many bytes as the gas of a native recipient allows to make: dear for whoever copies them.
contract ReturnBomb {
    bool private immutable _FAILS;

    constructor(bool fails) {
        _FAILS = fails;
    }

    fallback() external payable {
        bool fails = _FAILS;
        assembly {
            if fails { revert(0, 90000) }
            return(0, 90000)
        }
    }
}

/// @dev Refuses at once if it sees less gas than it wants, and uses none of it.
contract Glutton {
    uint256 private immutable _WANTS;

    constructor(uint256 wants) {
        _WANTS = wants;
    }

    fallback() external payable {
        require(gasleft() >= _WANTS);
    }
}

/// @dev Starts a batch of its own while it is paid; fails with it, unless it swallows the error.
contract Reenterer {
    IPayouts private immutable _PAYOUTS;
    bool private immutable _SWALLOWS;

    constructor(IPayouts payouts, bool swallows) payable {
        _PAYOUTS = payouts;
        _SWALLOWS = swallows;
    }

    receive() external payable {
        _reenter();
    }

    fallback() external payable {
        _reenter();
    }

    function pay(uint256 batchId, uint256 amount, uint256[] calldata words) external {
        _PAYOUTS.payNative{value: amount}(batchId, words);
    }

    function _reenter() private {
        uint256[] memory words = new uint256[](1);
        words[0] = uint256(uint160(address(1))) << 96 | 1;
        try _PAYOUTS.payNative{value: 1}(99, words) {}
        catch {
            if (!_SWALLOWS) revert();
        }
    }
}

/// @dev Sends a little of what it got back to where it came from.
contract Donor {
    HookToken private immutable _TOKEN;
    address private immutable _TO;

    constructor(HookToken token, address to) {
        _TOKEN = token;
        _TO = to;
    }

    fallback() external payable {
        require(_TOKEN.transfer(_TO, 1));
    }
}

/// @dev Takes no ether.
contract Refuser {}
