// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Test} from "forge-std/Test.sol";
import {VTokenVault} from "../src/venues/VTokenVault.sol";
import {IVTokenVault} from "../src/interfaces/IVTokenVault.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {MarketMock} from "./MarketMock.sol";

/// @dev A market with a million of somebody else's, 800,000 of it lent out.
contract VTokenVaultTest is Test {
    address private depositor = makeAddr("depositor");
    address private other = makeAddr("other");
    address private stranger = makeAddr("stranger");
    TestToken private usdc;
    MarketMock private market;
    VTokenVault private vault;

    function setUp() public {
        vm.warp(1_767_000_000);
        usdc = new TestToken("USD", "USD", 6);
        market = new MarketMock(address(usdc));
        vault = new VTokenVault(address(market), depositor);
        usdc.mint(other, 1_000_000e6);
        vm.startPrank(other);
        usdc.approve(address(market), type(uint256).max);
        market.mint(1_000_000e6);
        vm.stopPrank();
        market.lend(800_000e6, stranger);
        usdc.mint(depositor, 10_000_000e6);
        vm.prank(depositor);
        usdc.approve(address(vault), type(uint256).max);
        vm.warp(block.timestamp + 10 days);
    }

    function _deposit(uint256 assets) private returns (uint256 shares) {
        vm.prank(depositor);
        return vault.deposit(assets, depositor);
    }

    /// @dev Nothing of the asset, no allowance; every vToken is somebody's share.
    function _nothingRests() private view {
        assertEq(usdc.balanceOf(address(vault)), 0);
        assertEq(usdc.allowance(address(vault), address(market)), 0);
        assertEq(market.balanceOf(address(vault)), vault.totalSupply());
    }

    // --- constructor ---

    function test_constructor_takesNoZeroAddress() public {
        vm.expectRevert(IVTokenVault.ZeroAddress.selector);
        new VTokenVault(address(0), depositor);
        vm.expectRevert(IVTokenVault.ZeroAddress.selector);
        new VTokenVault(address(market), address(0));
    }

    function test_constructor_isOfTheMarket() public view {
        assertEq(vault.asset(), address(usdc));
        assertEq(vault.decimals(), 8);
        assertEq(vault.MARKET(), address(market));
        assertEq(vault.DEPOSITOR(), depositor);
    }

    // --- deposit and mint ---

    function test_deposit_isTheDepositorsAlone() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.NotDepositor.selector, stranger));
        vault.deposit(1e6, depositor);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.NotDepositor.selector, stranger));
        vault.mint(1e8, depositor);
        vm.stopPrank();
        vm.prank(depositor);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.NotDepositor.selector, stranger));
        vault.deposit(1e6, stranger);
    }

    function testFuzz_deposit_givesTheVTokensThatCome(uint256 assets, uint256 later) public {
        assets = bound(assets, 1, 9_000_000e6);
        vm.warp(block.timestamp + bound(later, 0, 1000 days));
        uint256 rate = vault.exchangeRate();
        uint256 due = vault.previewDeposit(assets);
        vm.expectEmit(address(vault));
        emit IVTokenVaultEvents.Deposit(depositor, depositor, assets, due);
        assertEq(_deposit(assets), due);
        assertEq(vault.balanceOf(depositor), due);
        assertEq(vault.totalAssets(), vault.convertToAssets(due));
        assertApproxEqAbs(vault.totalAssets(), assets, 1);
        // The price before was that of this block, and a deposit lowers it for nobody.
        assertApproxEqRel(vault.exchangeRate(), rate, 1e6);
        _nothingRests();
    }

    function testFuzz_mint_givesTheSharesAsked(uint256 shares) public {
        shares = bound(shares, 1, 8_000_000e8);
        uint256 assets = vault.previewMint(shares);
        vm.prank(depositor);
        assertEq(vault.mint(shares, depositor), assets);
        assertGe(vault.balanceOf(depositor), shares);
        _nothingRests();
    }

    function test_deposit_revertsWithTheMarketsError() public {
        market.misbehave(9, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.MarketError.selector, 9));
        _deposit(1e6);
    }

    function test_deposit_revertsIfVTokensAreKept() public {
        uint256 due = vault.previewDeposit(1e6);
        market.misbehave(0, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.Shortfall.selector, due - 1, due));
        _deposit(1e6);
    }

    function test_deposit_leavesNoAllowance() public {
        market.misbehave(0, 0, 7);
        _deposit(1e6);
        assertEq(usdc.allowance(address(vault), address(market)), 0);
        assertEq(usdc.balanceOf(address(vault)), 7);
        uint256 before = usdc.balanceOf(depositor);
        assertEq(vault.sweep(address(usdc)), 7);
        assertEq(usdc.balanceOf(depositor), before + 7);
    }

    // --- withdraw and redeem ---

    function test_withdraw_isTheOwnersOrWhomHeAllows() public {
        _deposit(1_000e6);
        vm.startPrank(stranger);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vault.withdraw(1e6, stranger, depositor);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vault.redeem(1e8, stranger, depositor);
        vm.stopPrank();
        vm.prank(depositor);
        vault.approve(stranger, 1e8);
        vm.prank(stranger);
        uint256 assets = vault.redeem(1e8, other, depositor);
        assertEq(usdc.balanceOf(other), assets);
        assertEq(vault.allowance(depositor, stranger), 0);
    }

    function testFuzz_withdraw_paysWhatWasAskedOrAHairMore(uint256 assets, uint256 later) public {
        _deposit(2_000_000e6);
        vm.warp(block.timestamp + bound(later, 0, 1000 days));
        assets = bound(assets, 1, vault.maxWithdraw(depositor));
        uint256 shares = vault.previewWithdraw(assets);
        vm.prank(depositor);
        assertEq(vault.withdraw(assets, other, depositor), shares);
        assertGe(usdc.balanceOf(other), assets);
        assertLe(usdc.balanceOf(other), assets + 1);
        _nothingRests();
    }

    function testFuzz_redeem_paysThePreview(uint256 assets, uint256 later) public {
        uint256 shares = _deposit(bound(assets, 2, 9_000_000e6));
        usdc.mint(address(market), 100_000e6); // cash for the interest of all who leave
        vm.warp(block.timestamp + bound(later, 0, 100 days));
        assertEq(vault.maxRedeem(depositor), shares);
        uint256 due = vault.previewRedeem(shares);
        vm.prank(depositor);
        assertEq(vault.redeem(shares, other, depositor), due);
        assertEq(usdc.balanceOf(other), due);
        assertEq(vault.totalSupply(), 0);
        _nothingRests();
    }

    function test_redeem_revertsAndKeepsTheShares() public {
        uint256 shares = _deposit(1_000_000e6);
        market.misbehave(14, 0, 0);
        vm.startPrank(depositor);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.MarketError.selector, 14));
        vault.redeem(shares, depositor, depositor);
        market.misbehave(0, 0, 0);
        market.lend(market.getCash() - 10e6, stranger);
        vm.expectRevert(MarketMock.NoCash.selector);
        vault.redeem(shares, depositor, depositor);
        assertEq(vault.balanceOf(depositor), shares);
        vm.stopPrank();
    }

    function test_redeem_revertsIfAssetsAreKept() public {
        uint256 shares = _deposit(1_000e6);
        uint256 due = vault.convertToAssets(shares);
        market.misbehave(0, 3, 0);
        vm.prank(depositor);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.Shortfall.selector, due - 3, due));
        vault.redeem(shares, depositor, depositor);
    }

    function test_redeem_whoHasTheSharesHasTheMoney() public {
        uint256 shares = _deposit(1_000e6);
        vm.prank(depositor);
        vault.transfer(other, shares);
        vm.prank(other);
        uint256 assets = vault.redeem(shares, other, other);
        assertEq(usdc.balanceOf(other), assets);
    }

    // --- sweep ---

    function test_sweep_sendsAllButVTokensToTheDepositor() public {
        TestToken reward = new TestToken("R", "R", 18);
        reward.mint(address(vault), 5 ether);
        vm.expectEmit(address(vault));
        emit IVTokenVault.Swept(address(reward), 5 ether);
        vm.prank(stranger);
        vault.sweep(address(reward));
        assertEq(reward.balanceOf(depositor), 5 ether);
        vm.expectRevert(abi.encodeWithSelector(IVTokenVault.NotStray.selector, address(market)));
        vault.sweep(address(market));
    }

    // --- views ---

    function test_views_giftsChangeNoPrice() public {
        _deposit(1_000e6);
        uint256 worth = vault.convertToAssets(vault.balanceOf(depositor));
        vm.prank(other);
        market.transfer(address(vault), 1_000e8);
        usdc.mint(address(vault), 1_000e6);
        assertEq(vault.convertToAssets(vault.balanceOf(depositor)), worth);
        assertEq(vault.totalAssets(), worth);
    }

    function test_views_rateIsThatOfTheNextTransaction() public {
        uint256 rate = vault.exchangeRate();
        assertGt(rate, market.exchangeRateStored());
        market.accrueInterest();
        assertEq(market.exchangeRateStored(), rate);
        assertEq(vault.exchangeRate(), rate);
        MarketMock empty = new MarketMock(address(usdc));
        vm.warp(block.timestamp + 1 days);
        assertEq(new VTokenVault(address(empty), depositor).exchangeRate(), 1e16);
    }

    function test_views_maxDepositIsWhatTheCapLeaves() public {
        assertEq(vault.maxDeposit(depositor), type(uint256).max);
        assertEq(vault.maxMint(depositor), type(uint256).max);
        assertEq(vault.maxDeposit(other), 0);
        uint256 supplied = market.totalSupply() * vault.exchangeRate() / 1e18;
        market.setCap(supplied + 500e6);
        assertEq(vault.maxDeposit(depositor), 500e6);
        assertEq(vault.maxMint(depositor), vault.convertToShares(500e6));
        market.setCap(1);
        assertEq(vault.maxDeposit(depositor), 0);
        market.setPaused(0, true);
        assertEq(vault.maxDeposit(depositor), 0);
    }

    function test_views_maxWithdrawIsWhatCashAllows() public {
        uint256 shares = _deposit(1_000_000e6);
        assertEq(vault.maxWithdraw(depositor), vault.convertToAssets(shares));
        assertEq(vault.maxWithdraw(other), 0);
        market.lend(1_199_000e6, stranger);
        vm.warp(block.timestamp + 1 days);
        uint256 most = vault.maxWithdraw(depositor);
        assertLt(most, 1_000e6);
        assertEq(vault.maxRedeem(depositor), vault.convertToShares(most));
        assertLt(vault.maxRedeem(depositor), shares);
        uint256 snapshot = vm.snapshotState();
        vm.startPrank(depositor);
        vault.withdraw(most - 1, depositor, depositor);
        vm.revertToState(snapshot);
        vm.expectRevert(MarketMock.NoCash.selector);
        vault.withdraw(most + 2, depositor, depositor);
        vm.stopPrank();
        market.setPaused(1, true);
        assertEq(vault.maxWithdraw(depositor), 0);
        assertEq(vault.maxRedeem(depositor), 0);
    }
}

/// @dev Only names an event of IERC4626 for `emit`.
interface IVTokenVaultEvents {
    event Deposit(address indexed sender, address indexed owner, uint256 assets, uint256 shares);
}
