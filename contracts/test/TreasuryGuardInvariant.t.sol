// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {TreasuryGuardHandler} from "./TreasuryGuardHandler.sol";

/// @dev With nothing but the allocator's key, and whatever venues do.
contract TreasuryGuardInvariantTest is Test {
    bytes32[4] private ids = [bytes32("aave"), "vault", "spare", "staking"];
    TreasuryGuardHandler private handler;
    TreasuryGuard private guard;
    TreasuryGuard private ethGuard;
    TestToken private usdc;

    function setUp() public {
        handler = new TreasuryGuardHandler();
        (guard, ethGuard) = handler.guards();
        usdc = TestToken(guard.ASSET());
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = handler.allocate.selector;
        selectors[1] = handler.allocate.selector;
        selectors[2] = handler.deallocate.selector;
        selectors[3] = handler.claim.selector;
        selectors[4] = handler.release.selector;
        selectors[5] = handler.pass.selector;
        selectors[6] = handler.market.selector;
        selectors[7] = handler.greed.selector;
        selectors[8] = handler.give.selector;
        selectors[9] = handler.tighten.selector;
        selectors[10] = handler.sweep.selector;
        selectors[11] = handler.meddle.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
        targetContract(address(handler));
    }

    function invariant_everyMoveIsWithinItsLimits() public view {
        assertEq(handler.broken(), "");
    }

    function invariant_worthFallsOnlyByWhatVenuesLose() public view {
        (uint256 token, uint256 native) = handler.worth();
        assertGe(int256(token), handler.floors(0));
        assertGe(int256(native), handler.floors(1));
    }

    /// @dev Every base unit is at the guard, a venue or a payee; what a venue lost or kept is at 1.
    function invariant_nothingIsAnywhereElse() public view {
        assertEq(_sum(usdc, handler.places()), usdc.totalSupply());
        TestToken stray = handler.stray();
        address[] memory home = new address[](3);
        (home[0], home[1], home[2]) = (address(guard), address(ethGuard), guard.treasury());
        assertEq(_sum(stray, home), stray.totalSupply());
        assertEq(
            address(ethGuard).balance + address(handler.slashable()).balance
                + handler.payeeOf().balance,
            handler.nativeIn()
        );
        assertEq(address(guard).balance + guard.treasury().balance, handler.forced());
    }

    function invariant_theBookIsWhatWasBooked() public view {
        uint256 sum = 0;
        for (uint256 i = 0; i < 3; i++) {
            assertEq(guard.venue(ids[i]).booked, handler.booked(ids[i]));
            sum += handler.booked(ids[i]);
        }
        assertEq(guard.total(), guard.idle() + sum);
        assertEq(ethGuard.venue(ids[3]).booked, handler.booked(ids[3]));
        assertEq(ethGuard.venue(ids[3]).requested, handler.requested());
        assertEq(ethGuard.total(), ethGuard.idle() + handler.booked(ids[3]));
    }

    /// @dev The walk above does meet every outcome, and the ledger does see what is wrong.
    function test_theHandlerMovesAndIsRefused() public {
        handler.allocate(0, 400e6, true);
        handler.allocate(1, 400e6, true);
        handler.allocate(3, 10 ether, true);
        handler.allocate(15, 1, false);
        handler.allocate(0, 3_000e6, false);
        handler.market(0, 10_300);
        handler.market(3, 500);
        handler.deallocate(1, 300e6 + 1);
        handler.deallocate(3, 4 ether + 1);
        handler.market(7, 9_000);
        handler.claim(1);
        handler.release(0, 100e6, false, true);
        handler.release(3, 100e6, false, false);
        handler.give(3, 5);
        handler.sweep(5, false);
        handler.sweep(0, false);
        handler.meddle(0);
        assertEq(handler.entered(), 3);
        assertEq(handler.left(), 2);
        assertEq(handler.claimed(), 1);
        assertEq(handler.paid(), 1);
        assertEq(handler.refused(), 5);
        _assertAll();

        vm.prank(handler.payeeOf());
        assertTrue(usdc.transfer(address(7), 1));
        assertLt(_sum(usdc, handler.places()), usdc.totalSupply());
        (uint256 token,) = handler.worth();
        assertLt(int256(token), handler.floors(0));
    }

    function _assertAll() private view {
        invariant_everyMoveIsWithinItsLimits();
        invariant_worthFallsOnlyByWhatVenuesLose();
        invariant_nothingIsAnywhereElse();
        invariant_theBookIsWhatWasBooked();
    }

    function _sum(TestToken token, address[] memory places) private view returns (uint256 sum) {
        for (uint256 i = 0; i < places.length; i++) {
            sum += token.balanceOf(places[i]);
        }
    }
}
