// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {PlainVault} from "../src/devnet/PlainVault.sol";
import {StakingSimulator} from "../src/devnet/StakingSimulator.sol";
import {TestToken} from "../src/devnet/TestToken.sol";

contract DevnetTest is Test {
    TestToken private token;
    PlainVault private vault;
    StakingSimulator private staking;

    receive() external payable {}

    function setUp() public {
        token = new TestToken("T", "T", 6);
        vault = new PlainVault(token, "V", "V");
        staking = new StakingSimulator{value: 10 ether}(320, 1 days);
        token.mint(address(this), 1_000e6);
        token.approve(address(vault), type(uint256).max);
        vm.deal(address(this), 1_000 ether);
    }

    function test_token_decimals() public view {
        assertEq(token.decimals(), 6);
    }

    function test_vault_streamsLinearlyUntilTheEnd() public {
        vault.deposit(100e6, address(this));
        vault.fund(10e6, 1_000);
        assertEq(vault.rewardRate(), 10_000);
        assertEq(vault.rewardEnd(), block.timestamp + 1_000);
        assertEq(vault.totalAssets(), 100e6);
        skip(500);
        assertEq(vault.totalAssets(), 105e6);
        skip(5_000);
        assertEq(vault.totalAssets(), 110e6);
    }

    function test_vault_aSecondFundingKeepsTheRest() public {
        vault.deposit(100e6, address(this));
        vault.fund(10e6, 1_000);
        skip(500);
        vault.fund(5e6, 500);
        assertEq(vault.totalAssets(), 105e6);
        assertEq(vault.rewardRate(), 20_000);
    }

    function test_vault_fundRevertsForNothing() public {
        vm.expectRevert(PlainVault.NothingToStream.selector);
        vault.fund(1, 0);
        vm.expectRevert(PlainVault.NothingToStream.selector);
        vault.fund(1, 2);
    }

    function test_staking_accruesAndStopsWhenTheReserveIsEmpty() public {
        assertEq(staking.submit{value: 100 ether}(address(0)), 100 ether);
        skip(365 days);
        assertEq(staking.balanceOf(address(this)), 103.2 ether);
        assertEq(staking.getTotalPooledEther(), staking.totalSupply());
        assertEq(staking.rewardReserve(), 6.8 ether);
        skip(36500 days);
        assertEq(staking.balanceOf(address(this)), 110 ether);
    }

    function test_staking_requestNeedsAllowanceAndClaimNeedsTime() public {
        staking.submit{value: 100 ether}(address(0));
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = 40 ether;
        vm.expectRevert(
            abi.encodeWithSelector(StakingSimulator.AllowanceExceeded.selector, 40 ether, 0)
        );
        staking.requestWithdrawals(amounts, address(this));
        staking.approve(address(staking), 40 ether);
        uint256[] memory ids = staking.requestWithdrawals(amounts, address(this));
        assertEq(ids[0], 1);
        assertEq(staking.balanceOf(address(this)), 60 ether);
        assertFalse(staking.getWithdrawalStatus(ids)[0].isFinalized);
        vm.expectRevert(
            abi.encodeWithSelector(
                StakingSimulator.NotFinalized.selector, 1, block.timestamp + 1 days
            )
        );
        staking.claimWithdrawal(1);
        skip(1 days);
        assertTrue(staking.getWithdrawalStatus(ids)[0].isFinalized);
        uint256 before = address(this).balance;
        staking.claimWithdrawals(ids, new uint256[](1));
        assertEq(address(this).balance - before, 40 ether);
        assertTrue(staking.getWithdrawalStatus(ids)[0].isClaimed);
        vm.expectRevert(abi.encodeWithSelector(StakingSimulator.AlreadyClaimed.selector, 1));
        staking.claimWithdrawal(1);
    }

    function test_staking_onlyTheOwnerOfARequestClaims() public {
        staking.submit{value: 1 ether}(address(0));
        staking.approve(address(staking), 1 ether);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = 1 ether;
        staking.requestWithdrawals(amounts, address(7));
        skip(1 days);
        vm.expectRevert(
            abi.encodeWithSelector(StakingSimulator.NotOwner.selector, 1, address(this))
        );
        staking.claimWithdrawal(1);
    }

    function testFuzz_staking_aRoundTripNeverPays(uint96 first, uint96 second, uint32 time) public {
        first = uint96(bound(first, 1 gwei, 100 ether));
        second = uint96(bound(second, 1 gwei, 100 ether));
        address other = makeAddr("other");
        vm.deal(other, second);
        staking.submit{value: first}(address(0));
        skip(time);
        vm.startPrank(other);
        staking.submit{value: second}(address(0));
        assertLe(staking.balanceOf(other), second);
        // What is lost is less than one share, which is worth more wei the longer it has earned.
        uint256 share = staking.getPooledEthByShares(1) + 1;
        assertApproxEqAbs(staking.balanceOf(other), second, share + 1);
    }
}
