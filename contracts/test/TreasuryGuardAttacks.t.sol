// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {HookToken} from "./Hostile.sol";
import {HostileVault, NaiveVault} from "./HostileVenues.sol";
import {Accomplice, SecondDoor, TwoDoorToken} from "./Thieves.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";
import {
    SmallGuard,
    WeakBucket,
    WeakCap,
    WeakDelay,
    WeakEntry,
    WeakInit,
    WeakLock,
    WeakPause,
    WeakPayee,
    WeakPrice,
    WeakSweep,
    WeakVenue,
    WeakViews
} from "./WeakGuards.sol";

/// @dev Every attack succeeds against a guard that lacks one check, then fails against ours. The
/// thief has the allocator's key, and owns a venue or a payee where the attack says so.
contract TreasuryGuardAttacksTest is TreasuryGuardSetup {
    bytes4 private reentrant = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
    address private thief = makeAddr("thief");

    // --- A stolen allocator ---

    function test_attack_toAnUnlistedPayee() public {
        SmallGuard weak = _armed(new WeakPayee(usdc, owner, allocator));
        _asAllocator(weak).release(thief, FUNDS);
        assertEq(_loot(), FUNDS);

        vm.expectRevert(_reason(ITreasuryGuard.UnknownPayee.selector, thief));
        _asAllocator(guard).release(thief, FUNDS);
    }

    function test_attack_toAnUnlistedVenue() public {
        HostileVault trap = new HostileVault(usdc);
        bytes32 id = bytes32(uint256(uint160(address(trap))));
        SmallGuard weak = new WeakVenue(usdc, owner, allocator);
        usdc.mint(address(weak), FUNDS);
        weak.list(id, address(0), 0, 10_000);
        _asAllocator(weak).allocate(id, FUNDS, 0);
        trap.lose(FUNDS, thief);
        assertEq(_loot(), FUNDS);

        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, id));
        _asAllocator(guard).allocate(id, FUNDS, 0);
    }

    /// @dev The venue is lost as well: what is in it can go, and no more may get there.
    function test_attack_overTheCap() public {
        SmallGuard weak = _armed(new WeakCap(usdc, owner, allocator));
        _asAllocator(weak).allocate(VAULT, FUNDS, 0);
        vault.lose(FUNDS, thief);
        assertEq(_loot(), FUNDS);

        vm.expectRevert(_reason(ITreasuryGuard.OverCap.selector, VAULT, FUNDS, CAP));
        _asAllocator(guard).allocate(VAULT, FUNDS, 0);
    }

    /// @dev The payee is the thief's: what a day allows is lost, and no more.
    function test_attack_overTheBucket() public {
        SmallGuard weak = new WeakBucket(usdc, owner, allocator);
        usdc.mint(address(weak), FUNDS);
        weak.setPayee(thief, DAY_MAX);
        _asAllocator(weak).release(thief, FUNDS);
        assertEq(_loot(), FUNDS);

        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.OverDayMax.selector, payee, FUNDS, DAY_MAX)
        );
        _asAllocator(guard).release(payee, FUNDS);
        _asAllocator(guard).release(payee, DAY_MAX);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.OverDayMax.selector, payee, 1, 0));
        _asAllocator(guard).release(payee, 1);
    }

    function test_attack_whilePaused() public {
        SmallGuard weak = _armed(new WeakPause(usdc, owner, allocator));
        weak.pause();
        _asAllocator(weak).release(payee, DAY_MAX);
        _asAllocator(weak).allocate(VAULT, CAP, 0);
        assertEq(usdc.balanceOf(payee), DAY_MAX);
        assertEq(vault.balanceOf(address(weak)), CAP);

        vm.prank(guardian);
        guard.pause();
        vm.expectRevert(ITreasuryGuard.WhilePaused.selector);
        _asAllocator(guard).release(payee, DAY_MAX);
        vm.expectRevert(ITreasuryGuard.WhilePaused.selector);
        _asAllocator(guard).allocate(VAULT, CAP, 0);
    }

    /// @dev A token with a second address: as a stray, it moves what is no stray.
    function test_attack_theAssetAsAStray() public {
        TwoDoorToken token = new TwoDoorToken();
        SecondDoor door = token.DOOR();
        SmallGuard weak = new WeakSweep(token, owner, allocator);
        token.mint(address(weak), FUNDS);
        _asAllocator(weak).sweepStray(address(door));
        assertEq(token.balanceOf(owner), FUNDS);

        TreasuryGuard ours = new TreasuryGuard(_roles(address(token), GRAIN));
        token.mint(address(ours), FUNDS);
        vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, address(door)));
        _asAllocator(ours).sweepStray(address(door));
        assertEq(token.balanceOf(address(ours)), FUNDS);
    }

    /// @dev The same by the second address of what a venue is held by.
    function test_attack_aReceiptAsAStray() public {
        TwoDoorToken token = new TwoDoorToken();
        address door = address(token.DOOR());
        vm.mockCall(address(token), abi.encodeWithSignature("asset()"), abi.encode(address(usdc)));
        _list(guard, "two doors", ITreasuryGuard.Kind.Erc4626, address(token));
        token.mint(address(guard), 10);
        vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, door));
        _asAllocator(guard).sweepStray(door);
    }

    // --- The owner ---

    /// @dev A stolen owner has to wait in the open, and is stopped.
    function test_attack_anotherOwnerBeforeTheDelay() public {
        bytes memory call = abi.encodeCall(ITreasuryGuard.setOwner, (thief));
        SmallGuard weak = _armed(new WeakDelay(usdc, owner, allocator));
        vm.startPrank(owner);
        weak.propose(call);
        weak.execute(call);
        assertEq(weak.owner(), thief);

        guard.propose(call);
        vm.expectPartialRevert(ITreasuryGuard.TooEarly.selector);
        guard.execute(call);
        vm.stopPrank();
        vm.prank(guardian);
        guard.cancel(call);
        skip(DELAY);
        vm.expectPartialRevert(ITreasuryGuard.NotProposed.selector);
        vm.prank(owner);
        guard.execute(call);
        vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, thief));
        vm.prank(thief);
        guard.acceptOwnership();
    }

    function test_attack_initTakeover() public {
        WeakInit weak = new WeakInit(usdc);
        bytes memory call = abi.encodeCall(WeakInit.initialize, (thief));
        vm.startPrank(thief);
        (bool ok,) = address(weak).call(call);
        assertTrue(ok);
        assertEq(weak.owner(), thief);

        (ok,) = address(guard).call(call);
        assertFalse(ok);
        (ok,) = address(ethGuard).call(call);
        assertFalse(ok);
        assertEq(guard.owner(), owner);
    }

    // --- Prices ---

    /// @dev The first depositor makes one share so dear that the guard's deposit buys none.
    function test_attack_inflation() public {
        NaiveVault naive = new NaiveVault(usdc);
        SmallGuard weak = new WeakEntry(usdc, owner, allocator);
        usdc.mint(address(weak), FUNDS);
        weak.list(VAULT, address(naive), CAP, 10_000);
        _inflate(naive, 1, 1_000e6);
        _asAllocator(weak).allocate(VAULT, 1_000e6, 0);
        vm.prank(thief);
        naive.redeem(1, thief, thief);
        assertEq(_loot(), 2_000e6 + 1); // twice what it brought

        naive = new NaiveVault(usdc);
        _list(guard, "naive", ITreasuryGuard.Kind.Erc4626, address(naive));
        _inflate(naive, 1, 1_000e6);
        vm.expectRevert(_reason(ITreasuryGuard.EntryLoss.selector, bytes32("naive"), 1_000e6, 0));
        _asAllocator(guard).allocate("naive", 1_000e6, 0);
    }

    /// @dev However it is tuned, an entry that goes through keeps its worth but for the rounding.
    function testFuzz_attack_inflation(uint64 first, uint64 donated, uint256 amount) public {
        NaiveVault naive = new NaiveVault(usdc);
        _list(guard, "naive", ITreasuryGuard.Kind.Erc4626, address(naive));
        _inflate(naive, bound(first, 1, 1e6), donated);
        amount = bound(amount, 1, CAP);
        vm.prank(allocator);
        try guard.allocate("naive", amount, 0) {
            assertGe(guard.position("naive") + 2 + amount / 10_000, amount);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), ITreasuryGuard.EntryLoss.selector);
        }
    }

    /// @dev A price that was moved without a loss at once is what `sharesMin` is against.
    function test_attack_priceMovedBeforeTheEntry() public {
        vault.deposit(_minted(100e6), address(this));
        uint256 sharesMin = vault.previewDeposit(500e6);
        vault.setPrice(20_000);
        SmallGuard weak = _armed(new WeakEntry(usdc, owner, allocator));
        _asAllocator(weak).allocate(VAULT, 500e6, sharesMin);
        vault.setPrice(10_000);
        uint256 worth = vault.convertToAssets(vault.balanceOf(address(weak)));
        assertLt(worth, 450e6);

        vault.setPrice(20_000);
        vm.expectPartialRevert(ITreasuryGuard.TooFewShares.selector);
        _asAllocator(guard).allocate(VAULT, 500e6, sharesMin);
    }

    /// @dev A price pressed for one transaction hides what is in a venue from its group.
    function test_attack_depressedPriceMakesNoRoomInAGroup() public {
        SmallGuard weak = _armed(new WeakPrice(usdc, owner, allocator));
        weak.setGroupCap(1_500e6);
        _asAllocator(weak).allocate(VAULT, 1_000e6, 0);
        vault.setPrice(1_000);
        _asAllocator(weak).allocate(SPARE, 1_000e6, 0);
        vault.setPrice(10_000);
        assertEq(vault.balanceOf(address(weak)) + spare.balanceOf(address(weak)), 2_000e6);

        _setGroup(0, _ids(VAULT, SPARE), 1_500e6, 10_000);
        _allocate(VAULT, 1_000e6);
        vault.setPrice(1_000);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.OverGroupCap.selector, 0, 2_000e6, 1_500e6)
        );
        _asAllocator(guard).allocate(SPARE, 1_000e6, 0);
        vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, guardian));
        vm.prank(guardian);
        guard.writeDown(VAULT); // would make the room
    }

    /// @dev A price pumped for one transaction makes everything larger, and shares of it too.
    function test_attack_pumpedPriceMakesNoRoomInAShare() public {
        SmallGuard weak = new WeakPrice(usdc, owner, allocator);
        usdc.mint(address(weak), FUNDS);
        weak.list(VAULT, address(vault), CAP, 10_000);
        weak.list(SPARE, address(spare), CAP, 2_000);
        _asAllocator(weak).allocate(VAULT, 1_000e6, 0);
        vault.setPrice(100_000);
        _asAllocator(weak).allocate(SPARE, 2_000e6, 0);
        vault.setPrice(10_000);
        assertEq(spare.balanceOf(address(weak)), 2_000e6); // two fifths of all

        _limit(SPARE, CAP, 2_000, FLOW);
        _allocate(VAULT, 1_000e6);
        vault.setPrice(100_000);
        vm.expectRevert(_reason(ITreasuryGuard.OverShare.selector, SPARE, 2_000e6, 1_000e6));
        _asAllocator(guard).allocate(SPARE, 2_000e6, 0);
    }

    /// @dev Nor does the entered venue's own: it counts for at least as much as it adds.
    function testFuzz_attack_aPumpedPriceMakesNoRoomForItself(uint256 price, uint256 share) public {
        share = bound(share, 1, 7_999); // below the cap
        _limit(VAULT, CAP, share, FLOW);
        uint256 most = FUNDS * share / 10_000;
        uint256 first = most / 2 + 1;
        _allocate(VAULT, first);
        vault.setPrice(bound(price, 10_000, 10_000_000));
        vm.prank(allocator);
        (bool ok,) = address(guard)
            .call(abi.encodeCall(ITreasuryGuard.allocate, (VAULT, most - first + 1, 0)));
        assertFalse(ok);
    }

    // --- Re-entrancy ---

    /// @dev The thief's key stands for code (EIP-7702), here the venue itself: it is entered again
    /// while it is entered, before the first entry is counted.
    function test_attack_reentrantVenue() public {
        SmallGuard weak = new WeakLock(usdc, owner, address(vault));
        usdc.mint(address(weak), FUNDS);
        weak.list(VAULT, address(vault), 1_000e6, 10_000);
        bytes memory again = abi.encodeCall(ITreasuryGuard.allocate, (VAULT, 1_000e6, 0));
        vault.callLate();
        vault.hook(address(weak), again);
        vm.prank(address(vault));
        weak.allocate(VAULT, 1_000e6, 0);
        assertEq(vault.balanceOf(address(weak)), 2_000e6);

        vm.prank(address(guard));
        guard.setAllocator(address(vault));
        vault.hook(address(guard), again);
        vm.expectRevert(reentrant);
        vm.prank(address(vault));
        guard.allocate(VAULT, 1_000e6, 0);
    }

    /// @dev A token that calls whom it pays: the payee is paid again before it is counted.
    function test_attack_reentrantToken() public {
        HookToken token = new HookToken();
        Accomplice rogue = new Accomplice();
        token.hook(address(rogue));
        SmallGuard weak = new WeakLock(token, owner, address(rogue));
        token.mint(address(weak), FUNDS);
        weak.setPayee(address(rogue), DAY_MAX);
        rogue.take(ITreasuryGuard(address(weak)), DAY_MAX);
        assertEq(token.balanceOf(address(rogue)), 2 * DAY_MAX);

        ITreasuryGuard.Setup memory setup = _roles(address(token), GRAIN);
        setup.allocator = address(rogue);
        setup.payeesDayMax = FUNDS;
        setup.payees = new ITreasuryGuard.Payee[](1);
        setup.payees[0] = ITreasuryGuard.Payee(address(rogue), DAY_MAX);
        TreasuryGuard ours = new TreasuryGuard(setup);
        token.mint(address(ours), FUNDS);
        vm.expectRevert(reentrant);
        rogue.take(ours, DAY_MAX);
        assertEq(token.balanceOf(address(ours)), FUNDS);
    }

    /// @dev Whoever reads a guard in the middle of an entry would see the same funds twice.
    function test_attack_readOnlyReentrancy() public {
        bytes memory look = abi.encodeCall(ITreasuryGuard.total, ());
        SmallGuard weak = _armed(new WeakViews(usdc, owner, allocator));
        vault.hook(address(weak), look);
        _asAllocator(weak).allocate(VAULT, 1_000e6, 0);
        assertEq(abi.decode(vault.answer(), (uint256)), FUNDS + 1_000e6);

        bytes[4] memory looks = [
            look,
            abi.encodeCall(ITreasuryGuard.idle, ()),
            abi.encodeCall(ITreasuryGuard.position, (VAULT)),
            abi.encodeCall(ITreasuryGuard.venue, (VAULT))
        ];
        for (uint256 i = 0; i < 4; i++) {
            vault.hook(address(guard), looks[i]);
            vm.expectRevert(reentrant);
            _asAllocator(guard).allocate(VAULT, 1_000e6, 0);
        }
    }

    // --- Helpers ---

    function _armed(SmallGuard weak) private returns (SmallGuard) {
        usdc.mint(address(weak), FUNDS);
        weak.list(VAULT, address(vault), CAP, 10_000);
        weak.list(SPARE, address(spare), CAP, 10_000);
        weak.setPayee(payee, DAY_MAX);
        return weak;
    }

    function _asAllocator(SmallGuard weak) private returns (SmallGuard) {
        vm.prank(allocator);
        return weak;
    }

    function _asAllocator(TreasuryGuard ours) private returns (TreasuryGuard) {
        vm.prank(allocator);
        return ours;
    }

    function _inflate(NaiveVault naive, uint256 first, uint256 donated) private {
        usdc.mint(thief, first + donated);
        vm.startPrank(thief);
        usdc.approve(address(naive), first);
        naive.deposit(first, thief);
        assertTrue(usdc.transfer(address(naive), donated));
        vm.stopPrank();
    }

    function _minted(uint256 amount) private returns (uint256) {
        usdc.mint(address(this), amount);
        usdc.approve(address(vault), amount);
        return amount;
    }

    function _loot() private view returns (uint256) {
        return usdc.balanceOf(thief);
    }
}
