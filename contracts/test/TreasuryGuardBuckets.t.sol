// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Buckets beside an exact one, whose level is kept in parts of 1/86,400 base unit.
contract TreasuryGuardBucketsTest is TreasuryGuardSetup {
    uint256 private constant DAY = 1 days;
    TreasuryGuard private bucketGuard;

    function setUp() public override {
        super.setUp();
        TestToken token = new TestToken("T", "T", 18);
        ITreasuryGuard.Setup memory setup = _roles(address(token), GRAIN);
        setup.payeesDayMax = type(uint96).max;
        bucketGuard = new TreasuryGuard(setup);
        token.mint(address(bucketGuard), type(uint128).max);
    }

    // --- Buckets ---

    /// @dev Never more than the exact bucket has, and for each payment at most a second's worth less.
    function testFuzz_bucket_followsTheExactOne(
        uint96 dayMax,
        uint256[8] calldata amounts,
        uint32[8] calldata steps
    ) public {
        dayMax = uint96(bound(dayMax, 1, type(uint96).max));
        TreasuryGuard at = _bucketGuard(dayMax);
        uint256 level = uint256(dayMax) * DAY;
        uint256 payments = 0;
        for (uint256 i = 0; i < 8; i++) {
            uint256 step = bound(steps[i], 0, 2 * DAY);
            skip(step);
            level += step * dayMax;
            if (level > uint256(dayMax) * DAY) level = uint256(dayMax) * DAY;
            (, uint256 left) = at.payeeBucket(payee);
            assertLe(left * DAY, level);
            // Rounding of a payment is below a second, and of the view below one base unit.
            assertGe(left * DAY + (payments + 1) * dayMax + DAY, level);
            uint256 amount = bound(amounts[i], 1, uint256(dayMax) + 1);
            if (!_tryRelease(at, amount)) {
                assertGt(amount, left);
                continue;
            }
            assertLe(amount, left);
            level -= amount * DAY;
            payments++;
        }
    }

    /// @dev What the view says is left can be paid, to the last base unit, and nothing more.
    function testFuzz_bucket_leftIsWhatCanBePaid(uint96 dayMax, uint256 first, uint32 step) public {
        dayMax = uint96(bound(dayMax, 1, type(uint96).max));
        TreasuryGuard at = _bucketGuard(dayMax);
        assertTrue(_tryRelease(at, bound(first, 1, dayMax)));
        skip(bound(step, 0, DAY));
        (, uint256 left) = at.payeeBucket(payee);
        assertFalse(_tryRelease(at, left + 1));
        if (left != 0) assertTrue(_tryRelease(at, left));
    }

    /// @dev In any day: what was in the bucket, and what came in since.
    function testFuzz_bucket_paysAtMostTwoDaysInOne(uint96 dayMax, uint256[12] calldata amounts)
        public
    {
        dayMax = uint96(bound(dayMax, 1, type(uint96).max));
        TreasuryGuard at = _bucketGuard(dayMax);
        uint256 paid = 0;
        for (uint256 i = 0; i < 12; i++) {
            uint256 amount = bound(amounts[i], 1, dayMax);
            (, uint256 left) = at.payeeBucket(payee);
            if (amount > left) amount = left;
            if (amount != 0 && _tryRelease(at, amount)) paid += amount;
            skip(DAY / 12);
        }
        assertLe(paid, 2 * uint256(dayMax));
    }

    /// @dev A day of payments of one base unit each costs a second apiece, however large the bucket.
    function test_bucket_theSmallestPaymentCostsASecond() public {
        TreasuryGuard at = _bucketGuard(type(uint96).max);
        assertTrue(_tryRelease(at, 1));
        (uint256 dayMax, uint256 left) = at.payeeBucket(payee);
        assertEq(left, (DAY - 1) * dayMax / DAY);
        assertTrue(_tryRelease(at, left));
        assertFalse(_tryRelease(at, 1));
        skip(1);
        assertTrue(_tryRelease(at, 1));
        assertFalse(_tryRelease(at, 1));
    }

    // --- Another size ---

    /// @dev With another size, what is missing stays missing: a smaller bucket never has more than
    /// before less the difference, a larger one never more than before and the difference.
    function testFuzz_bucket_ofAnotherSize(uint96 before, uint96 size, uint256 spent, uint32 step)
        public
    {
        before = uint96(bound(before, 1, type(uint96).max));
        size = uint96(bound(size, 1, type(uint96).max));
        TreasuryGuard at = _bucketGuard(before);
        assertTrue(_tryRelease(at, bound(spent, 1, before)));
        skip(bound(step, 0, DAY));
        (, uint256 left) = at.payeeBucket(payee);
        uint256 missing = before - left;
        if (size <= before) {
            vm.prank(guardian);
            at.tightenPayee(payee, size);
        } else {
            vm.prank(address(at));
            at.setPayee(payee, size);
        }
        (, uint256 leftNow) = at.payeeBucket(payee);
        uint256 exact = size > missing ? size - missing : 0;
        assertLe(leftNow, exact + 1); // `missing` is rounded up by less than one
        assertGe(leftNow + size / DAY + before / DAY + 2, exact);
        assertLe(leftNow, size);
    }

    /// @dev Off the list and on it again does not fill it.
    function test_bucket_isNotFilledByListingAnew() public {
        _release(payee, DAY_MAX);
        vm.prank(guardian);
        guard.tightenPayee(payee, 0);
        (uint256 dayMax, uint256 left) = guard.payeeBucket(payee);
        assertEq(dayMax + left, 0);
        vm.prank(address(guard));
        guard.setPayee(payee, DAY_MAX);
        assertEq(_left(payee), 0);
        skip(DAY / 2);
        assertEq(_left(payee), DAY_MAX / 2);
    }

    /// @dev However much more is missing than the new size holds, a day fills it.
    function test_bucket_ofTheSmallestSizeIsFullAfterADay() public {
        TreasuryGuard at = _bucketGuard(type(uint96).max);
        assertTrue(_tryRelease(at, type(uint96).max));
        vm.prank(guardian);
        at.tightenPayee(payee, 1);
        skip(DAY - 1);
        assertFalse(_tryRelease(at, 1));
        skip(1);
        assertTrue(_tryRelease(at, 1));
    }

    function test_flow_ofTheSmallestSizeLeavesTheBook() public {
        _allocate(AAVE, FLOW);
        _allocate(VAULT, 10e6);
        vm.prank(guardian);
        guard.tightenVenue(AAVE, ITreasuryGuard.Limits(CAP, 10_000, GRAIN));
        assertEq(_booked(AAVE), FLOW);
        assertEq(_booked(VAULT), 10e6);
        skip(DAY);
        assertEq(_flowLeft(AAVE), GRAIN);
    }

    function test_flow_isNotFilledByAnotherLimit() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        _allocate(VAULT, 600e6);
        vm.prank(guardian);
        guard.tightenVenue(VAULT, ITreasuryGuard.Limits(CAP, 10_000, 600e6));
        assertEq(_flowLeft(VAULT), 0);
        _limit(VAULT, CAP, 10_000, 0);
        _limit(VAULT, CAP, 10_000, 1_200e6);
        assertEq(_flowLeft(VAULT), 0);
        assertEq(_booked(VAULT), 600e6);
    }

    function test_flow_ofAnotherSizeMissesTheSame() public {
        _limit(VAULT, CAP, 10_000, 1_000e6);
        _allocate(VAULT, 400e6);
        _limit(VAULT, CAP, 10_000, 2_000e6);
        assertApproxEqAbs(_flowLeft(VAULT), 1_600e6, 2_000e6 / DAY + 1);
        assertLe(_flowLeft(VAULT), 1_600e6);
    }

    // --- Helpers ---

    function _tryRelease(TreasuryGuard at, uint256 amount) private returns (bool ok) {
        bytes memory answer;
        vm.prank(allocator);
        (ok, answer) = address(at).call(abi.encodeCall(ITreasuryGuard.release, (payee, amount)));
        if (!ok) assertEq(bytes4(answer), ITreasuryGuard.OverDayMax.selector);
    }

    /// @return at With a payee whose bucket is full, and next to no limit over all.
    function _bucketGuard(uint96 dayMax) private returns (TreasuryGuard at) {
        at = bucketGuard;
        vm.prank(address(at));
        at.setPayee(payee, dayMax);
    }
}
