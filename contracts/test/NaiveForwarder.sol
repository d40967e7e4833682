// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @dev Peer in the gas bench: a deposit address that is a contract of its own, as custodians made
/// them before EIP-7702. A minimal proxy made by CREATE2 when its first deposit is fetched; whose
/// money it is stands in its storage. As lean as that design allows.
contract NaiveForwarder {
    address public parent;

    function init(address parent_) external {
        require(parent == address(0));
        parent = parent_;
    }

    function flush(IERC20 token) external {
        address to = parent;
        require(msg.sender == to);
        uint256 amount = token.balanceOf(address(this));
        if (amount != 0) require(token.transfer(to, amount));
    }
}

/// @dev Makes forwarders and flushes them to itself: it is the treasury too.
contract NaiveForwarderFactory {
    address private immutable _LOGIC = address(new NaiveForwarder());

    function create(uint256[] calldata salts) external {
        for (uint256 i = 0; i < salts.length; ++i) {
            NaiveForwarder(Clones.cloneDeterministic(_LOGIC, bytes32(salts[i]))).init(address(this));
        }
    }

    function flush(IERC20 token, address[] calldata forwarders) external {
        for (uint256 i = 0; i < forwarders.length; ++i) {
            NaiveForwarder(forwarders[i]).flush(token);
        }
    }

    function createAndFlush(IERC20 token, uint256[] calldata salts) external {
        for (uint256 i = 0; i < salts.length; ++i) {
            address forwarder = Clones.cloneDeterministic(_LOGIC, bytes32(salts[i]));
            NaiveForwarder(forwarder).init(address(this));
            NaiveForwarder(forwarder).flush(token);
        }
    }

    function addressOf(uint256 salt) external view returns (address) {
        return Clones.predictDeterministicAddress(_LOGIC, bytes32(salt));
    }
}
