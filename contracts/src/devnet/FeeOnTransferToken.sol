// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Devnet only: an ERC-20 of which less arrives than was sent
/// @notice The fee is rounded up and burnt; the Transfer event to the recipient names what arrived.
contract FeeOnTransferToken is ERC20 {
    uint256 public immutable feeBps;

    constructor(uint256 feeBps_) ERC20("Devnet fee-on-transfer token", "TFEE") {
        feeBps = feeBps_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = 0;
        if (from != address(0) && to != address(0)) {
            fee = (amount * feeBps + 9_999) / 10_000;
            super._update(from, address(0), fee);
        }
        super._update(from, to, amount - fee);
    }
}
