// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {HookToken} from "./Hostile.sol";
import {HostileVault, StakingDouble} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Every move into every other one: the one that is called has all roles, so that nothing but
/// the lock stands in its way.
contract TreasuryGuardReentrancyTest is TreasuryGuardSetup {
    /// @dev What the token's call does, if anything.
    bytes private inPayment;
    bytes4 private reentrant = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;

    function test_noMoveFitsIntoAnEntryOrAnExit() public {
        ITreasuryGuard.Setup memory setup = _setup();
        setup.owner = setup.allocator = address(vault);
        guard = new TreasuryGuard(setup);
        usdc.mint(address(guard), FUNDS);
        vm.startPrank(address(vault));
        guard.allocate(VAULT, 100e6, 0);
        bytes[] memory moves = _moves(VAULT);
        for (uint256 i = 0; i < moves.length; i++) {
            vault.hook(address(guard), moves[i]);
            vm.expectRevert(reentrant);
            guard.allocate(VAULT, 1e6, 0);
            vm.expectRevert(reentrant);
            guard.deallocate(VAULT, 1e6);
        }
        vault.hook(address(0), "");
        guard.deallocate(VAULT, 1e6);
    }

    function test_noMoveFitsIntoAPoolsEntry() public {
        vm.prank(address(guard));
        guard.setAllocator(address(pool));
        pool.hook(address(guard), abi.encodeCall(ITreasuryGuard.release, (payee, 1)));
        vm.startPrank(address(pool));
        vm.expectRevert(reentrant);
        guard.allocate(AAVE, 1e6, 0);
    }

    function test_noMoveFitsIntoStaking() public {
        StakingDouble venue = new StakingDouble();
        ITreasuryGuard.Setup memory setup = _ethSetup();
        setup.venues[0].target = setup.venues[0].aux = address(venue);
        setup.owner = setup.allocator = address(venue);
        ethGuard = new TreasuryGuard(setup);
        vm.deal(address(ethGuard), 50 ether);
        vm.startPrank(address(venue));
        ethGuard.allocate(STAKING, 10 ether, 0);
        ethGuard.deallocate(STAKING, 1 ether);
        bytes[] memory moves = _moves(STAKING);
        for (uint256 i = 0; i < moves.length; i++) {
            venue.hook(address(ethGuard), moves[i]);
            vm.expectRevert(reentrant);
            ethGuard.allocate(STAKING, 1 ether, 0);
            vm.expectRevert(reentrant);
            ethGuard.deallocate(STAKING, 1 ether);
            vm.expectRevert(reentrant);
            ethGuard.claim(STAKING, 1);
        }
    }

    /// @dev A payment calls its payee: with the native coin always, with a token that does.
    function test_noMoveFitsIntoAPayment() public {
        HookToken token = new HookToken();
        HostileVault all = new HostileVault(token);
        ITreasuryGuard.Setup memory setup = _roles(address(token), GRAIN);
        setup.owner = setup.allocator = setup.treasury = address(this);
        setup.payeesDayMax = DAY_MAX;
        setup.payees = new ITreasuryGuard.Payee[](1);
        setup.payees[0] = ITreasuryGuard.Payee(address(this), DAY_MAX);
        setup.venues = new ITreasuryGuard.Listing[](1);
        setup.venues[0] = _listing(VAULT, ITreasuryGuard.Kind.Erc4626, address(all));
        guard = new TreasuryGuard(setup);
        token.mint(address(guard), FUNDS);
        token.hook(address(this));
        bytes[] memory moves = _moves(VAULT);
        for (uint256 i = 0; i < moves.length; i++) {
            inPayment = moves[i];
            vm.expectRevert(reentrant);
            guard.release(address(this), 1e6);
        }
        inPayment = "";
        guard.release(address(this), 1e6);
    }

    /// @dev What the token calls.
    fallback() external {
        if (inPayment.length == 0) return;
        (bool ok, bytes memory answer) = address(guard).call(inPayment);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    function _moves(bytes32 id) private view returns (bytes[] memory moves) {
        moves = new bytes[](8);
        moves[0] = abi.encodeCall(ITreasuryGuard.allocate, (id, 1, 0));
        moves[1] = abi.encodeCall(ITreasuryGuard.release, (payee, 1));
        moves[2] = abi.encodeCall(ITreasuryGuard.deallocate, (id, 1));
        moves[3] = abi.encodeCall(ITreasuryGuard.claim, (id, 1));
        moves[4] = abi.encodeCall(ITreasuryGuard.claimRewards, (id));
        moves[5] = abi.encodeCall(ITreasuryGuard.sweepStray, (address(1)));
        moves[6] = abi.encodeCall(ITreasuryGuard.moveOut, (address(usdc)));
        moves[7] = abi.encodeCall(ITreasuryGuard.writeDown, (id));
    }
}
