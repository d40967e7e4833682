// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {HostileVault, PoolDouble} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev How limits come to be: all at once at the start, looser by a proposal, tighter at once.
contract TreasuryGuardTermsTest is TreasuryGuardSetup {
    uint256 private constant GRAINS_MAX = type(uint32).max;

    // --- The start ---

    function test_constructor_setsEverything() public view {
        assertEq(guard.ASSET(), address(usdc));
        assertEq(guard.GRAIN(), GRAIN);
        assertEq(guard.DELAY(), DELAY);
        assertEq(guard.owner(), owner);
        assertEq(guard.guardian(), guardian);
        assertEq(guard.allocator(), allocator);
        assertEq(guard.treasury(), treasury);
        assertFalse(guard.paused());
        assertEq(guard.idleMin(), 0);
        assertEq(guard.venueIds(), _ids(AAVE, VAULT, SPARE));
        ITreasuryGuard.Venue memory found = guard.venue(AAVE);
        assertEq(uint256(found.kind), uint256(ITreasuryGuard.Kind.AaveV3));
        assertEq(found.target, address(pool));
        assertEq(found.aux, address(pool));
        _assertLimits(AAVE, CAP, 10_000, FLOW);
        _assertGroup(5, _ids(AAVE, VAULT, SPARE), 3 * CAP, 10_000);
        assertTrue(guard.isPayee(payee));
        assertFalse(guard.isPayee(stranger));
        (uint256 dayMax, uint256 left) = guard.payeeBucket(payee);
        assertEq(dayMax, DAY_MAX);
        assertEq(left, DAY_MAX);
        (dayMax, left) = guard.payeesBucket();
        assertEq(dayMax, ALL_DAY_MAX);
        assertEq(left, ALL_DAY_MAX);
    }

    function test_constructor_refusesRolesThatAreZero() public {
        for (uint256 i = 0; i < 5; i++) {
            ITreasuryGuard.Setup memory setup = _setup();
            if (i == 0) setup.owner = address(0);
            if (i == 1) setup.guardian = address(0);
            if (i == 2) setup.allocator = address(0);
            if (i == 3) setup.treasury = address(0);
            if (i == 4) setup.payees[1].account = address(0);
            _buildRefused(setup, abi.encodeWithSelector(ITreasuryGuard.ZeroAddress.selector));
        }
    }

    function test_constructor_refusesDelaysOutOfRange() public {
        uint256[4] memory delays = [uint256(1 hours), 30 days, 1 hours - 1, 30 days + 1];
        for (uint256 i = 0; i < 4; i++) {
            ITreasuryGuard.Setup memory setup = _setup();
            setup.delay = delays[i];
            if (i < 2) {
                assertEq(new TreasuryGuard(setup).DELAY(), delays[i]);
                continue;
            }
            _buildRefused(
                setup,
                abi.encodeWithSelector(
                    ITreasuryGuard.DelayOutOfRange.selector, delays[i], 1 hours, 30 days
                )
            );
        }
    }

    function test_constructor_refusesGrainsOutOfRange() public {
        uint256[2] memory grains = [uint256(0), uint256(type(uint64).max) + 1];
        for (uint256 i = 0; i < 2; i++) {
            _buildRefused(
                _roles(address(usdc), grains[i]),
                abi.encodeWithSelector(ITreasuryGuard.GrainOutOfRange.selector, grains[i])
            );
        }
        assertEq(
            new TreasuryGuard(_roles(address(usdc), type(uint64).max)).GRAIN(), type(uint64).max
        );
    }

    function test_constructor_refusesASeventhGroup() public {
        ITreasuryGuard.Setup memory setup = _setup();
        setup.groups = new ITreasuryGuard.Group[](7);
        _buildRefused(setup, abi.encodeWithSelector(ITreasuryGuard.UnknownGroup.selector, 6));
    }

    function _buildRefused(ITreasuryGuard.Setup memory setup, bytes memory reason) private {
        vm.expectRevert(reason);
        new TreasuryGuard(setup);
    }

    // --- Listing ---

    function test_addVenue_listsUpToEight() public {
        for (uint256 i = 3; i < 8; i++) {
            address target = address(new HostileVault(usdc));
            vm.expectEmit(address(guard));
            emit ITreasuryGuard.VenueListed(bytes32(i), ITreasuryGuard.Kind.Erc4626, target, target);
            _list(guard, bytes32(i), ITreasuryGuard.Kind.Erc4626, target);
            assertEq(guard.venue(bytes32(i)).target, target);
        }
        assertEq(guard.venueIds().length, 8);
        _allocate(bytes32(uint256(7)), 1e6);
        address ninth = address(new HostileVault(usdc));
        vm.expectRevert(ITreasuryGuard.TooManyVenues.selector);
        _list(guard, "ninth", ITreasuryGuard.Kind.Erc4626, ninth);
    }

    function test_addVenue_refusesAnIdOrATargetTwice() public {
        address other = address(new HostileVault(usdc));
        vm.expectRevert(_reason(ITreasuryGuard.VenueExists.selector, AAVE));
        _list(guard, AAVE, ITreasuryGuard.Kind.Erc4626, other);
        vm.expectRevert(_reason(ITreasuryGuard.TargetListed.selector, address(vault)));
        _list(guard, "x", ITreasuryGuard.Kind.Erc4626, address(vault));
        vm.expectRevert(_reason(ITreasuryGuard.TargetListed.selector, address(pool)));
        _list(guard, "x", ITreasuryGuard.Kind.AaveV3, address(pool));
    }

    function test_addVenue_refusesWhatDoesNotFit() public {
        TestToken dai = new TestToken("D", "D", 18);
        address vaultOfDai = address(new HostileVault(dai));
        address poolOfDai = address(new PoolDouble(dai));
        address fresh = address(new HostileVault(usdc));
        address freshPool = address(new PoolDouble(usdc));
        address stakes = address(staking);
        _mismatch(guard, ITreasuryGuard.Kind.Erc4626, vaultOfDai, vaultOfDai);
        _mismatch(guard, ITreasuryGuard.Kind.Erc4626, fresh, freshPool);
        _mismatch(guard, ITreasuryGuard.Kind.AaveV3, stranger, freshPool);
        _mismatch(ethGuard, ITreasuryGuard.Kind.Staking, stakes, stranger);
        _mismatch(ethGuard, ITreasuryGuard.Kind.Staking, stranger, stakes);
        _mismatch(ethGuard, ITreasuryGuard.Kind.Staking, fresh, stakes);
        _mismatch(guard, ITreasuryGuard.Kind.AaveV3, poolOfDai, poolOfDai);
        _mismatch(guard, ITreasuryGuard.Kind.AaveV3, freshPool, poolOfDai);
        _mismatch(guard, ITreasuryGuard.Kind.Staking, stakes, stakes);
        _mismatch(guard, ITreasuryGuard.Kind.None, fresh, fresh);
        _mismatch(ethGuard, ITreasuryGuard.Kind.Erc4626, fresh, fresh);
        _mismatch(ethGuard, ITreasuryGuard.Kind.AaveV3, freshPool, freshPool);
        _mismatch(ethGuard, ITreasuryGuard.Kind.None, fresh, fresh);
        vm.mockCall(fresh, abi.encodeWithSignature("asset()"), abi.encode(address(0)));
        _mismatch(ethGuard, ITreasuryGuard.Kind.Erc4626, fresh, fresh); // of nothing, as it says
    }

    function _mismatch(TreasuryGuard at, ITreasuryGuard.Kind kind, address target, address aux)
        private
    {
        ITreasuryGuard.Listing memory listing = _listing("x", kind, target);
        listing.aux = aux;
        vm.expectRevert(_reason(ITreasuryGuard.VenueMismatch.selector, bytes32("x")));
        vm.prank(address(at));
        at.addVenue(listing);
    }

    function test_addVenue_isInNoGroup() public {
        _list(guard, "x", ITreasuryGuard.Kind.Erc4626, address(new HostileVault(usdc)));
        assertEq(guard.group(0).venues, _ids(AAVE, VAULT, SPARE));
    }

    // --- Loosening ---

    function test_setVenueLimits_revertsForWhatDoesNotFit() public {
        _limit(AAVE, GRAINS_MAX * GRAIN, 10_000, GRAINS_MAX * GRAIN);
        _assertLimits(AAVE, GRAINS_MAX * GRAIN, 10_000, GRAINS_MAX * GRAIN);
        uint256[2] memory bad = [GRAIN + 1, (GRAINS_MAX + 1) * GRAIN];
        for (uint256 i = 0; i < 2; i++) {
            vm.expectRevert(_notWhole(bad[i]));
            _limit(AAVE, bad[i], 0, 0);
            vm.expectRevert(_notWhole(bad[i]));
            _limit(AAVE, 0, 0, bad[i]);
            vm.expectRevert(_notWhole(bad[i]));
            _setGroup(0, _ids(AAVE), bad[i], 0);
            vm.expectRevert(_notWhole(bad[i]));
            vm.prank(guardian);
            guard.raiseIdleMin(bad[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.ShareOutOfRange.selector, 10_001));
        _limit(AAVE, 0, 10_001, 0);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.ShareOutOfRange.selector, 10_001));
        _setGroup(0, _ids(AAVE), 0, 10_001);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        _limit(STAKING, 0, 0, 0);
    }

    function test_setGroup_formsItAnew() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.GroupFormed(2, _ids(SPARE, AAVE));
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.GroupLimited(2, 10e6, 77);
        _setGroup(2, _ids(SPARE, AAVE), 10e6, 77);
        _assertGroup(2, _ids(AAVE, SPARE), 10e6, 77);
        _assertGroup(1, _ids(AAVE, VAULT, SPARE), 3 * CAP, 10_000);
        _setGroup(2, _ids(VAULT), 20e6, 10_000);
        _assertGroup(2, _ids(VAULT), 20e6, 10_000);
        _allocate(AAVE, 30e6);
        vm.expectPartialRevert(ITreasuryGuard.OverGroupCap.selector);
        _allocate(VAULT, 20e6 + 1);
        _setGroup(2, _ids(VAULT, VAULT), 20e6, 10_000); // twice the same counts once
        _allocate(VAULT, 20e6);
        vm.prank(guardian);
        guard.tightenGroup(2, 0, 0);
        _allocate(AAVE, 30e6); // not in it any more
    }

    function test_setGroup_revertsForWhatThereIsNot() public {
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.UnknownGroup.selector, 6));
        _setGroup(6, _ids(AAVE), 0, 0);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        _setGroup(0, _ids(STAKING), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.UnknownGroup.selector, 6));
        guard.group(6);
    }

    function test_setPayee_listsAndLimits() public {
        vm.startPrank(address(guard));
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.PayeeLimited(stranger, 5);
        guard.setPayee(stranger, 5);
        vm.expectRevert(ITreasuryGuard.ZeroAddress.selector);
        guard.setPayee(address(0), 5);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.DayMaxOutOfRange.selector, uint256(1) << 96)
        );
        guard.setPayee(stranger, uint256(1) << 96);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.PayeesLimited(6);
        guard.setPayeesDayMax(6);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.DayMaxOutOfRange.selector, uint256(1) << 96)
        );
        guard.setPayeesDayMax(uint256(1) << 96);
        vm.stopPrank();
        _release(stranger, 5);
    }

    function test_setIdleMin_lowersIt() public {
        vm.prank(guardian);
        guard.raiseIdleMin(4_000e6);
        _decide(guard, abi.encodeCall(ITreasuryGuard.setIdleMin, (3_000e6)));
        assertEq(guard.idleMin(), 3_000e6);
        _allocate(AAVE, 2_000e6);
    }

    // --- Tightening ---

    function testFuzz_tightening_isForGuardianAndOwner(address caller) public {
        vm.assume(caller != owner && caller != guardian);
        address[2] memory others = [allocator, caller];
        bytes[] memory calls = _tighteningCalls();
        for (uint256 i = 0; i < calls.length; i++) {
            for (uint256 k = 0; k < 2; k++) {
                vm.prank(others[k]);
                (bool ok, bytes memory answer) = address(guard).call(calls[i]);
                assertFalse(ok);
                assertEq(answer, _reason(ITreasuryGuard.NotGuardian.selector, others[k]));
            }
            vm.prank(i % 2 == 0 ? owner : guardian);
            (bool done,) = address(guard).call(calls[i]);
            assertTrue(done);
        }
    }

    function _tighteningCalls() private pure returns (bytes[] memory calls) {
        calls = new bytes[](7);
        calls[0] =
            abi.encodeCall(ITreasuryGuard.tightenVenue, (AAVE, ITreasuryGuard.Limits(0, 0, 0)));
        calls[1] = abi.encodeCall(ITreasuryGuard.tightenGroup, (0, 0, 0));
        calls[2] = abi.encodeCall(ITreasuryGuard.tightenPayee, (address(0), 0));
        calls[3] = abi.encodeCall(ITreasuryGuard.tightenPayeesDayMax, (0));
        calls[4] = abi.encodeCall(ITreasuryGuard.raiseIdleMin, (GRAIN));
        calls[5] = abi.encodeCall(ITreasuryGuard.pause, ());
        calls[6] = abi.encodeCall(ITreasuryGuard.revokeAllocator, ());
    }

    function test_tightening_takesWhatIsTheSameOrLess() public {
        vm.startPrank(guardian);
        guard.tightenVenue(AAVE, ITreasuryGuard.Limits(CAP, 10_000, FLOW));
        guard.tightenVenue(AAVE, ITreasuryGuard.Limits(CAP - GRAIN, 9_999, FLOW - GRAIN));
        _assertLimits(AAVE, CAP - GRAIN, 9_999, FLOW - GRAIN);
        guard.tightenGroup(3, 3 * CAP, 10_000);
        guard.tightenGroup(3, CAP, 9_999);
        _assertGroup(3, _ids(AAVE, VAULT, SPARE), CAP, 9_999);
        guard.tightenPayee(payee, DAY_MAX);
        guard.tightenPayee(payee, DAY_MAX - 1);
        guard.tightenPayeesDayMax(ALL_DAY_MAX);
        guard.tightenPayeesDayMax(ALL_DAY_MAX - 1);
        guard.raiseIdleMin(GRAIN);
        guard.raiseIdleMin(GRAIN);
        assertEq(_left(payee), DAY_MAX - 1);
        assertEq(_allLeft(), ALL_DAY_MAX - 1);
        assertEq(guard.idleMin(), GRAIN);
    }

    /// @dev Each part alone, and with all the others tighter.
    function test_tightening_neverLoosens() public {
        _looserVenue(CAP + GRAIN, 0, 0);
        _looserVenue(0, 10_001, 0);
        _looserVenue(0, 0, FLOW + GRAIN);
        for (uint256 i = 0; i < 6; i++) {
            _looser(abi.encodeCall(ITreasuryGuard.tightenGroup, (i, 3 * CAP + GRAIN, 0)));
            _looser(abi.encodeCall(ITreasuryGuard.tightenGroup, (i, 0, 10_001)));
        }
        _looser(abi.encodeCall(ITreasuryGuard.tightenPayee, (payee, DAY_MAX + 1)));
        _looser(abi.encodeCall(ITreasuryGuard.tightenPayee, (stranger, 1)));
        _looser(abi.encodeCall(ITreasuryGuard.tightenPayeesDayMax, (ALL_DAY_MAX + 1)));
        vm.prank(guardian);
        guard.raiseIdleMin(2 * GRAIN);
        _looser(abi.encodeCall(ITreasuryGuard.raiseIdleMin, (GRAIN)));
    }

    function _looserVenue(uint256 cap, uint256 share, uint256 flow) private {
        _looser(
            abi.encodeCall(
                ITreasuryGuard.tightenVenue, (AAVE, ITreasuryGuard.Limits(cap, share, flow))
            )
        );
    }

    function _looser(bytes memory call) private {
        vm.prank(guardian);
        (bool ok, bytes memory answer) = address(guard).call(call);
        assertFalse(ok);
        assertEq(answer, abi.encodeWithSelector(ITreasuryGuard.NotTighter.selector));
    }

    function test_tightenGroup_leavesNothingOfTheOldCap() public {
        for (uint256 i = 0; i < 6; i++) {
            _setGroup(i, _ids(AAVE, SPARE), 0xffff * GRAIN, 10_000);
            vm.prank(guardian);
            guard.tightenGroup(i, 0, 10_000);
            _assertGroup(i, _ids(AAVE, SPARE), 0, 10_000);
        }
    }

    function test_tightenVenue_leavesTheAddressAndTheGroups() public {
        vm.prank(guardian);
        guard.tightenVenue(AAVE, ITreasuryGuard.Limits(0, 0, 0));
        assertEq(guard.venue(AAVE).target, address(pool));
        assertEq(uint256(guard.venue(AAVE).kind), uint256(ITreasuryGuard.Kind.AaveV3));
        _limit(AAVE, CAP, 10_000, FLOW);
        _setGroup(5, _ids(VAULT), CAP, 10_000);
        vm.prank(guardian);
        guard.tightenGroup(4, 0, 10_000);
        vm.expectPartialRevert(ITreasuryGuard.OverGroupCap.selector);
        _allocate(AAVE, 1);
    }

    // --- Helpers ---

    function _assertLimits(bytes32 id, uint256 cap, uint256 share, uint256 flow) private view {
        ITreasuryGuard.Limits memory limits = guard.venue(id).limits;
        assertEq(limits.cap, cap);
        assertEq(limits.shareMaxBps, share);
        assertEq(limits.flowMax, flow);
    }

    function _assertGroup(uint256 index, bytes32[] memory ids, uint256 cap, uint256 share)
        private
        view
    {
        ITreasuryGuard.Group memory found = guard.group(index);
        assertEq(found.venues, ids);
        assertEq(found.cap, cap);
        assertEq(found.shareMaxBps, share);
    }

    function _notWhole(uint256 limit) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITreasuryGuard.LimitNotWhole.selector, limit, GRAIN);
    }
}
