// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {StakingDouble} from "./HostileVenues.sol";
import {TreasuryGuardLedger} from "./TreasuryGuardLedger.sol";

/// @dev What may happen to two guards while the service, or a thief with its key, has the allocator:
/// moves, time, good and bad venues, gifts, and a guardian who tightens. What each move may do is
/// held against the ledger, which does not ask the guard.
contract TreasuryGuardHandler is TreasuryGuardLedger {
    uint256 private constant RAY = 1e27;
    uint256 public entered;
    uint256 public left;
    uint256 public claimed;
    uint256 public paid;
    uint256 public refused;

    constructor() {
        vm.deal(address(this), 100 ether); // the reserve of the simulator
        setUp();
        slashable = new StakingDouble();
        stray = new TestToken("Stray", "S", 18);
        ITreasuryGuard.Setup memory setup = _ethSetup();
        setup.venues[0] = _listing(STAKING, ITreasuryGuard.Kind.Staking, address(slashable));
        setup.venues[0].limits = ITreasuryGuard.Limits(30 ether, 9_000, 20 ether);
        ethGuard = new TreasuryGuard(setup);
        vm.deal(address(ethGuard), 50 ether);
        _limit(AAVE, 2_000e6, 5_000, 800e6);
        _limit(VAULT, 2_000e6, 5_000, 800e6);
        _limit(SPARE, 1_000e6, 2_500, 400e6);
        _setGroup(0, _ids(AAVE, VAULT), 3_000e6, 7_000);
        _setGroup(1, _ids(VAULT, SPARE), 2_500e6, 6_000);
        _setGroup(2, _ids(AAVE, SPARE), 2_500e6, 6_000);
        _setGroup(5, _ids(AAVE, VAULT, SPARE), 4_000e6, 8_000);
        // Others in the vaults, so that a share stays small whatever the guard does.
        usdc.mint(address(this), 2_000e6);
        usdc.approve(address(vault), 1_000e6);
        usdc.approve(address(spare), 1_000e6);
        vault.deposit(1_000e6, stranger);
        spare.deposit(1_000e6, stranger);
        _open();
    }

    // --- For the invariants ---

    function guards() external view returns (TreasuryGuard, TreasuryGuard) {
        return (guard, ethGuard);
    }

    function worth() external view returns (uint256 token, uint256 native) {
        return (_worth(AAVE), _worth(STAKING));
    }

    function payeeOf() external view returns (address) {
        return payee;
    }

    /// @return found All that may ever hold the token.
    function places() external view returns (address[] memory found) {
        found = new address[](7);
        (found[0], found[1], found[2]) = (address(guard), address(pool), address(vault));
        (found[3], found[4], found[5]) = (address(spare), payee, secondPayee);
        found[6] = address(1);
    }

    // --- The allocator ---

    function allocate(uint256 which, uint256 amount, bool careful) external {
        bytes32 id = which % 16 == 15 ? bytes32("unlisted") : _id(which);
        TreasuryGuard at = _guardOf(id);
        amount = bound(amount, 0, careful && id != "unlisted" ? at.flowLeft(id) : _most(id));
        uint256 before = _worth(id);
        if (!_asAllocator(at, abi.encodeCall(ITreasuryGuard.allocate, (id, amount, 0)))) return;
        entered++;
        _hold(id != "unlisted", "entered what is not listed");
        _bookEntry(id, amount);
        _mayLose(id, before, amount / 10_000 + 4);
        _holdLimits(id);
    }

    function deallocate(uint256 which, uint256 amount) external {
        bytes32 id = _id(which);
        TreasuryGuard at = _guardOf(id);
        uint256 before = _worth(id);
        uint256 idleBefore = _idle(id);
        uint256 receipts = _receipts(id);
        uint256 position = _position(id);
        amount = amount % 3 == 0 ? type(uint256).max : bound(amount, 0, receipts + 1);
        if (!_asAllocator(at, abi.encodeCall(ITreasuryGuard.deallocate, (id, amount)))) return;
        left++;
        uint256 got = _idle(id) - idleBefore;
        if (id == STAKING) {
            _bookRequest(amount == type(uint256).max ? receipts : amount);
        } else {
            _bookExit(id, got);
            _hold(got == (amount == type(uint256).max ? position : amount), "left with less");
        }
        // At a price that somebody moved, an exit moves it again for those who stay: the venue's loss.
        bool moved = vault.priceBps() != 10_000 || spare.priceBps() != 10_000;
        _mayLose(id, before, moved ? position : 4);
    }

    function claim(uint256 requestId) external {
        requestId = bound(requestId, 0, slashable.count() + 1);
        uint256 before = _worth(STAKING);
        uint256 asked = requests[requestId];
        uint256 idleBefore = _idle(STAKING);
        bytes memory call = abi.encodeCall(ITreasuryGuard.claim, (STAKING, requestId));
        if (!_asAllocator(ethGuard, call)) return;
        claimed++;
        _hold(asked != 0, "claimed what was not asked for");
        delete requests[requestId];
        requested -= asked;
        uint256 got = _idle(STAKING) - idleBefore;
        _hold(got == asked * slashable.paidBps() / 10_000, "claimed another amount");
        _bookExit(STAKING, got);
        _mayLose(STAKING, before, asked - got); // the queue's own loss
    }

    function release(uint256 which, uint256 amount, bool native, bool careful) external {
        TreasuryGuard at = native ? ethGuard : guard;
        address[4] memory accounts = [payee, secondPayee, payee, stranger];
        address to = accounts[which % 4];
        bytes32 asset = native ? STAKING : AAVE;
        (, uint256 most) = at.payeeBucket(to);
        amount = bound(amount, 0, careful ? most : _most(asset));
        uint256 before = _worth(asset);
        if (!_asAllocator(at, abi.encodeCall(ITreasuryGuard.release, (to, amount)))) return;
        paid++;
        _bookPayment(at, to, amount);
        _mayLose(asset, before, 0);
    }

    /// @dev Whatever else the key may call, with whatever it may want.
    function sweep(uint256 which, bool native) external {
        address[7] memory tokens = [
            address(usdc),
            address(pool),
            address(vault),
            address(spare),
            address(slashable),
            address(stray),
            address(0)
        ];
        address token = tokens[which % 7];
        TreasuryGuard at = native ? ethGuard : guard;
        if (!_asAllocator(at, abi.encodeCall(ITreasuryGuard.sweepStray, (token)))) return;
        bool isOurs = native == (which % 7 == 4 || which % 7 == 6) && which % 7 != 5;
        _hold(!isOurs, "swept what is no stray");
    }

    function meddle(uint256 which) external {
        bytes[10] memory calls = [
            abi.encodeCall(ITreasuryGuard.moveOut, (address(usdc))),
            abi.encodeCall(ITreasuryGuard.writeDown, (VAULT)),
            abi.encodeCall(ITreasuryGuard.setPayee, (stranger, 1e30)),
            abi.encodeCall(ITreasuryGuard.setAllocator, (stranger)),
            abi.encodeCall(ITreasuryGuard.setOwner, (stranger)),
            abi.encodeCall(ITreasuryGuard.setSuccessor, (stranger)),
            abi.encodeCall(ITreasuryGuard.propose, ("")),
            abi.encodeCall(ITreasuryGuard.execute, ("")),
            abi.encodeCall(ITreasuryGuard.acceptOwnership, ()),
            abi.encodeCall(ITreasuryGuard.pause, ())
        ];
        _hold(!_asAllocator(guard, calls[which % 10]), "did what is not the allocator's");
    }

    // --- The world ---

    function pass(uint256 time) external {
        skip(bound(time, 1, 36 hours));
        if (!guard.paused()) return;
        vm.prank(address(guard));
        guard.unpause();
    }

    function market(uint256 what, uint256 size) external outside {
        if (what % 8 == 0) _moveIndex(bound(size, 10_000, 10_300));
        if (what % 8 == 1) pool.setIndex(pool.index() * bound(size, 9_700, 10_000) / 10_000);
        if (what % 8 == 2) usdc.mint(address(vault), bound(size, 0, 20e6));
        if (what % 8 == 3) {
            vault.lose(usdc.balanceOf(address(vault)) * bound(size, 0, 500) / 10_000, address(1));
        }
        if (what % 8 == 4) vault.setPrice(bound(size, 8_000, 12_000));
        if (what % 8 == 5) spare.setPrice(bound(size, 8_000, 12_000));
        if (what % 8 == 6) _moveStaking(bound(size, 9_500, 10_500));
        if (what % 8 == 7) slashable.setPaid(bound(size, 9_000, 10_000));
    }

    /// @dev From within what is taken for rounding to above it.
    function greed(uint256 size) external outside {
        vault.keep(bound(size, 0, 50_000));
        pool.keep(bound(size >> 128, 0, 50_000));
    }

    function give(uint256 what, uint96 amount) external outside {
        if (what % 6 == 0) usdc.mint(address(guard), amount % 500e6);
        if (what % 6 == 1) _dealMore(address(ethGuard), amount % 3 ether);
        if (what % 6 == 2) _giveReceipts(amount % 50e6 + 1);
        if (what % 6 == 3) stray.mint(address(guard), amount);
        if (what % 6 == 4) stray.mint(address(ethGuard), amount);
        if (what % 6 == 5) {
            vm.deal(address(guard), address(guard).balance + amount); // forced in
            forced += amount;
        }
    }

    function tighten(uint256 what, uint256 size) external {
        uint256 part = bound(size, 9_000, 10_000);
        vm.startPrank(guardian);
        if (what % 16 == 0) _tightenVenue(guard, _id(size % 3), part);
        if (what % 16 == 1) _tightenVenue(ethGuard, STAKING, part);
        if (what % 16 == 2) _tightenGroup(size % 6, part);
        if (what % 16 == 3) _tightenPayee(guard, payee, part);
        if (what % 16 == 4) _tightenPayees(guard, part);
        if (what % 16 == 5) guard.raiseIdleMin(guard.idleMin() + GRAIN);
        if (what % 16 == 6) guard.pause();
        vm.stopPrank();
    }

    // --- How the world does it ---

    function _moveIndex(uint256 part) private {
        uint256 before = usdc.balanceOf(address(pool));
        pool.setIndex(pool.index() * part / 10_000);
        usdc.mint(address(pool), before * (part - 10_000) / 10_000 + 1);
    }

    function _moveStaking(uint256 part) private {
        uint256 price = slashable.priceBps() * part / 10_000;
        if (price < 5_000 || price > 20_000) return;
        slashable.setPrice(price);
        if (part > 10_000) {
            _dealMore(address(slashable), address(slashable).balance * (part - 10_000) / 10_000 + 1);
        }
    }

    function _giveReceipts(uint256 amount) private {
        usdc.mint(address(this), amount);
        usdc.approve(address(spare), amount);
        spare.deposit(amount, address(guard));
    }

    function _tightenVenue(TreasuryGuard at, bytes32 id, uint256 part) private {
        ITreasuryGuard.Limits memory limits = at.venue(id).limits;
        uint256 grain = at.GRAIN();
        limits.cap = limits.cap / grain * part / 10_000 * grain;
        limits.flowMax = limits.flowMax / grain * part / 10_000 * grain;
        at.tightenVenue(id, limits);
        _resize(_flowKey(id), limits.flowMax);
    }

    function _tightenGroup(uint256 index, uint256 part) private {
        uint256 cap = guard.group(index).cap / GRAIN * part / 10_000 * GRAIN;
        guard.tightenGroup(index, cap, guard.group(index).shareMaxBps);
    }

    function _tightenPayee(TreasuryGuard at, address account, uint256 part) private {
        (uint256 dayMax,) = at.payeeBucket(account);
        at.tightenPayee(account, dayMax * part / 10_000);
        _resize(_payeeKey(at, account), dayMax * part / 10_000);
    }

    function _tightenPayees(TreasuryGuard at, uint256 part) private {
        (uint256 dayMax,) = at.payeesBucket();
        at.tightenPayeesDayMax(dayMax * part / 10_000);
        _resize(_payeeKey(at, address(0)), dayMax * part / 10_000);
    }

    function _asAllocator(TreasuryGuard at, bytes memory call) private returns (bool ok) {
        vm.prank(allocator);
        (ok,) = address(at).call(call);
        if (!ok) refused++;
        _holdAllowances();
    }
}
