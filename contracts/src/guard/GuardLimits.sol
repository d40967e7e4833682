// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {GuardBuckets} from "./GuardBuckets.sol";

/// @dev The limits of a guard, and the book they are held against. A word of storage costs more than
/// all the arithmetic here, so what is read together lies together: an entry reads the head, the
/// venue's terms and one word for every two venues, and writes one of these.
abstract contract GuardLimits is GuardBuckets {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant VENUES_MAX = 8;
    uint256 internal constant GROUPS_MAX = 6;

    // A venue's terms, from the lowest bit: target 160, cap 32, flow 32 (both in grains), share 16,
    // groups 8 (one bit each), kind 4, index 4.
    uint256 private constant CAP_AT = 160;
    uint256 private constant FLOW_AT = 192;
    uint256 private constant SHARE_AT = 224;
    uint256 private constant GROUPS_AT = 240;
    uint256 private constant KIND_AT = 248;
    uint256 private constant INDEX_AT = 252;
    // A lane of the book, two to a word: booked 96, time of the full bucket 32.
    uint256 private constant LANE_BITS = 128;
    uint256 private constant BOOKED_MASK = 0xffffffffffffffffffffffff;
    uint256 private constant LANE_MASK = 0xffffffffffffffffffffffffffffffff;
    uint256 private constant GRAINS_MASK = 0xffffffff;
    uint256 private constant SHARE_MASK = 0xffff;
    // A group: members 8 (one bit each), cap 32 in grains, share 16.
    uint256 private constant GROUP_BITS = 56;
    uint256 private constant GROUP_MASK = (1 << GROUP_BITS) - 1;
    uint256 private constant GROUP_CAP_AT = 8;
    uint256 private constant GROUP_SHARE_AT = 40;
    // The head, from the lowest bit: the first two groups 112, idle minimum in grains 32, number of
    // venues 4, paused 4, tag of the allocator 104. A venue in one of the other groups costs its
    // entries another word.
    uint256 private constant HEAD_GROUPS = 2;
    uint256 private constant IDLE_MIN_AT = 112;
    uint256 private constant COUNT_AT = 144;
    uint256 private constant PAUSED_AT = 148;
    uint256 private constant TAG_AT = 152;

    uint256 public immutable GRAIN;

    bytes32[] internal _venueIds;
    mapping(bytes32 id => uint256) internal _termsOf;
    mapping(bytes32 id => mapping(uint256 requestId => uint256)) public requestedOf;
    mapping(bytes32 id => uint256) internal _requested;
    uint256 private _head;
    uint256 private _moreGroups;
    uint256[VENUES_MAX / 2] private _book;
    mapping(address account => uint256) private _payees;
    uint256 private _allPayees;

    constructor(uint256 grain) {
        if (grain == 0 || grain > type(uint64).max) revert GrainOutOfRange(grain);
        GRAIN = grain;
    }

    function isPayee(address account) external view returns (bool) {
        return uint96(_payees[account]) != 0;
    }

    function payeeBucket(address payee) external view returns (uint256 dayMax, uint256 left) {
        return _bucket(_payees[payee]);
    }

    function payeesBucket() external view returns (uint256 dayMax, uint256 left) {
        return _bucket(_allPayees);
    }

    function flowLeft(bytes32 id) external view returns (uint256) {
        uint256 terms = _listed(id);
        uint256 until = uint32(_lane(terms >> INDEX_AT) >> UNTIL_AT);
        return _left(until, _flowMax(terms));
    }

    function venueIds() external view returns (bytes32[] memory) {
        return _venueIds;
    }

    function group(uint256 index) external view returns (Group memory found) {
        uint256 word = _groupAt(index);
        uint256 count = 0;
        bytes32[] memory ids = new bytes32[](VENUES_MAX);
        for (uint256 i = 0; i < _venueIds.length; i++) {
            if (word >> i & 1 != 0) ids[count++] = _venueIds[i];
        }
        assembly ("memory-safe") {
            mstore(ids, count)
        }
        return Group(ids, _groupCap(word), uint16(word >> GROUP_SHARE_AT));
    }

    function paused() public view returns (bool) {
        return _isPaused(_head);
    }

    function idleMin() public view returns (uint256) {
        return _idleMin(_head);
    }

    // --- Head ---

    /// @dev What an allocator is known by. Whoever wants to pass for it has to find a key for given
    /// 104 bits.
    function _tag(address account) private pure returns (uint256) {
        return uint256(uint160(account)) & type(uint104).max;
    }

    function _setTag(address account) internal {
        _head = _head & ((uint256(1) << TAG_AT) - 1) | _tag(account) << TAG_AT;
    }

    function _setPaused(bool paused_) internal {
        uint256 bit = uint256(1) << PAUSED_AT;
        _head = paused_ ? _head | bit : _head & ~bit;
    }

    function _setIdleMin(uint256 idleMin_) internal {
        uint256 grains = _grains(idleMin_);
        _head = _head & ~(uint256(type(uint32).max) << IDLE_MIN_AT) | grains << IDLE_MIN_AT;
        emit IdleMinChanged(idleMin_);
    }

    /// @return head For an open guard and its allocator; reverts for others.
    function _open() internal view returns (uint256 head) {
        head = _head;
        if (head >> TAG_AT != _tag(msg.sender)) revert NotAllocator(msg.sender);
        if (_isPaused(head)) revert WhilePaused();
    }

    function _isPaused(uint256 head) private pure returns (bool) {
        return head >> PAUSED_AT & 1 != 0;
    }

    function _idleMin(uint256 head) private view returns (uint256) {
        unchecked {
            return uint256(uint32(head >> IDLE_MIN_AT)) * GRAIN;
        }
    }

    function _count(uint256 head) private pure returns (uint256) {
        return head >> COUNT_AT & 15;
    }

    // --- Venues ---

    function _list(Listing memory listing) internal {
        bytes32 id = listing.id;
        if (_termsOf[id] != 0) revert VenueExists(id);
        uint256 index = _count(_head);
        if (index == VENUES_MAX) revert TooManyVenues();
        _head += uint256(1) << COUNT_AT;
        _venueIds.push(id);
        _termsOf[id] = uint256(uint160(listing.target)) | uint256(listing.kind) << KIND_AT
            | index << INDEX_AT;
        emit VenueListed(id, listing.kind, listing.target, listing.aux);
        _limitVenue(id, listing.limits);
    }

    /// @dev What entered already stays entered: with another flow, the same amount fills another part.
    function _limitVenue(bytes32 id, Limits memory limits) internal {
        uint256 terms = _listed(id);
        uint256 packed = _grains(limits.cap) << CAP_AT | _grains(limits.flowMax) << FLOW_AT
            | _share(limits.shareMaxBps) << SHARE_AT;
        uint256 index = terms >> INDEX_AT;
        uint256 lane = _lane(index);
        uint256 until = _rescaled(uint32(lane >> UNTIL_AT), _flowMax(terms), limits.flowMax);
        _setLane(index, uint96(lane) | until << UNTIL_AT);
        uint256 mask = ((uint256(1) << (GROUPS_AT - CAP_AT)) - 1) << CAP_AT;
        _termsOf[id] = terms & ~mask | packed;
        emit VenueLimited(id, limits.cap, limits.shareMaxBps, limits.flowMax);
    }

    function _tightenVenue(bytes32 id, Limits memory limits) internal {
        Limits memory present = _limitsOf(_listed(id));
        bool tighter = limits.cap <= present.cap && limits.shareMaxBps <= present.shareMaxBps
            && limits.flowMax <= present.flowMax;
        if (!tighter) revert NotTighter();
        _limitVenue(id, limits);
    }

    function _limitsOf(uint256 terms) internal view returns (Limits memory) {
        return Limits(_cap(terms), uint16(terms >> SHARE_AT), _flowMax(terms));
    }

    function _listed(bytes32 id) internal view returns (uint256 terms) {
        terms = _termsOf[id];
        if (terms == 0) revert UnknownVenue(id);
    }

    /// @return kind A Kind as a number: to compare two enums, the compiler checks both for their range.
    function _kind(uint256 terms) internal pure returns (uint256) {
        return terms >> KIND_AT & 15;
    }

    function _booked(uint256 terms) internal view returns (uint256) {
        return uint96(_lane(terms >> INDEX_AT));
    }

    function _totalBooked() internal view returns (uint256 all) {
        (all,) = _sums(_count(_head), 0);
    }

    // --- Groups ---

    function _formGroup(uint256 index, Group memory terms) internal {
        uint256 bit = uint256(1) << (GROUPS_AT + index);
        uint256 members = 0;
        _groupAt(index);
        for (uint256 i = 0; i < _venueIds.length; i++) {
            _termsOf[_venueIds[i]] &= ~bit;
        }
        for (uint256 i = 0; i < terms.venues.length; i++) {
            uint256 venueTerms = _listed(terms.venues[i]);
            members |= uint256(1) << (venueTerms >> INDEX_AT);
            _termsOf[terms.venues[i]] = venueTerms | bit;
        }
        emit GroupFormed(index, terms.venues);
        _limitGroup(index, members, terms.cap, terms.shareMaxBps);
    }

    function _tightenGroup(uint256 index, uint256 cap, uint256 shareMaxBps) internal {
        uint256 word = _groupAt(index);
        if (cap > _groupCap(word) || shareMaxBps > uint16(word >> GROUP_SHARE_AT)) {
            revert NotTighter();
        }
        _limitGroup(index, uint8(word), cap, shareMaxBps);
    }

    function _limitGroup(uint256 index, uint256 members, uint256 cap, uint256 shareMaxBps) private {
        uint256 packed =
            members | _grains(cap) << GROUP_CAP_AT | _share(shareMaxBps) << GROUP_SHARE_AT;
        if (index < HEAD_GROUPS) {
            _head = _withGroup(_head, index, packed);
        } else {
            _moreGroups = _withGroup(_moreGroups, index - HEAD_GROUPS, packed);
        }
        emit GroupLimited(index, cap, shareMaxBps);
    }

    function _withGroup(uint256 word, uint256 at, uint256 packed) private pure returns (uint256) {
        uint256 shift = at * GROUP_BITS;
        return word & ~(GROUP_MASK << shift) | packed << shift;
    }

    function _groupAt(uint256 index) private view returns (uint256) {
        if (index >= GROUPS_MAX) revert UnknownGroup(index);
        uint256 word = index < HEAD_GROUPS ? _head : _moreGroups;
        uint256 at = index < HEAD_GROUPS ? index : index - HEAD_GROUPS;
        return word >> (at * GROUP_BITS) & GROUP_MASK;
    }

    function _groupCap(uint256 word) private view returns (uint256) {
        unchecked {
            return uint256(uint32(word >> GROUP_CAP_AT)) * GRAIN;
        }
    }

    // --- Payees ---

    function _limitPayee(address payee, uint256 dayMax) internal {
        _payees[payee] = _withDayMax(_payees[payee], dayMax);
        emit PayeeLimited(payee, dayMax);
    }

    function _tightenPayee(address payee, uint256 dayMax) internal {
        if (dayMax > uint96(_payees[payee])) revert NotTighter();
        _limitPayee(payee, dayMax);
    }

    function _limitPayees(uint256 dayMax) internal {
        _allPayees = _withDayMax(_allPayees, dayMax);
        emit PayeesLimited(dayMax);
    }

    function _tightenPayees(uint256 dayMax) internal {
        if (dayMax > uint96(_allPayees)) revert NotTighter();
        _limitPayees(dayMax);
    }

    /// @dev Takes a payment out of both buckets, or reverts.
    function _spend(address payee, uint256 amount) internal {
        uint256 word = _payees[payee];
        uint256 dayMax = uint96(word);
        if (dayMax == 0) revert UnknownPayee(payee);
        uint256 until = _pushed(word >> UNTIL_AT, amount, dayMax);
        if (until == 0) revert OverDayMax(payee, amount, _left(word >> UNTIL_AT, dayMax));
        _payees[payee] = dayMax | until << UNTIL_AT;

        word = _allPayees;
        dayMax = uint96(word);
        until = _pushed(word >> UNTIL_AT, amount, dayMax);
        if (until == 0) revert OverPayeesDayMax(amount, _left(word >> UNTIL_AT, dayMax));
        _allPayees = dayMax | until << UNTIL_AT;
    }

    // --- The book ---

    /// @dev Before the venue is called: nothing it does can make the book say less.
    function _bookEntry(bytes32 id, uint256 terms, uint256 amount) internal returns (uint256 booked) {
        unchecked {
            uint256 index = terms >> INDEX_AT;
            uint256 shift = (index & 1) * LANE_BITS;
            uint256 word = _book[index >> 1];
            uint256 lane = word >> shift & LANE_MASK;
            uint256 max = (terms >> CAP_AT & GRAINS_MASK) * GRAIN;
            booked = (lane & BOOKED_MASK) + amount;
            if (amount > max || booked > max) revert OverCap(id, booked, max);
            max = (terms >> FLOW_AT & GRAINS_MASK) * GRAIN;
            uint256 until = _pushed(lane >> UNTIL_AT, amount, max);
            if (until == 0) revert OverFlow(id, amount, _left(lane >> UNTIL_AT, max));
            // Both parts fit their fields and neither falls, so the neighbour is not touched.
            _book[index >> 1] = word + (((booked | until << UNTIL_AT) - lane) << shift);
        }
    }

    /// @dev What comes back is taken off the book, down to zero: the rest was interest.
    function _bookExit(uint256 terms, uint256 amount, bool nothingLeft) internal {
        uint256 index = terms >> INDEX_AT;
        uint256 lane = _lane(index);
        uint256 booked = uint96(lane);
        booked = nothingLeft || amount > booked ? 0 : booked - amount;
        _setLane(index, booked | lane >> UNTIL_AT << UNTIL_AT);
    }

    function _writeDown(bytes32 id, uint256 terms, uint256 worth) internal {
        uint256 before = _booked(terms);
        if (worth >= before) revert NotTighter();
        _bookExit(terms, before - worth, false);
        emit WrittenDown(id, before, worth);
    }

    /// @dev After the entry: the venue by the larger of book and position, the rest by the book. All
    /// is looked at in one go; only what does not pass is looked at again, for its reason.
    /// @param position What the venue holds now, requests included. @param idleAfter What is left.
    function _requireWithin(
        bytes32 id,
        uint256 head,
        uint256 terms,
        uint256 booked,
        uint256 position,
        uint256 idleAfter
    ) internal view {
        uint256 grain = GRAIN;
        uint256 all;
        uint256 first;
        uint256 second;
        bool over;
        assembly ("memory-safe") {
            let count := and(shr(COUNT_AT, head), 15)
            let slot := _book.slot
            for { let i := 0 } lt(i, count) { i := add(i, 2) } {
                let word := sload(slot)
                slot := add(slot, 1)
                let low := and(word, BOOKED_MASK)
                word := and(shr(LANE_BITS, word), BOOKED_MASK)
                all := add(all, add(low, word))
                let members := shr(i, head)
                first := add(first, add(mul(and(members, 1), low), mul(and(shr(1, members), 1), word)))
                members := shr(GROUP_BITS, members)
                second := add(second, add(mul(and(members, 1), low), mul(and(shr(1, members), 1), word)))
            }
            // What the venue counts for above its book. It counts so in the whole as well, or interest
            // would fill a share of 100 %. A share price pumped up makes no room by it: a position
            // grows by more than its share.
            let above := mul(gt(position, booked), sub(position, booked))
            position := add(booked, above)
            all := add(all, add(idleAfter, above))
            first := add(first, above)
            second := add(second, above)

            over := lt(idleAfter, mul(and(shr(IDLE_MIN_AT, head), GRAINS_MASK), grain))
            over := or(over, gt(position, mul(and(shr(CAP_AT, terms), GRAINS_MASK), grain)))
            over := or(over, gt(mul(position, BPS), mul(all, and(shr(SHARE_AT, terms), SHARE_MASK))))
            let groups := shr(GROUPS_AT, terms)
            if and(groups, 1) {
                over := or(over, gt(first, mul(and(shr(GROUP_CAP_AT, head), GRAINS_MASK), grain)))
                over := or(over, gt(mul(first, BPS), mul(all, and(shr(GROUP_SHARE_AT, head), SHARE_MASK))))
            }
            if and(groups, 2) {
                let words := shr(GROUP_BITS, head)
                over := or(over, gt(second, mul(and(shr(GROUP_CAP_AT, words), GRAINS_MASK), grain)))
                over := or(over, gt(mul(second, BPS), mul(all, and(shr(GROUP_SHARE_AT, words), SHARE_MASK))))
            }
        }
        if (over) _refuse(id, head, terms, position, idleAfter, all, first, second);
        uint256 more = uint8(terms >> GROUPS_AT) >> HEAD_GROUPS;
        if (more != 0) _requireMore(more, _count(head), position - booked, all);
    }

    /// @dev The same again, one by one. Whatever gets here is refused.
    function _refuse(
        bytes32 id,
        uint256 head,
        uint256 terms,
        uint256 position,
        uint256 idleAfter,
        uint256 all,
        uint256 first,
        uint256 second
    ) private view {
        if (idleAfter < _idleMin(head)) revert UnderIdleMin(idleAfter, _idleMin(head));
        if (position > _cap(terms)) revert OverCap(id, position, _cap(terms));
        uint256 max = all * uint16(terms >> SHARE_AT) / BPS;
        if (position > max) revert OverShare(id, position, max);
        if (terms >> GROUPS_AT & 1 != 0) _requireGroup(0, head, first, all);
        _requireGroup(1, head >> GROUP_BITS, second, all);
        assert(false);
    }

    /// @dev The groups that are not in the head.
    function _requireMore(uint256 groups, uint256 count, uint256 above, uint256 all) private view {
        uint256 words = _moreGroups;
        for (uint256 index = HEAD_GROUPS; groups != 0; ++index) {
            if (groups & 1 != 0) {
                (, uint256 inside) = _sums(count, words);
                _requireGroup(index, words, inside + above, all);
            }
            groups >>= 1;
            words >>= GROUP_BITS;
        }
    }

    function _requireGroup(uint256 index, uint256 word, uint256 inside, uint256 all) private view {
        uint256 max = _groupCap(word);
        if (inside > max) revert OverGroupCap(index, inside, max);
        unchecked {
            max = all * uint16(word >> GROUP_SHARE_AT) / BPS;
        }
        if (inside > max) revert OverGroupShare(index, inside, max);
    }

    /// @param members Of a group, one bit each; bits above the last venue are not looked at.
    /// @return all The book of all venues. @return inside Of the members.
    function _sums(uint256 count, uint256 members)
        private
        view
        returns (uint256 all, uint256 inside)
    {
        for (uint256 i = 0; i < count; ++i) {
            uint256 booked = uint96(_lane(i));
            all += booked;
            if (members >> i & 1 != 0) inside += booked;
        }
    }

    // --- Words ---

    function _lane(uint256 index) private view returns (uint256) {
        return uint128(_book[index >> 1] >> ((index & 1) * LANE_BITS));
    }

    function _setLane(uint256 index, uint256 lane) private {
        uint256 shift = (index & 1) * LANE_BITS;
        uint256 word = _book[index >> 1];
        _book[index >> 1] = word & ~(uint256(type(uint128).max) << shift) | lane << shift;
    }

    function _cap(uint256 terms) private view returns (uint256) {
        unchecked {
            return uint256(uint32(terms >> CAP_AT)) * GRAIN;
        }
    }

    function _flowMax(uint256 terms) private view returns (uint256) {
        unchecked {
            return uint256(uint32(terms >> FLOW_AT)) * GRAIN;
        }
    }

    function _grains(uint256 limit) internal view returns (uint256 grains) {
        grains = limit / GRAIN;
        if (grains > type(uint32).max || grains * GRAIN != limit) {
            revert LimitNotWhole(limit, GRAIN);
        }
    }

    function _share(uint256 shareBps) private pure returns (uint256) {
        if (shareBps > BPS) revert ShareOutOfRange(shareBps);
        return shareBps;
    }
}
