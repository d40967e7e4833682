// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TestToken} from "../src/devnet/TestToken.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";

/// @dev Allocator and payee in one: asks for the same again when it is paid by a token that calls.
contract Accomplice {
    ITreasuryGuard private _guard;
    bool private _again;

    fallback() external {
        if (!_again) return;
        _again = false;
        _guard.release(address(this), abi.decode(msg.data, (uint256)));
    }

    function take(ITreasuryGuard guard, uint256 amount) external {
        _guard = guard;
        _again = true;
        guard.release(address(this), amount);
    }
}

/// @dev One ledger, two addresses, as tokens have that were replaced and still answer.
contract TwoDoorToken is TestToken("Two doors", "TD", 6) {
    SecondDoor public immutable DOOR = new SecondDoor(this);

    function moveFor(address from, address to, uint256 amount) external {
        require(msg.sender == address(DOOR));
        _transfer(from, to, amount);
    }
}

contract SecondDoor {
    TwoDoorToken private immutable _TOKEN;

    constructor(TwoDoorToken token) {
        _TOKEN = token;
    }

    function balanceOf(address account) external view returns (uint256) {
        return _TOKEN.balanceOf(account);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _TOKEN.moveFor(msg.sender, to, amount);
        return true;
    }
}
