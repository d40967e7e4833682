// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {stdError} from "forge-std/Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {IAaveV3AToken} from "../src/interfaces/IVenues.sol";
import {Foreign} from "../src/guard/Foreign.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {FalseToken, Refuser, SilentToken} from "./Hostile.sol";
import {HostileVault, PoolDouble, StakingDouble} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Into venues and to payees: what moves, what is left behind, and what stops it.
contract TreasuryGuardMovesTest is TreasuryGuardSetup {
    uint256 private constant RAY = 1e27;
    StakingDouble private slashed;
    TreasuryGuard private slashedGuard;

    function setUp() public override {
        super.setUp();
        slashed = new StakingDouble();
        ITreasuryGuard.Setup memory setup = _ethSetup();
        setup.venues[0].target = setup.venues[0].aux = address(slashed);
        slashedGuard = new TreasuryGuard(setup);
        vm.deal(address(slashedGuard), 50 ether);
        vm.deal(address(slashed), 1 ether);
    }

    // --- allocate ---

    function test_allocate_aave() public {
        pool.setIndex(RAY * 5 / 4);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Allocated(AAVE, 400e6);
        _allocate(AAVE, 400e6);
        assertEq(pool.scaledBalanceOf(address(guard)), 320e6);
        assertEq(guard.position(AAVE), 400e6);
        _assertEntered(AAVE, address(pool), 400e6);
    }

    function test_allocate_vault() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Allocated(VAULT, 400e6);
        _allocate(VAULT, 400e6);
        assertEq(vault.balanceOf(address(guard)), 400e6);
        assertEq(guard.position(VAULT), 400e6);
        _assertEntered(VAULT, address(vault), 400e6);
    }

    function test_allocate_staking() public {
        vm.expectEmit(address(ethGuard));
        emit ITreasuryGuard.Allocated(STAKING, 4 ether);
        _stake(4 ether);
        assertEq(ethGuard.position(STAKING), 4 ether);
        assertEq(staking.balanceOf(address(ethGuard)), 4 ether);
        assertEq(ethGuard.venue(STAKING).booked, 4 ether);
        assertEq(ethGuard.idle(), 46 ether);
        assertEq(ethGuard.total(), 50 ether);
    }

    function _assertEntered(bytes32 id, address target, uint256 amount) private view {
        assertEq(_booked(id), amount);
        assertEq(guard.idle(), FUNDS - amount);
        assertEq(guard.total(), FUNDS);
        assertEq(usdc.allowance(address(guard), target), 0);
    }

    function testFuzz_allocate_revertsForAllButTheAllocator(address caller) public {
        vm.assume(caller != allocator);
        address[3] memory others = [owner, guardian, caller];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectRevert(_reason(ITreasuryGuard.NotAllocator.selector, others[i]));
            vm.prank(others[i]);
            guard.allocate(AAVE, 1, 0);
        }
    }

    function test_allocate_revertsForAnUnlistedVenue() public {
        _allocateRefused(STAKING, 1, _reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
    }

    function test_allocate_revertsForNothing() public {
        _allocateRefused(AAVE, 0, _reason(ITreasuryGuard.ZeroAmount.selector));
    }

    function test_allocate_revertsWhilePaused() public {
        vm.prank(guardian);
        guard.pause();
        _allocateRefused(AAVE, 1, _reason(ITreasuryGuard.WhilePaused.selector));
    }

    function test_allocate_revertsForMoreThanIsIdle() public {
        _allocate(AAVE, 4_000e6);
        vm.expectRevert(stdError.arithmeticError);
        _allocate(VAULT, 1_000e6 + 1);
        _allocate(VAULT, 1_000e6);
    }

    function test_allocate_revertsForMoreThanThereCanBe() public {
        vm.expectPartialRevert(ITreasuryGuard.OverCap.selector);
        _allocate(AAVE, type(uint256).max);
        _allocate(AAVE, 1);
        vm.expectPartialRevert(ITreasuryGuard.OverCap.selector);
        _allocate(AAVE, type(uint256).max);
    }

    /// @dev A hundredth of a percent, and two base units: of a venue that keeps one more, nothing.
    function test_allocate_aave_revertsAboveTheLossOfRounding() public {
        _assertLossRefused(AAVE, address(pool), 1_000e6, 100_000 + 2);
        _assertLossRefused(AAVE, address(pool), 9_999, 2);
    }

    function test_allocate_vault_revertsAboveTheLossOfRounding() public {
        _assertLossRefused(VAULT, address(vault), 1_000e6, 100_000 + 2);
    }

    /// @dev What a vault keeps of an entry it keeps of all shares: the new ones alone do not show it.
    function test_allocate_vault_revertsIfWhatIsThereLosesByIt() public {
        _allocate(VAULT, 1_000e6);
        vault.keep(100_000); // a hundredth of what enters now
        vm.expectPartialRevert(ITreasuryGuard.EntryLoss.selector);
        _allocate(VAULT, 10e6);
    }

    /// @dev Two base units of rounding are more than such an entry: it could cost any amount.
    function test_allocate_vault_revertsIfTheSmallestEntryCosts() public {
        _allocate(VAULT, 1_000e6);
        vault.keep(100e6);
        _allocateRefused(VAULT, 1, _reason(ITreasuryGuard.EntryLoss.selector, VAULT, 1, 0));
        vault.keep(0);
        _allocate(VAULT, 1);
    }

    function test_allocate_staking_revertsAboveTheLossOfRounding() public {
        uint256 most = 1 ether / 10_000 + 2;
        slashed.keep(most + 1);
        vm.expectRevert(
            _reason(ITreasuryGuard.EntryLoss.selector, STAKING, 1 ether, 1 ether - most - 1)
        );
        vm.prank(allocator);
        slashedGuard.allocate(STAKING, 1 ether, 0);
        slashed.keep(most);
        vm.prank(allocator);
        slashedGuard.allocate(STAKING, 1 ether, 0);
    }

    function _assertLossRefused(bytes32 id, address venue, uint256 amount, uint256 most) private {
        HostileVault(venue).keep(most + 1);
        bytes memory reason =
            _reason(ITreasuryGuard.EntryLoss.selector, id, amount, amount - most - 1);
        _allocateRefused(id, amount, reason);
        HostileVault(venue).keep(most);
        uint256 before = guard.position(id);
        _allocate(id, amount);
        assertEq(guard.position(id) - before, amount - most);
    }

    /// @dev Shares are counted in the venue's own unit.
    function test_allocate_revertsForTooFewShares() public {
        pool.setIndex(RAY * 5 / 4);
        vault.deposit(_mintAndApprove(100e6), address(this));
        usdc.mint(address(vault), 100e6);
        assertEq(_fewest(guard, AAVE, 400e6), 320e6);
        assertApproxEqAbs(_fewest(guard, VAULT, 400e6), 200e6, 2);
        assertEq(_fewest(ethGuard, STAKING, 4 ether), 4 ether);
    }

    /// @return shares The most that an entry can ask for, found by what the refusal says it got.
    function _fewest(TreasuryGuard at, bytes32 id, uint256 amount)
        private
        returns (uint256 shares)
    {
        vm.prank(allocator);
        try at.allocate(id, amount, type(uint256).max) {}
        catch (bytes memory answer) {
            assertEq(bytes4(answer), ITreasuryGuard.TooFewShares.selector);
            assembly ("memory-safe") {
                shares := mload(add(answer, 0x44))
            }
        }
        vm.expectRevert(_reason(ITreasuryGuard.TooFewShares.selector, id, shares, shares + 1));
        vm.prank(allocator);
        at.allocate(id, amount, shares + 1);
        vm.prank(allocator);
        at.allocate(id, amount, shares);
    }

    function test_allocate_revertsIfAVaultTakesLessOrNothing() public {
        vault.leave(1);
        _allocateRefused(VAULT, 100e6, _partial(VAULT, 100e6));
        vault.leave(100e6);
        _allocateRefused(VAULT, 100e6, _partial(VAULT, 100e6));
        assertEq(usdc.allowance(address(guard), address(vault)), 0);
    }

    function test_allocate_revertsIfStakingHandsSomeBack() public {
        slashed.giveBack(1);
        vm.expectRevert(_partial(STAKING, 1 ether));
        vm.prank(allocator);
        slashedGuard.allocate(STAKING, 1 ether, 0);
    }

    function test_allocate_revertsIfAPoolTakesLess() public {
        pool.leave(50e6);
        _allocateRefused(AAVE, 100e6, _reason(ITreasuryGuard.EntryLoss.selector, AAVE, 100e6, 50e6));
        assertEq(usdc.allowance(address(guard), address(pool)), 0);
    }

    function test_allocate_passesTheVenuesOwnReasonOn() public {
        address old = address(new PoolDouble(usdc));
        vm.mockCall(address(pool), abi.encodeCall(IAaveV3AToken.POOL, ()), abi.encode(old));
        vm.mockCallRevert(
            old, abi.encodeWithSelector(PoolDouble.supply.selector), bytes("frozen reserve")
        );
        _allocateRefused(AAVE, 1e6, bytes("frozen reserve"));
        vm.clearMockedCalls();
        vm.mockCallRevert(
            address(pool), abi.encodeCall(IAaveV3AToken.POOL, ()), bytes("no pool any more")
        );
        _allocateRefused(AAVE, 1e6, bytes("no pool any more"));
        vm.clearMockedCalls();
        vm.mockCallRevert(
            address(pool),
            abi.encodeCall(IAaveV3AToken.scaledBalanceOf, (address(guard))),
            bytes("no balance")
        );
        _allocateRefused(AAVE, 1e6, bytes("no balance"));
    }

    /// @dev An answer of no words is no answer, however the code behind the address came to be gone.
    function test_allocate_revertsIfAnAnswerIsMissing() public {
        bytes memory bad = _reason(Foreign.BadAnswer.selector, address(pool));
        vm.mockCall(address(pool), abi.encodeCall(IAaveV3AToken.POOL, ()), "");
        _allocateRefused(AAVE, 1e6, bad);
        vm.clearMockedCalls();
        vm.mockCall(
            address(pool), abi.encodeCall(IAaveV3AToken.scaledBalanceOf, (address(guard))), hex"01"
        );
        _allocateRefused(AAVE, 1e6, bad);
    }

    function test_allocate_readsAnApprovalAsOldAndNewTokensAnswer() public {
        bytes memory approval = abi.encodeCall(IERC20.approve, (address(vault), 1e6));
        bytes memory bad = _reason(Foreign.BadAnswer.selector, address(usdc));
        vm.mockCall(address(usdc), approval, abi.encode(false));
        _allocateRefused(VAULT, 1e6, bad);
        vm.mockCall(address(usdc), approval, abi.encode(uint256(2)));
        _allocateRefused(VAULT, 1e6, bad);
        vm.mockCallRevert(address(usdc), approval, bytes("blocked"));
        _allocateRefused(VAULT, 1e6, bytes("blocked"));
        vm.mockCall(address(usdc), approval, "");
        vm.expectPartialRevert(
            bytes4(keccak256("ERC20InsufficientAllowance(address,uint256,uint256)"))
        );
        _allocate(VAULT, 1e6);
    }

    // --- release ---

    function test_release_paysAPayee() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Released(payee, 10e6);
        _release(payee, 10e6);
        vm.prank(allocator);
        ethGuard.release(payee, 1 ether);
        assertEq(usdc.balanceOf(payee), 10e6);
        assertEq(payee.balance, 1 ether);
        assertEq(guard.idle(), FUNDS - 10e6);
    }

    function testFuzz_release_revertsForAnUnlistedPayee(address to) public {
        vm.assume(to != payee && to != secondPayee);
        _releaseRefused(to, 1, _reason(ITreasuryGuard.UnknownPayee.selector, to));
    }

    function test_release_revertsForARemovedPayee() public {
        vm.prank(guardian);
        guard.tightenPayee(payee, 0);
        assertFalse(guard.isPayee(payee));
        _releaseRefused(payee, 1, _reason(ITreasuryGuard.UnknownPayee.selector, payee));
        _release(secondPayee, 1);
    }

    function testFuzz_release_revertsForAllButTheAllocator(address caller) public {
        vm.assume(caller != allocator);
        address[4] memory others = [owner, guardian, payee, caller];
        for (uint256 i = 0; i < 4; i++) {
            vm.expectRevert(_reason(ITreasuryGuard.NotAllocator.selector, others[i]));
            vm.prank(others[i]);
            guard.release(payee, 1);
        }
    }

    function test_release_revertsWhilePaused() public {
        vm.prank(guardian);
        guard.pause();
        _releaseRefused(payee, 1, _reason(ITreasuryGuard.WhilePaused.selector));
    }

    function test_release_revertsForNothing() public {
        _releaseRefused(payee, 0, _reason(ITreasuryGuard.ZeroAmount.selector));
    }

    function test_release_revertsIfThePayeeRefuses() public {
        vm.etch(payee, address(new Refuser()).code);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.TransferFailed.selector, payee, 1 ether)
        );
        vm.prank(allocator);
        ethGuard.release(payee, 1 ether);
    }

    function test_release_ofTokensThatReturnFalseOrNothing() public {
        FalseToken no = new FalseToken();
        TreasuryGuard noGuard = _bareGuard(address(no));
        no.mint(address(noGuard), 10);
        vm.expectRevert(_reason(SafeERC20.SafeERC20FailedOperation.selector, address(no)));
        vm.prank(allocator);
        noGuard.release(payee, 10);

        SilentToken old = new SilentToken();
        TreasuryGuard oldGuard = _bareGuard(address(old));
        old.mint(address(oldGuard), 10);
        vm.prank(allocator);
        oldGuard.release(payee, 10);
        assertEq(old.balanceOf(payee), 10);
    }

    // --- receive ---

    function test_receive_onlyTheNativeGuardTakesEther() public {
        (bool ok,) = address(ethGuard).call{value: 1 ether}("");
        assertTrue(ok);
        bytes memory answer;
        (ok, answer) = address(guard).call{value: 1 ether}("");
        assertFalse(ok);
        assertEq(answer, _reason(ITreasuryGuard.WrongAsset.selector));
    }

    // --- Helpers ---

    function _bareGuard(address asset) private returns (TreasuryGuard) {
        ITreasuryGuard.Setup memory setup = _roles(asset, 1);
        setup.payeesDayMax = 100;
        setup.payees = new ITreasuryGuard.Payee[](1);
        setup.payees[0] = ITreasuryGuard.Payee(payee, 100);
        return new TreasuryGuard(setup);
    }

    function _mintAndApprove(uint256 amount) private returns (uint256) {
        usdc.mint(address(this), amount);
        usdc.approve(address(vault), amount);
        return amount;
    }

    function _partial(bytes32 id, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITreasuryGuard.PartialEntry.selector, id, amount);
    }
}
