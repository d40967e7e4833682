// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {CompoundOracle} from "../src/devnet/CompoundOracle.sol";
import {FeeOnTransferToken} from "../src/devnet/FeeOnTransferToken.sol";
import {MorphoOracle} from "../src/devnet/MorphoOracle.sol";
import {NoReturnToken} from "../src/devnet/NoReturnToken.sol";
import {PlainVault} from "../src/devnet/PlainVault.sol";
import {PriceFeed} from "../src/devnet/PriceFeed.sol";
import {RebasingToken} from "../src/devnet/RebasingToken.sol";
import {StakingSimulator} from "../src/devnet/StakingSimulator.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {WrappedStaking} from "../src/devnet/WrappedStaking.sol";

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

    function _stakeAndAsk(uint256 staked, uint256 asked) private returns (uint256[] memory ids) {
        staking.submit{value: staked}(address(0));
        staking.approve(address(staking), asked);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = asked;
        return staking.requestWithdrawals(amounts, address(this));
    }

    /// @dev Requires that every finalised request was claimed.
    function _assertEveryWeiIsSomebodys() private view {
        assertEq(
            address(staking).balance, staking.getTotalPooledEther() + staking.rewardReserve()
        );
    }

    function _claimed(uint256 id) private returns (uint256) {
        uint256 before = address(this).balance;
        staking.claimWithdrawal(id);
        return address(this).balance - before;
    }

    function test_staking_finalizeComesBeforeTheDelay() public {
        uint256[] memory ids = _stakeAndAsk(100 ether, 40 ether);
        assertEq(staking.getLastRequestId(), 1);
        assertEq(staking.getLastFinalizedRequestId(), 0);
        assertEq(staking.getClaimableEther(ids, ids)[0], 0);
        staking.finalize(1);
        assertEq(staking.getLastFinalizedRequestId(), 1);
        assertTrue(staking.getWithdrawalStatus(ids)[0].isFinalized);
        assertEq(staking.getClaimableEther(ids, ids)[0], 40 ether);
        assertEq(staking.getTotalPooledEther(), 60 ether);
        assertEq(_claimed(1), 40 ether);
        assertEq(staking.getClaimableEther(ids, ids)[0], 0);
        assertEq(staking.getWithdrawalRequests(address(this)), ids);
    }

    function test_staking_finalizeTakesOnlyWhatWaits() public {
        _stakeAndAsk(100 ether, 40 ether);
        for (uint256 id = 0; id <= 2; id += 2) {
            vm.expectRevert(
                abi.encodeWithSelector(StakingSimulator.InvalidRequestIdRange.selector, 1, id)
            );
            staking.finalize(id);
        }
        staking.finalize(1);
        vm.expectRevert(
            abi.encodeWithSelector(StakingSimulator.InvalidRequestIdRange.selector, 2, 1)
        );
        staking.finalize(1);
    }

    function test_staking_whatAWaitingRequestEarnsGoesToThoseWhoStay() public {
        uint256[] memory ids = _stakeAndAsk(100 ether, 40 ether);
        skip(365 days);
        assertEq(staking.getClaimableEther(ids, ids)[0], 40 ether);
        assertEq(_claimed(1), 40 ether);
        assertApproxEqAbs(staking.balanceOf(address(this)), 63.2 ether, 1);
    }

    function test_staking_aSlashingHitsStakeAndWaitingRequestsAlike() public {
        uint256[] memory ids = _stakeAndAsk(100 ether, 40 ether);
        uint256 lost = staking.LOST().balance;
        staking.handleOracleReport(90 ether);
        assertEq(staking.LOST().balance - lost, 10 ether);
        assertEq(staking.balanceOf(address(this)), 54 ether);
        skip(1 days);
        assertLt(staking.getClaimableEther(ids, ids)[0], 36.01 ether);
        uint256 paid = _claimed(1);
        assertGe(paid, 36 ether);
        assertLt(paid, 36.01 ether);
        _assertEveryWeiIsSomebodys();
    }

    function test_staking_aSlashingSparesWhatIsFinal() public {
        uint256[] memory ids = _stakeAndAsk(100 ether, 40 ether);
        skip(1 days); // due, though nobody has touched the queue since
        staking.handleOracleReport(30 ether);
        assertEq(staking.getClaimableEther(ids, ids)[0], 40 ether);
        assertEq(staking.balanceOf(address(this)), 30 ether);
        assertEq(_claimed(1), 40 ether);
    }

    function test_staking_aGainIsPaidFromTheReserve() public {
        staking.submit{value: 100 ether}(address(0));
        staking.handleOracleReport(104 ether);
        assertEq(staking.balanceOf(address(this)), 104 ether);
        assertEq(staking.rewardReserve(), 6 ether);
        for (uint256 i = 0; i < 2; i++) {
            uint256 post = i * 110 ether + i;
            vm.expectRevert(
                abi.encodeWithSelector(StakingSimulator.ReportOutOfRange.selector, post)
            );
            staking.handleOracleReport(post);
        }
    }

    function test_staking_theLastOneOutLeavesNothingUnowned() public {
        _stakeAndAsk(100 ether, 100 ether);
        skip(365 days);
        assertEq(_claimed(1), 100 ether);
        _assertEveryWeiIsSomebodys();
        assertEq(staking.getTotalPooledEther(), 0);
        assertEq(staking.rewardReserve(), 10 ether);
        assertEq(staking.submit{value: 1 ether}(address(0)), 1 ether);
    }

    function test_wrapped_standsStillWhileItsPriceMoves() public {
        WrappedStaking wrapped = new WrappedStaking(staking);
        staking.submit{value: 100 ether}(address(0));
        skip(365 days);
        staking.approve(address(wrapped), 51.6 ether);
        assertEq(wrapped.getWstETHByStETH(51.6 ether), 50 ether);
        assertEq(wrapped.wrap(51.6 ether), 50 ether);
        assertEq(wrapped.stEthPerToken(), 1.032 ether);
        assertEq(wrapped.tokensPerStEth(), uint256(1 ether) * 1_000 / 1_032);
        staking.handleOracleReport(51.6 ether);
        assertEq(wrapped.balanceOf(address(this)), 50 ether);
        assertEq(wrapped.getStETHByWstETH(50 ether), 25.8 ether);
        assertEq(wrapped.unwrap(50 ether), 25.8 ether);
        assertEq(staking.sharesOf(address(wrapped)), 0);
    }

    function test_wrapped_takesEtherAndRefusesNothing() public {
        WrappedStaking wrapped = new WrappedStaking(staking);
        (bool ok,) = address(wrapped).call{value: 3 ether}("");
        assertTrue(ok);
        assertEq(wrapped.balanceOf(address(this)), 3 ether);
        vm.expectRevert(WrappedStaking.NothingToWrap.selector);
        wrapped.wrap(0);
        vm.expectRevert(WrappedStaking.NothingToWrap.selector);
        wrapped.unwrap(0);
    }

    function test_staking_sharesMoveOnlyIfTheyAreThere() public {
        staking.submit{value: 2 ether}(address(0));
        vm.expectRevert(
            abi.encodeWithSelector(StakingSimulator.BalanceExceeded.selector, 3 ether, 2 ether)
        );
        staking.transferShares(address(7), 3 ether);
        assertEq(staking.transferShares(address(7), 2 ether), 2 ether);
        assertEq(staking.balanceOf(address(7)), 2 ether);
    }

    function test_feed_saysWhatWasSetAndCountsRounds() public {
        PriceFeed feed = new PriceFeed("T / USD", 1e8);
        skip(5);
        feed.setPrice(-3);
        (uint80 round, int256 answer,, uint256 updatedAt,) = feed.latestRoundData();
        assertEq(round, 2);
        assertEq(answer, -3);
        assertEq(feed.latestAnswer(), -3);
        assertEq(updatedAt, block.timestamp);
    }

    function test_oracles_scaleByDecimals() public {
        TestToken coin = new TestToken("C", "C", 18);
        PriceFeed usd = new PriceFeed("T / USD", 1e8);
        PriceFeed dear = new PriceFeed("C / USD", 3_000e8);
        MorphoOracle morpho = new MorphoOracle(coin, token, dear, usd);
        // One whole coin is 3,000 whole tokens: 3e9 base units for 1e18, times 1e36.
        assertEq(morpho.price(), 3_000e24);
        address[] memory assets = new address[](1);
        PriceFeed[] memory feeds = new PriceFeed[](1);
        (assets[0], feeds[0]) = (address(token), usd);
        CompoundOracle compound = new CompoundOracle(assets, feeds);
        assertEq(compound.getPrice(address(token)), 1e30);
        vm.expectRevert(abi.encodeWithSelector(CompoundOracle.NoFeed.selector, address(coin)));
        compound.getPrice(address(coin));
    }

    function test_feeToken_lessArrivesAndTheRestIsBurnt() public {
        FeeOnTransferToken odd = new FeeOnTransferToken(100);
        odd.mint(address(this), 1_000);
        assertTrue(odd.transfer(address(7), 101));
        assertEq(odd.balanceOf(address(7)), 99); // 1.01 is rounded up to 2
        assertEq(odd.balanceOf(address(this)), 899);
        assertEq(odd.totalSupply(), 998);
    }

    function test_rebasingToken_balancesMoveWithTheSupply() public {
        RebasingToken odd = new RebasingToken();
        vm.expectRevert(RebasingToken.NothingToRebase.selector);
        odd.rebase(1);
        odd.mint(address(this), 300);
        odd.approve(address(this), 100);
        odd.transferFrom(address(this), address(7), 100);
        assertEq(odd.allowance(address(this), address(this)), 0);
        odd.rebase(150);
        assertEq(odd.balanceOf(address(this)), 100);
        assertEq(odd.balanceOf(address(7)), 50);
        odd.mint(address(8), 30);
        assertEq(odd.balanceOf(address(8)), 30);
        vm.expectRevert(
            abi.encodeWithSelector(RebasingToken.BalanceExceeded.selector, 101, 100)
        );
        odd.transfer(address(7), 101);
        vm.expectRevert(
            abi.encodeWithSelector(RebasingToken.AllowanceExceeded.selector, 1, 0)
        );
        odd.transferFrom(address(this), address(7), 1);
    }

    function test_noReturnToken_movesAndSaysNothing() public {
        NoReturnToken odd = new NoReturnToken();
        odd.mint(address(this), 100);
        (bool ok, bytes memory answer) =
            address(odd).call(abi.encodeCall(NoReturnToken.transfer, (address(7), 40)));
        assertTrue(ok);
        assertEq(answer.length, 0);
        odd.approve(address(this), 60);
        odd.transferFrom(address(this), address(7), 60);
        assertEq(odd.balanceOf(address(7)), 100);
        vm.expectRevert(
            abi.encodeWithSelector(NoReturnToken.AllowanceExceeded.selector, 1, 0)
        );
        odd.transferFrom(address(this), address(7), 1);
        vm.expectRevert(abi.encodeWithSelector(NoReturnToken.BalanceExceeded.selector, 1, 0));
        odd.transfer(address(7), 1);
    }
}
