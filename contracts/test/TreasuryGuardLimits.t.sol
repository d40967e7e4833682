// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev What an entry and a payment are held against: one test at least for each limit, which fails
/// if that one is not looked at.
contract TreasuryGuardLimitsTest is TreasuryGuardSetup {
    uint256 private constant RAY = 1e27;

    // --- The cap of a venue ---

    function test_cap_isReachedAndNotPassed() public {
        _limit(VAULT, 1_000e6, 10_000, FLOW);
        _allocate(VAULT, 400e6);
        _allocate(VAULT, 600e6);
        _allocateRefused(VAULT, 1, _overCap(VAULT, 1_000e6 + 1, 1_000e6));
    }

    function test_cap_isHeldBeforeTheVenueIsCalled() public {
        _limit(VAULT, 1_000e6, 10_000, 0);
        vm.expectCall(address(vault), abi.encodeWithSelector(IERC4626.deposit.selector), 0);
        _allocateRefused(VAULT, 1_000e6 + 1, _overCap(VAULT, 1_000e6 + 1, 1_000e6));
    }

    function test_cap_countsInterest() public {
        _limit(AAVE, 1_000e6, 10_000, FLOW);
        _allocate(AAVE, 500e6);
        pool.setIndex(RAY * 3 / 2);
        assertEq(guard.position(AAVE), 750e6);
        _allocateRefused(AAVE, 270e6, _overCap(AAVE, 1_020e6, 1_000e6));
        _allocate(AAVE, 250e6);
    }

    function test_cap_countsTheBookWhileThePriceIsDown() public {
        _limit(VAULT, 1_000e6, 10_000, FLOW);
        _allocate(VAULT, 900e6);
        vault.setPrice(1_000);
        assertLt(guard.position(VAULT), 100e6);
        _allocateRefused(VAULT, 101e6, _overCap(VAULT, 1_001e6, 1_000e6));
    }

    function test_cap_countsWhatWasAskedBackAndNotClaimed() public {
        _stake(40 ether);
        vm.prank(allocator);
        ethGuard.deallocate(STAKING, type(uint256).max);
        assertEq(ethGuard.position(STAKING), 40 ether);
        skip(1 days);
        vm.expectRevert(_overCap(STAKING, ETH_CAP + 1, ETH_CAP));
        _stake(1);
        vm.prank(allocator);
        ethGuard.claim(STAKING, 1);
        _stake(1 ether);
    }

    /// @dev The book does not show what was earned and asked back; the request does.
    function test_cap_countsEarningsThatWereAskedBack() public {
        _stake(39 ether);
        skip(365 days);
        vm.prank(allocator);
        ethGuard.deallocate(STAKING, type(uint256).max);
        vm.expectPartialRevert(ITreasuryGuard.OverCap.selector);
        _stake(ETH_GRAIN);
    }

    // --- The share of a venue ---

    function test_share_isReachedAndNotPassed() public {
        _limit(VAULT, CAP, 2_000, FLOW);
        _allocate(VAULT, 1_000e6);
        _allocateRefused(VAULT, 1, _overShare(VAULT, 1_000e6 + 1, 1_000e6));
    }

    function test_share_isOfIdleAndTheBookOfAllVenues() public {
        _limit(VAULT, CAP, 2_000, FLOW);
        _allocate(AAVE, 2_000e6);
        _allocate(SPARE, 1_000e6);
        assertEq(guard.total(), FUNDS);
        _allocateRefused(VAULT, 1_000e6 + 1, _overShare(VAULT, 1_000e6 + 1, 1_000e6));
        _release(payee, 1_000e6);
        _allocateRefused(VAULT, 800e6 + 1, _overShare(VAULT, 800e6 + 1, 800e6));
        _allocate(VAULT, 800e6);
    }

    function test_share_countsInterestOfTheVenue() public {
        _limit(AAVE, CAP, 2_000, FLOW);
        _allocate(AAVE, 800e6);
        pool.setIndex(RAY * 5 / 4);
        vm.expectPartialRevert(ITreasuryGuard.OverShare.selector);
        _allocate(AAVE, 200e6);
    }

    /// @dev A share of all is no limit: whatever the venue earned, it is not more than everything.
    function test_share_ofAllIsNoLimit() public {
        _allocate(AAVE, 4_000e6);
        _deallocate(AAVE, 100e6);
        _release(payee, 1_000e6);
        pool.setIndex(RAY * 11 / 10);
        _limit(AAVE, 2 * CAP, 10_000, FLOW);
        skip(1 days);
        _allocate(AAVE, 100e6);
        assertGt(guard.position(AAVE), guard.total());
    }

    // --- The flow into a venue ---

    function test_flow_isABucketOfADay() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _allocateRefused(VAULT, 1, _overFlow(VAULT, 1, 0));
        skip(12 hours);
        assertEq(_flowLeft(VAULT), 500e6);
        _allocateRefused(VAULT, 500e6 + 1, _overFlow(VAULT, 500e6 + 1, 500e6));
        _allocate(VAULT, 500e6);
        skip(1 days);
        assertEq(_flowLeft(VAULT), 1_000e6);
    }

    function test_flow_neverHoldsMoreThanADay() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        skip(30 days);
        _allocateRefused(VAULT, 1_000e6 + 1, _overFlow(VAULT, 1_000e6 + 1, 1_000e6));
    }

    function test_flow_roundsAgainstTheSpender() public {
        _limit(VAULT, CAP, 10_000, 864e6); // 10,000 base units a second
        _allocate(VAULT, 10_001);
        assertEq(_flowLeft(VAULT), 864e6 - 20_000);
        skip(2);
        assertEq(_flowLeft(VAULT), 864e6);
    }

    function test_flow_isNotGivenBackByAnExit() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _deallocate(VAULT, type(uint256).max);
        _allocateRefused(VAULT, 1, _overFlow(VAULT, 1, 0));
    }

    function test_flow_isOfItsVenueAlone() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        _allocate(AAVE, 1_500e6);
        _allocate(SPARE, 1_500e6);
        assertEq(_flowLeft(VAULT), 1_000e6);
        _allocate(VAULT, 1_000e6);
        assertEq(_flowLeft(AAVE), FLOW - 1_500e6);
        assertEq(_flowLeft(SPARE), FLOW - 1_500e6);
    }

    // --- Groups ---

    /// @dev Each of the six places, of which two lie in another word than the others.
    function testFuzz_groupCap_isOfTheBookOfAllMembers(uint8 place) public {
        uint256 index = place % 6;
        _setGroup(index, _ids(AAVE, SPARE), 1_500e6, 10_000);
        _allocate(AAVE, 1_000e6);
        _allocate(VAULT, 1_000e6); // not in it
        _allocate(SPARE, 500e6);
        bytes memory over = abi.encodeWithSelector(
            ITreasuryGuard.OverGroupCap.selector, index, 1_500e6 + 1, 1_500e6
        );
        _allocateRefused(SPARE, 1, over);
        _allocateRefused(AAVE, 1, over);
        _allocate(VAULT, 1);
        _deallocate(AAVE, 10e6);
        _allocate(SPARE, 10e6);
    }

    function testFuzz_groupShare_isOfIdleAndBook(uint8 place) public {
        uint256 index = place % 6;
        _setGroup(index, _ids(AAVE, SPARE), 3 * CAP, 3_000);
        _allocate(AAVE, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _allocate(SPARE, 500e6);
        bytes memory over = abi.encodeWithSelector(
            ITreasuryGuard.OverGroupShare.selector, index, 1_500e6 + 1, 1_500e6
        );
        _allocateRefused(SPARE, 1, over);
        _allocateRefused(AAVE, 1, over);
        _allocate(VAULT, 1);
    }

    function testFuzz_group_countsInterestOfTheEnteredVenue(uint8 place) public {
        uint256 index = place % 6;
        _setGroup(index, _ids(AAVE, SPARE), 1_500e6, 10_000);
        _allocate(AAVE, 1_000e6);
        pool.setIndex(RAY * 6 / 5);
        _allocate(AAVE, 300e6);
        vm.expectPartialRevert(ITreasuryGuard.OverGroupCap.selector);
        _allocate(AAVE, 10e6);
    }

    function testFuzz_group_withoutVenuesLimitsNothing(uint8 place) public {
        _setGroup(place % 6, new bytes32[](0), 0, 0);
        _allocate(AAVE, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _allocate(SPARE, 1_000e6);
    }

    /// @dev A venue in all six: each is the tightest once, the first of those that are left last.
    function test_groups_allSixAreLookedAt() public {
        for (uint256 i = 0; i < 6; i++) {
            _setGroup(i, _ids(VAULT), (6 - i) * 100e6, 10_000);
        }
        for (uint256 i = 5; i < 6; i--) {
            uint256 cap = (6 - i) * 100e6;
            _allocateRefused(
                VAULT,
                101e6,
                abi.encodeWithSelector(ITreasuryGuard.OverGroupCap.selector, i, cap + 1e6, cap)
            );
            _allocate(VAULT, 100e6);
            _setGroup(i, new bytes32[](0), 0, 0);
            if (i == 0) break;
        }
        _allocate(VAULT, 101e6);
    }

    // --- The idle minimum ---

    function test_idleMin_staysInTheGuard() public {
        vm.prank(guardian);
        guard.raiseIdleMin(3_000e6);
        _allocate(VAULT, 2_000e6);
        _allocateRefused(
            VAULT,
            1,
            abi.encodeWithSelector(ITreasuryGuard.UnderIdleMin.selector, 3_000e6 - 1, 3_000e6)
        );
    }

    /// @dev It is kept for payments, so payments may use it.
    function test_idleMin_isNoLimitToPayments() public {
        vm.prank(guardian);
        guard.raiseIdleMin(FUNDS);
        _release(payee, 1_000e6);
        assertEq(guard.idle(), 4_000e6);
    }

    // --- Payees ---

    function test_payee_isABucketOfADay() public {
        _release(payee, 1_000e6);
        _releaseRefused(payee, 1, _overDayMax(payee, 1, 0));
        skip(6 hours);
        assertEq(_left(payee), 250e6);
        _releaseRefused(payee, 250e6 + 1, _overDayMax(payee, 250e6 + 1, 250e6));
        _release(payee, 250e6);
        assertEq(usdc.balanceOf(payee), 1_250e6);
    }

    function test_payee_neverHasMoreThanADay() public {
        skip(30 days);
        _releaseRefused(payee, 1_000e6 + 1, _overDayMax(payee, 1_000e6 + 1, 1_000e6));
    }

    function test_payees_haveOneBucketOverAll() public {
        _release(payee, 1_000e6);
        _releaseRefused(secondPayee, 500e6 + 1, _overAll(500e6 + 1, 500e6));
        assertEq(_left(secondPayee), 1_000e6);
        _release(secondPayee, 500e6);
        assertEq(_allLeft(), 0);
        skip(6 hours);
        assertEq(_allLeft(), 375e6);
        _releaseRefused(secondPayee, 375e6 + 1, _overAll(375e6 + 1, 375e6));
        _release(secondPayee, 375e6);
    }

    function test_payees_ofTheNativeCoin() public {
        vm.startPrank(allocator);
        ethGuard.release(payee, 10 ether);
        vm.expectRevert(_overDayMax(payee, 1, 0));
        ethGuard.release(payee, 1);
        assertEq(payee.balance, 10 ether);
    }

    function test_payees_nothingIsPaidWithoutABucketOverAll() public {
        vm.prank(guardian);
        guard.tightenPayeesDayMax(0);
        _releaseRefused(payee, 1, _overAll(1, 0));
    }

    // --- Reasons ---

    function _overCap(bytes32 id, uint256 position, uint256 cap)
        private
        pure
        returns (bytes memory)
    {
        return _reason(ITreasuryGuard.OverCap.selector, id, position, cap);
    }

    function _overShare(bytes32 id, uint256 position, uint256 max)
        private
        pure
        returns (bytes memory)
    {
        return _reason(ITreasuryGuard.OverShare.selector, id, position, max);
    }

    function _overFlow(bytes32 id, uint256 amount, uint256 left)
        private
        pure
        returns (bytes memory)
    {
        return _reason(ITreasuryGuard.OverFlow.selector, id, amount, left);
    }

    function _overDayMax(address account, uint256 amount, uint256 left)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(ITreasuryGuard.OverDayMax.selector, account, amount, left);
    }

    function _overAll(uint256 amount, uint256 left) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITreasuryGuard.OverPayeesDayMax.selector, amount, left);
    }
}
