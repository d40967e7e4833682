// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {HostileVault} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Words that hold many figures, beside the figures themselves.
contract TreasuryGuardPackingTest is TreasuryGuardSetup {
    uint256 private constant BIG_GRAIN = type(uint64).max;
    TestToken private token;
    TreasuryGuard private at;

    /// @dev Eight venues, ids 0 to 7, with 1 to 8 base units in them.
    function setUp() public override {
        super.setUp();
        token = new TestToken("T", "T", 18);
        ITreasuryGuard.Setup memory setup = _roles(address(token), BIG_GRAIN);
        setup.payeesDayMax = 1;
        setup.payees = new ITreasuryGuard.Payee[](1);
        setup.payees[0] = ITreasuryGuard.Payee(payee, 1);
        setup.venues = new ITreasuryGuard.Listing[](8);
        for (uint256 i = 0; i < 8; i++) {
            address target = address(new HostileVault(token));
            setup.venues[i] = ITreasuryGuard.Listing(
                bytes32(i),
                ITreasuryGuard.Kind.Erc4626,
                target,
                target,
                ITreasuryGuard.Limits(BIG_GRAIN, 10_000, BIG_GRAIN)
            );
        }
        at = new TreasuryGuard(setup);
        token.mint(address(at), 100);
        for (uint256 i = 0; i < 8; i++) {
            vm.prank(allocator);
            at.allocate(bytes32(i), i + 1, 0);
        }
    }

    /// @dev Eight venues and six groups with any figures: each reads what it was given, whatever its
    /// neighbours were given after it.
    function testFuzz_packing_keepsNeighboursApart(uint256 seed) public {
        ITreasuryGuard.Limits[8] memory limits;
        ITreasuryGuard.Group[6] memory groups;
        for (uint256 i = 0; i < 8; i++) {
            limits[i] = at.venue(bytes32(i)).limits;
        }
        for (uint256 i = 0; i < 6; i++) {
            groups[i].venues = new bytes32[](0);
        }
        for (uint256 round = 0; round < 24; round++) {
            uint256 random = uint256(keccak256(abi.encode(seed, round)));
            uint256 i = random % 8;
            limits[i] = ITreasuryGuard.Limits(
                uint256(uint32(random >> 8)) * BIG_GRAIN,
                uint16(random >> 40) % 10_001,
                uint256(uint32(random >> 56)) * BIG_GRAIN
            );
            uint256 index = uint8(random >> 88) % 6;
            groups[index] = ITreasuryGuard.Group(
                _members(uint8(random >> 96)),
                uint256(uint32(random >> 104)) * BIG_GRAIN,
                uint16(random >> 136) % 10_001
            );
            uint256 idleMin = uint256(uint32(random >> 152)) * BIG_GRAIN;
            vm.startPrank(address(at));
            at.setVenueLimits(bytes32(i), limits[i]);
            at.setGroup(index, groups[index]);
            at.setIdleMin(idleMin);
            vm.stopPrank();
            assertEq(at.idleMin(), idleMin);
        }
        for (uint256 i = 0; i < 8; i++) {
            ITreasuryGuard.Venue memory venue = at.venue(bytes32(i));
            assertEq(abi.encode(venue.limits), abi.encode(limits[i]));
            assertEq(uint256(venue.kind), uint256(ITreasuryGuard.Kind.Erc4626));
            assertEq(venue.target, venue.aux);
            assertEq(venue.booked, i + 1);
        }
        for (uint256 i = 0; i < 6; i++) {
            assertEq(abi.encode(at.group(i)), abi.encode(groups[i]));
        }
        assertFalse(at.paused());
        vm.prank(allocator);
        at.release(payee, 1);
    }

    /// @dev The largest figures there are, in all lanes of the book at once.
    function testFuzz_packing_ofTheBook(uint256 seed) public {
        token.mint(address(at), type(uint128).max);
        uint256[8] memory booked;
        for (uint256 i = 0; i < 8; i++) {
            booked[i] = i + 1;
            vm.prank(address(at));
            at.setVenueLimits(
                bytes32(i),
                ITreasuryGuard.Limits(
                    type(uint32).max * BIG_GRAIN, 10_000, type(uint32).max * BIG_GRAIN
                )
            );
        }
        for (uint256 round = 0; round < 16; round++) {
            uint256 random = uint256(keccak256(abi.encode(seed, round)));
            uint256 i = random % 8;
            uint256 most = at.venue(bytes32(i)).limits.cap - booked[i];
            uint256 left = at.flowLeft(bytes32(i));
            if (left < most) most = left;
            if (random >> 255 == 0 && most != 0) {
                uint256 amount = random >> 254 & 1 == 0 ? most : bound(random >> 64, 1, most);
                vm.prank(allocator);
                at.allocate(bytes32(i), amount, 0);
                booked[i] += amount;
            } else {
                uint256 amount = bound(random >> 64, 1, booked[i]);
                vm.prank(allocator);
                at.deallocate(bytes32(i), amount);
                booked[i] = at.venue(bytes32(i)).booked == 0 ? 0 : booked[i] - amount;
                if (booked[i] == 0) booked[i] = _refill(i);
            }
            uint256 sum = 0;
            for (uint256 k = 0; k < 8; k++) {
                assertEq(at.venue(bytes32(k)).booked, booked[k]);
                sum += booked[k];
            }
            assertEq(at.total(), at.idle() + sum);
        }
    }

    function _refill(uint256 i) private returns (uint256) {
        skip(1 days);
        vm.prank(allocator);
        at.allocate(bytes32(i), 1, 0);
        return 1;
    }

    function _members(uint8 bits) private pure returns (bytes32[] memory ids) {
        ids = new bytes32[](8);
        uint256 count = 0;
        for (uint256 i = 0; i < 8; i++) {
            if (bits >> i & 1 != 0) ids[count++] = bytes32(i);
        }
        assembly ("memory-safe") {
            mstore(ids, count)
        }
    }
}
