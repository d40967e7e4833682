// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {StakingSimulator} from "../src/devnet/StakingSimulator.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {HostileVault, PoolDouble} from "./HostileVenues.sol";

/// @dev A guard of 5,000 of a token with three venues, and one of 50 of the native coin with one.
/// All limits are in use and wide, so that a test narrows the one it is about.
abstract contract TreasuryGuardSetup is Test {
    bytes32 internal constant AAVE = "aave";
    bytes32 internal constant VAULT = "vault";
    bytes32 internal constant SPARE = "spare";
    bytes32 internal constant STAKING = "staking";
    uint256 internal constant GRAIN = 1e6;
    uint256 internal constant ETH_GRAIN = 1e12;
    uint256 internal constant FUNDS = 5_000e6;
    uint256 internal constant CAP = 4_000e6;
    uint256 internal constant FLOW = 4_000e6;
    uint256 internal constant ETH_CAP = 40 ether;
    uint256 internal constant DAY_MAX = 1_000e6;
    uint256 internal constant ALL_DAY_MAX = 1_500e6;
    uint256 internal constant DELAY = 2 days;
    uint256 internal constant GRACE = 14 days;
    address internal owner = makeAddr("owner");
    address internal guardian = makeAddr("guardian");
    address internal allocator = makeAddr("allocator");
    address internal treasury = makeAddr("treasury");
    address internal payee = makeAddr("payee");
    address internal secondPayee = makeAddr("second payee");
    address internal stranger = makeAddr("stranger");
    TestToken internal usdc;
    PoolDouble internal pool;
    HostileVault internal vault;
    HostileVault internal spare;
    StakingSimulator internal staking;
    TreasuryGuard internal guard;
    TreasuryGuard internal ethGuard;

    function setUp() public virtual {
        vm.warp(1_767_000_000);
        usdc = new TestToken("USD", "USD", 6);
        pool = new PoolDouble(usdc);
        vault = new HostileVault(usdc);
        spare = new HostileVault(usdc);
        staking = new StakingSimulator{value: 100 ether}(320, 1 days);
        guard = new TreasuryGuard(_setup());
        ethGuard = new TreasuryGuard(_ethSetup());
        usdc.mint(address(guard), FUNDS);
        vm.deal(address(ethGuard), 50 ether);
    }

    // --- What the guards are made of ---

    function _setup() internal view returns (ITreasuryGuard.Setup memory setup) {
        setup = _roles(address(usdc), GRAIN);
        setup.payeesDayMax = ALL_DAY_MAX;
        setup.venues = new ITreasuryGuard.Listing[](3);
        setup.venues[0] = _listing(AAVE, ITreasuryGuard.Kind.AaveV3, address(pool));
        setup.venues[1] = _listing(VAULT, ITreasuryGuard.Kind.Erc4626, address(vault));
        setup.venues[2] = _listing(SPARE, ITreasuryGuard.Kind.Erc4626, address(spare));
        setup.groups = new ITreasuryGuard.Group[](6);
        for (uint256 i = 0; i < 6; i++) {
            setup.groups[i] = ITreasuryGuard.Group(_ids(AAVE, VAULT, SPARE), 3 * CAP, 10_000);
        }
        setup.payees = new ITreasuryGuard.Payee[](2);
        setup.payees[0] = ITreasuryGuard.Payee(payee, DAY_MAX);
        setup.payees[1] = ITreasuryGuard.Payee(secondPayee, DAY_MAX);
    }

    function _ethSetup() internal view returns (ITreasuryGuard.Setup memory setup) {
        setup = _roles(address(0), ETH_GRAIN);
        setup.payeesDayMax = 15 ether;
        setup.venues = new ITreasuryGuard.Listing[](1);
        setup.venues[0] = _listing(STAKING, ITreasuryGuard.Kind.Staking, address(staking));
        setup.venues[0].limits = ITreasuryGuard.Limits(ETH_CAP, 10_000, ETH_CAP);
        setup.payees = new ITreasuryGuard.Payee[](1);
        setup.payees[0] = ITreasuryGuard.Payee(payee, 10 ether);
    }

    function _roles(address asset, uint256 grain)
        internal
        view
        returns (ITreasuryGuard.Setup memory setup)
    {
        setup.asset = asset;
        setup.owner = owner;
        setup.guardian = guardian;
        setup.allocator = allocator;
        setup.treasury = treasury;
        setup.grain = grain;
        setup.delay = DELAY;
    }

    function _listing(bytes32 id, ITreasuryGuard.Kind kind, address target)
        internal
        pure
        returns (ITreasuryGuard.Listing memory)
    {
        return ITreasuryGuard.Listing(
            id, kind, target, target, ITreasuryGuard.Limits(CAP, 10_000, FLOW)
        );
    }

    // --- Moves ---

    function _allocate(bytes32 id, uint256 amount) internal {
        vm.prank(allocator);
        guard.allocate(id, amount, 0);
    }

    function _stake(uint256 amount) internal {
        vm.prank(allocator);
        ethGuard.allocate(STAKING, amount, 0);
    }

    function _deallocate(bytes32 id, uint256 amount) internal {
        vm.prank(allocator);
        guard.deallocate(id, amount);
    }

    function _release(address to, uint256 amount) internal {
        vm.prank(allocator);
        guard.release(to, amount);
    }

    /// @dev The same, and it reverts with `reason`.
    function _allocateRefused(bytes32 id, uint256 amount, bytes memory reason) internal {
        vm.expectRevert(reason);
        _allocate(id, amount);
    }

    function _releaseRefused(address to, uint256 amount, bytes memory reason) internal {
        vm.expectRevert(reason);
        _release(to, amount);
    }

    // --- Proposals ---

    /// @dev Proposes, waits and does it.
    function _decide(TreasuryGuard at, bytes memory call) internal {
        vm.prank(owner);
        at.propose(call);
        skip(DELAY);
        vm.prank(owner);
        at.execute(call);
    }

    /// @dev As a proposal would in the end, without the time that fills the buckets.
    function _limit(bytes32 id, uint256 cap, uint256 shareMaxBps, uint256 flowMax) internal {
        vm.prank(address(guard));
        guard.setVenueLimits(id, ITreasuryGuard.Limits(cap, shareMaxBps, flowMax));
    }

    function _setGroup(uint256 index, bytes32[] memory ids, uint256 cap, uint256 shareMaxBps)
        internal
    {
        vm.prank(address(guard));
        guard.setGroup(index, ITreasuryGuard.Group(ids, cap, shareMaxBps));
    }

    function _list(TreasuryGuard at, bytes32 id, ITreasuryGuard.Kind kind, address target)
        internal
    {
        vm.prank(address(at));
        at.addVenue(_listing(id, kind, target));
    }

    // --- Small things ---

    function _booked(bytes32 id) internal view returns (uint256) {
        return guard.venue(id).booked;
    }

    function _flowLeft(bytes32 id) internal view returns (uint256) {
        return guard.flowLeft(id);
    }

    function _left(address account) internal view returns (uint256 left) {
        (, left) = guard.payeeBucket(account);
    }

    function _allLeft() internal view returns (uint256 left) {
        (, left) = guard.payeesBucket();
    }

    function _ids(bytes32 a) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](1);
        ids[0] = a;
    }

    function _ids(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](2);
        (ids[0], ids[1]) = (a, b);
    }

    function _ids(bytes32 a, bytes32 b, bytes32 c) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](3);
        (ids[0], ids[1], ids[2]) = (a, b, c);
    }

    function _reason(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    function _reason(bytes4 selector, address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, account);
    }

    function _reason(bytes4 selector, bytes32 id) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, id);
    }

    function _reason(bytes4 selector, bytes32 id, uint256 a, uint256 b)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(selector, id, a, b);
    }
}
