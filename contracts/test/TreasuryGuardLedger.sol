// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {StakingDouble} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev What two guards ought to hold, kept apart from them: books, buckets to 1/86,400 of a base
/// unit, and a floor under what guard, venues and payees are worth together.
abstract contract TreasuryGuardLedger is TreasuryGuardSetup {
    struct Bucket {
        uint256 size;
        /// @dev In parts of 1/86,400 base unit.
        uint256 level;
        uint256 time;
    }

    struct Payment {
        uint256 time;
        uint256 amount;
    }

    StakingDouble public slashable;
    TestToken public stray;
    /// @dev The first thing that did not hold; empty if all did.
    string public broken;
    mapping(bytes32 id => uint256) public booked;
    mapping(uint256 requestId => uint256) public requests;
    uint256 public requested;
    /// @dev By guard: 0 is the token's, 1 the native coin's.
    int256[2] public floors;
    uint256 public nativeIn;
    uint256 public forced;
    mapping(bytes32 key => Bucket) private _buckets;
    mapping(bytes32 key => Payment[]) private _payments;
    mapping(bytes32 key => uint256) private _firstSizes;

    /// @dev What the world does to worth moves the floor with it.
    modifier outside() {
        uint256[2] memory before = [_worth(AAVE), _worth(STAKING)];
        _;
        floors[0] += int256(_worth(AAVE)) - int256(before[0]);
        floors[1] += int256(_worth(STAKING)) - int256(before[1]);
    }

    function _open() internal {
        nativeIn = address(ethGuard).balance;
        floors = [int256(_worth(AAVE)), int256(_worth(STAKING))];
        for (uint256 i = 0; i < 4; i++) {
            bytes32 id = _id(i);
            _fill(_flowKey(id), _guardOf(id).venue(id).limits.flowMax);
        }
        _fill(_payeeKey(guard, payee), DAY_MAX);
        _fill(_payeeKey(guard, secondPayee), DAY_MAX);
        _fill(_payeeKey(guard, address(0)), ALL_DAY_MAX);
        _fill(_payeeKey(ethGuard, payee), 10 ether);
        _fill(_payeeKey(ethGuard, address(0)), 15 ether);
    }

    // --- Moves ---

    function _bookEntry(bytes32 id, uint256 amount) internal {
        booked[id] += amount;
        _take(_flowKey(id), amount);
    }

    function _bookExit(bytes32 id, uint256 got) internal {
        bool gone = _receipts(id) == 0 && (id != STAKING || requested == 0);
        booked[id] = gone || got > booked[id] ? 0 : booked[id] - got;
    }

    function _bookRequest(uint256 amount) internal {
        requests[slashable.count()] = amount;
        requested += amount;
    }

    function _bookPayment(TreasuryGuard at, address to, uint256 amount) internal {
        _hold(to == payee || (to == secondPayee && at == guard), "paid a stranger");
        _take(_payeeKey(at, to), amount);
        _take(_payeeKey(at, address(0)), amount);
        _holdDay(_payeeKey(at, to), amount);
        _holdDay(_payeeKey(at, address(0)), amount);
    }

    /// @dev In no day more than what the bucket held and what came in meanwhile.
    function _holdDay(bytes32 key, uint256 amount) private {
        Payment[] storage payments = _payments[key];
        payments.push(Payment(block.timestamp, amount));
        uint256 sum = 0;
        for (uint256 i = payments.length; i > 0; i--) {
            if (payments[i - 1].time + 1 days <= block.timestamp) break;
            sum += payments[i - 1].amount;
        }
        _hold(sum <= 2 * _firstSizes[key], "paid more than two days in one");
    }

    /// @dev What an entry may lead to, from the figures of the ledger and the venue's own.
    function _holdLimits(bytes32 id) internal {
        TreasuryGuard at = _guardOf(id);
        ITreasuryGuard.Limits memory limits = at.venue(id).limits;
        uint256 position = _position(id);
        if (position < booked[id]) position = booked[id];
        uint256 above = position - booked[id];
        uint256 all = _idle(id) + _booked(at) + above;
        _hold(position <= limits.cap, "over the cap");
        _hold(position * 10_000 <= all * limits.shareMaxBps, "over the share");
        _hold(_idle(id) >= at.idleMin(), "under the idle minimum");
        for (uint256 i = 0; i < 6; i++) {
            ITreasuryGuard.Group memory group = at.group(i);
            uint256 inside = above;
            bool member = false;
            for (uint256 k = 0; k < group.venues.length; k++) {
                inside += booked[group.venues[k]];
                if (group.venues[k] == id) member = true;
            }
            if (!member) continue;
            _hold(inside <= group.cap, "over the cap of a group");
            _hold(inside * 10_000 <= all * group.shareMaxBps, "over the share of a group");
        }
    }

    function _holdAllowances() internal {
        bool none = usdc.allowance(address(guard), address(pool)) == 0
            && usdc.allowance(address(guard), address(vault)) == 0
            && usdc.allowance(address(guard), address(spare)) == 0
            && slashable.allowance(address(ethGuard), address(slashable)) == 0;
        _hold(none, "an allowance was left");
    }

    /// @param most What a venue keeps by rounding, or lost itself.
    function _mayLose(bytes32 id, uint256 before, uint256 most) internal {
        uint256 now_ = _worth(id);
        if (now_ >= before) return;
        _hold(before - now_ <= most, "worth was lost");
        floors[id == STAKING ? 1 : 0] -= int256(before - now_);
    }

    function _hold(bool holds, string memory what) internal {
        if (!holds && bytes(broken).length == 0) broken = what;
    }

    // --- Buckets ---

    function _take(bytes32 key, uint256 amount) private {
        Bucket storage bucket = _buckets[key];
        _refill(bucket);
        if (amount * 1 days > bucket.level) return _hold(false, "over a bucket");
        bucket.level -= amount * 1 days;
    }

    /// @dev What is missing stays missing.
    function _resize(bytes32 key, uint256 size) internal {
        Bucket storage bucket = _buckets[key];
        _refill(bucket);
        uint256 missing = bucket.size * 1 days - bucket.level;
        bucket.size = size;
        bucket.level = missing < size * 1 days ? size * 1 days - missing : 0;
    }

    function _refill(Bucket storage bucket) private {
        uint256 full = bucket.size * 1 days;
        bucket.level += (block.timestamp - bucket.time) * bucket.size;
        if (bucket.level > full) bucket.level = full;
        bucket.time = block.timestamp;
    }

    function _fill(bytes32 key, uint256 size) private {
        _buckets[key] = Bucket(size, size * 1 days, block.timestamp);
        _firstSizes[key] = size;
    }

    function _flowKey(bytes32 id) internal pure returns (bytes32) {
        return keccak256(abi.encode("flow", id));
    }

    function _payeeKey(TreasuryGuard at, address account) internal pure returns (bytes32) {
        return keccak256(abi.encode("payee", at, account));
    }

    // --- What there is, without asking a guard ---

    function _worth(bytes32 id) internal view returns (uint256 worth) {
        if (id == STAKING) return address(ethGuard).balance + payee.balance + _position(STAKING);
        worth = usdc.balanceOf(address(guard)) + usdc.balanceOf(payee) + usdc.balanceOf(secondPayee);
        worth += _position(AAVE) + _position(VAULT) + _position(SPARE);
    }

    function _position(bytes32 id) internal view returns (uint256) {
        if (id == AAVE) return _receipts(AAVE);
        if (id == VAULT) return vault.convertToAssets(_receipts(VAULT));
        if (id == SPARE) return spare.convertToAssets(_receipts(SPARE));
        return _receipts(STAKING) + requested;
    }

    function _receipts(bytes32 id) internal view returns (uint256) {
        if (id == AAVE) return pool.balanceOf(address(guard));
        if (id == VAULT) return vault.balanceOf(address(guard));
        if (id == SPARE) return spare.balanceOf(address(guard));
        return slashable.balanceOf(address(ethGuard));
    }

    function _idle(bytes32 id) internal view returns (uint256) {
        return id == STAKING ? address(ethGuard).balance : usdc.balanceOf(address(guard));
    }

    function _booked(TreasuryGuard at) internal view returns (uint256) {
        if (at == ethGuard) return booked[STAKING];
        return booked[AAVE] + booked[VAULT] + booked[SPARE];
    }

    function _most(bytes32 id) internal pure returns (uint256) {
        return id == STAKING ? 60 ether : 3_000e6;
    }

    function _guardOf(bytes32 id) internal view returns (TreasuryGuard) {
        return id == STAKING ? ethGuard : guard;
    }

    function _id(uint256 which) internal pure returns (bytes32) {
        bytes32[5] memory ids = [AAVE, VAULT, SPARE, STAKING, STAKING]; // twice, for its claims
        return ids[which % 5];
    }

    function _dealMore(address to, uint256 amount) internal {
        vm.deal(to, to.balance + amount);
        nativeIn += amount;
    }
}
