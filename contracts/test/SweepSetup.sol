// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Sweeper} from "../src/Sweeper.sol";
import {SweepHub} from "../src/SweepHub.sol";
import {ISweepHub} from "../src/interfaces/ISweepHub.sol";
import {TestToken} from "../src/devnet/TestToken.sol";

/// @dev A treasury, a hub with its operator, and wallets that are delegated as on a real chain.
abstract contract SweepSetup is Test {
    address internal treasury = makeAddr("treasury");
    address internal operator = makeAddr("operator");
    address internal stranger = makeAddr("stranger");
    Sweeper internal sweeper;
    SweepHub internal hub;
    TestToken internal token;

    function setUp() public virtual {
        sweeper = new Sweeper(treasury);
        hub = new SweepHub(address(sweeper), operator);
        token = new TestToken("USD", "USD", 6);
    }

    function _wallet(uint256 index) internal returns (address wallet) {
        wallet = makeAddr(string.concat("wallet ", vm.toString(index)));
        _delegate(wallet, address(sweeper));
    }

    /// @dev What a wallet's authorisation leaves behind: its code is a pointer.
    function _delegate(address wallet, address to) internal {
        vm.etch(wallet, abi.encodePacked(hex"ef0100", to));
    }

    function _word(address wallet, uint256 amount) internal pure returns (uint256) {
        return uint256(uint160(wallet)) << 96 | amount;
    }

    /// @dev Three wallets with 1, 20 and 300 base units, the amounts in the words.
    function _three() internal returns (uint256[] memory words) {
        words = new uint256[](3);
        uint256[3] memory amounts = [uint256(1), 20, 300];
        for (uint256 i = 0; i < 3; ++i) {
            words[i] = _word(_wallet(i), amounts[i]);
            token.mint(_of(words[i]), amounts[i]);
        }
    }

    function _of(uint256 word) internal pure returns (address) {
        return address(uint160(word >> 96));
    }

    function _sweepToken(uint256[] memory words) internal returns (uint256 skipped) {
        vm.prank(operator);
        return hub.sweepToken(address(token), words);
    }

    function _expectSkipped(address what, address wallet, uint256 index, bytes4 reason) internal {
        vm.expectEmit(address(hub));
        emit ISweepHub.SweepSkipped(what, wallet, index, reason);
    }
}
