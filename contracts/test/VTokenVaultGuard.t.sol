// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {VTokenVault} from "../src/venues/VTokenVault.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {MarketMock} from "./MarketMock.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev The wrapper as a venue of a guard: to it, one more ERC-4626. The guard is there first, since
/// its address is in the wrapper's code; the wrapper is listed by a proposal.
contract VTokenVaultGuardTest is TreasuryGuardSetup {
    bytes32 private constant COMPOUND = "compound";

    MarketMock private market;
    VTokenVault private wrapper;

    function setUp() public override {
        super.setUp();
        market = new MarketMock(address(usdc));
        usdc.mint(address(this), 100_000e6);
        usdc.approve(address(market), 100_000e6);
        market.mint(100_000e6);
        market.lend(80_000e6, stranger);
        wrapper = new VTokenVault(address(market), address(guard));
        bytes memory call = abi.encodeCall(
            guard.addVenue, (_listing(COMPOUND, ITreasuryGuard.Kind.Erc4626, address(wrapper)))
        );
        _decide(guard, call);
    }

    function test_guard_entersEarnsAndLeavesWithAll() public {
        _allocate(COMPOUND, 1_000e6);
        assertApproxEqAbs(guard.position(COMPOUND), 1_000e6, 1);
        assertEq(usdc.allowance(address(guard), address(wrapper)), 0);
        skip(365 days);
        assertGt(guard.position(COMPOUND), 1_030e6);
        _deallocate(COMPOUND, 400e6);
        _deallocate(COMPOUND, type(uint256).max);
        assertEq(guard.position(COMPOUND), 0);
        assertEq(wrapper.totalSupply(), 0);
        assertGt(usdc.balanceOf(address(guard)), FUNDS + 30e6);
        assertEq(usdc.balanceOf(address(wrapper)), 0);
    }

    function test_guard_isNotMovedByGiftsToTheWrapper() public {
        _allocate(COMPOUND, 1_000e6);
        uint256 position = guard.position(COMPOUND);
        market.transfer(address(wrapper), 5_000e8);
        usdc.mint(address(wrapper), 5_000e6);
        assertEq(guard.position(COMPOUND), position);
        wrapper.sweep(address(usdc));
        assertEq(guard.position(COMPOUND), position);
    }

    function test_guard_handsTheSharesOverWhenItsMarketDoesNotPay() public {
        _allocate(COMPOUND, 1_000e6);
        market.misbehave(14, 0, 0);
        address successor = makeAddr("successor");
        _decide(guard, abi.encodeCall(guard.setSuccessor, (successor)));
        vm.prank(owner);
        uint256 shares = guard.moveOut(address(wrapper));
        market.misbehave(0, 0, 0);
        vm.prank(successor);
        wrapper.redeem(shares, successor, successor);
        assertGt(usdc.balanceOf(successor), 999e6);
    }
}
