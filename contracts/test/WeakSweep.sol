// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";

/// @dev Against what a delegate must not be: the treasury lies in the wallet's storage, and whoever
/// comes first puts it there.
contract WeakSweeper {
    address public treasury;

    function init(address treasury_) external {
        require(treasury == address(0));
        treasury = treasury_;
    }

    function sweep(IERC20 token) external {
        require(token.transfer(treasury, token.balanceOf(address(this))));
    }
}

/// @dev Takes the amount at its word.
contract ExactSweeper {
    address private immutable _TREASURY;

    constructor(address treasury) {
        _TREASURY = treasury;
    }

    function sweepPacked(uint256 word) external {
        require(IERC20(address(uint160(word >> 96))).transfer(_TREASURY, uint96(word)));
    }
}

/// @dev SweepHub in plain words, with one of its checks missing.
contract WeakHub {
    enum Missing {
        Operator,
        CodeHash,
        Cap,
        GasLeft
    }

    event Skipped(uint256 index);

    error GasTooLow(uint256 index);

    address private immutable _OPERATOR;
    bytes32 private immutable _DELEGATED;
    Missing private immutable _MISSING;

    constructor(address sweeper, address operator, Missing missing) {
        _OPERATOR = operator;
        _DELEGATED = keccak256(abi.encodePacked(hex"ef0100", sweeper));
        _MISSING = missing;
    }

    function sweepToken(address token, uint256[] calldata words)
        external
        returns (uint256 skipped)
    {
        require(_MISSING == Missing.Operator || msg.sender == _OPERATOR);
        for (uint256 i = 0; i < words.length; ++i) {
            address wallet = address(uint160(words[i] >> 96));
            if (_MISSING != Missing.CodeHash && wallet.codehash != _DELEGATED) {
                ++skipped;
                emit Skipped(i);
                continue;
            }
            if (_MISSING != Missing.GasLeft && gasleft() < 206_500) revert GasTooLow(i);
            uint256 word = uint256(uint160(token)) << 96 | uint96(words[i]);
            uint256 limit = _MISSING == Missing.Cap ? gasleft() : 200_000;
            (bool ok,) = wallet.call{gas: limit}(abi.encodeCall(ISweeper.sweepPacked, (word)));
            if (!ok) {
                ++skipped;
                emit Skipped(i);
            }
        }
    }
}
