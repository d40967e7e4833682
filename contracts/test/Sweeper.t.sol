// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {IERC1155Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC721Receiver} from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import {Sweeper} from "../src/Sweeper.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {FalseToken, FeeToken, Refuser, SilentToken} from "./Hostile.sol";
import {MoodyToken, MuteToken} from "./HostileTokens.sol";
import {SweepSetup} from "./SweepSetup.sol";

/// @dev A cheat code that this forge knows and this forge-std does not name yet.
interface VmDelegation {
    function signAndAttachDelegation(address implementation, uint256 privateKey) external;
}

/// @dev The wallet is a plain account that signed its delegation, as on a real chain.
contract SweeperTest is SweepSetup {
    address private wallet;

    function setUp() public override {
        super.setUp();
        uint256 key;
        (wallet, key) = makeAddrAndKey("wallet");
        VmDelegation(address(vm)).signAndAttachDelegation(address(sweeper), key);
        (bool ok,) = wallet.call("");
        assertTrue(ok);
        assertEq(wallet.code, abi.encodePacked(hex"ef0100", address(sweeper)));
    }

    // --- sweep ---

    function test_sweep_anybodyMovesAllToTheTreasury() public {
        token.mint(wallet, 7e6);
        vm.expectEmit(address(token));
        emit IERC20.Transfer(wallet, treasury, 7e6);
        vm.prank(stranger);
        assertEq(ISweeper(wallet).sweep(address(token)), 7e6);
        assertEq(token.balanceOf(treasury), 7e6);
        assertEq(token.balanceOf(wallet), 0);
    }

    function test_sweep_nothingIsNoError() public {
        vm.recordLogs();
        assertEq(ISweeper(wallet).sweep(address(token)), 0);
        assertEq(ISweeper(wallet).sweepNative(), 0);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_sweep_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        silent.mint(wallet, 5);
        assertEq(ISweeper(wallet).sweep(address(silent)), 5);
        assertEq(silent.balanceOf(treasury), 5);
    }

    function test_sweep_revertsIfTheTokenReturnsFalse() public {
        FalseToken bad = new FalseToken();
        bad.mint(wallet, 5);
        _expectFailed(address(bad), 5);
        ISweeper(wallet).sweep(address(bad));
    }

    function test_sweep_revertsIfTheTokenRevertsOrAnswersLessThanAWord() public {
        MoodyToken moody = new MoodyToken();
        moody.mint(wallet, 5);
        MoodyToken.Mood[4] memory moods =
            [MoodyToken.Mood.Burn, MoodyToken.Mood.Bomb, MoodyToken.Mood.No, MoodyToken.Mood.Short];
        for (uint256 i = 0; i < moods.length; ++i) {
            moody.feel(wallet, moods[i]);
            _expectFailed(address(moody), 5);
            ISweeper(wallet).sweep{gas: 300_000}(address(moody));
            _expectFailed(address(moody), 5);
            ISweeper(wallet).sweepPacked{gas: 300_000}(_packed(address(moody), 3));
        }
        assertEq(moody.balanceOf(wallet), 5);
    }

    function test_sweep_revertsIfThereIsNoBalanceToRead() public {
        MuteToken mute = new MuteToken();
        address[3] memory bad = [address(99), address(mute), address(sweeper)];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISweeper.NotAToken.selector, bad[i]));
            ISweeper(wallet).sweep(bad[i]);
        }
    }

    function test_sweep_aFeeIsTheTokensOwnEvent() public {
        FeeToken fee = new FeeToken();
        fee.mint(wallet, 1_000);
        assertEq(ISweeper(wallet).sweep(address(fee)), 1_000);
        assertEq(fee.balanceOf(treasury), 990);
        assertEq(fee.balanceOf(wallet), 0);
    }

    // --- sweepPacked ---

    function test_sweepPacked_movesTheAmount() public {
        token.mint(wallet, 7e6);
        vm.expectEmit(address(token));
        emit IERC20.Transfer(wallet, treasury, 5e6);
        vm.prank(stranger);
        ISweeper(wallet).sweepPacked(_packed(address(token), 5e6));
        assertEq(token.balanceOf(treasury), 5e6);
        assertEq(token.balanceOf(wallet), 2e6);
    }

    function test_sweepPacked_theLargestAmountIsTwelveBytes() public {
        token.mint(wallet, type(uint128).max);
        ISweeper(wallet).sweepPacked(_packed(address(token), type(uint96).max));
        assertEq(token.balanceOf(treasury), type(uint96).max);
    }

    /// @dev Whatever the amount, what is left is what a smaller amount left behind.
    function testFuzz_sweepPacked_movesTheAmountOrAll(uint96 held, uint96 amount) public {
        token.mint(wallet, held);
        ISweeper(wallet).sweepPacked(_packed(address(token), amount));
        uint256 moved = amount == 0 || amount > held ? held : amount;
        assertEq(token.balanceOf(treasury), moved);
        assertEq(token.balanceOf(wallet), held - moved);
    }

    function test_sweepPacked_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        silent.mint(wallet, 5);
        ISweeper(wallet).sweepPacked(_packed(address(silent), 3));
        assertEq(silent.balanceOf(treasury), 3);
        ISweeper(wallet).sweepPacked(_packed(address(silent), 3));
        assertEq(silent.balanceOf(treasury), 5);
    }

    /// @dev A refusal that burns all it gets leaves half for the second try.
    function test_sweepPacked_aRefusalThatBurnsLeavesEnoughForAll() public {
        BurningToken old = new BurningToken();
        old.mint(wallet, 5);
        ISweeper(wallet).sweepPacked{gas: 200_000}(_packed(address(old), 6));
        assertEq(old.balanceOf(treasury), 5);
    }

    function test_sweepPacked_revertsForAnAccountWithoutCode() public {
        for (uint256 amount = 0; amount < 2; ++amount) {
            vm.expectRevert(abi.encodeWithSelector(ISweeper.NotAToken.selector, address(99)));
            ISweeper(wallet).sweepPacked(_packed(address(99), amount));
        }
    }

    // --- sweepNative ---

    function test_sweepNative_movesAll() public {
        vm.deal(wallet, 3 ether);
        vm.expectEmit(wallet);
        emit ISweeper.NativeSwept(3 ether);
        vm.prank(stranger);
        assertEq(ISweeper(wallet).sweepNative(), 3 ether);
        assertEq(treasury.balance, 3 ether);
    }

    function test_sweepNative_revertsIfTheTreasuryRefuses() public {
        vm.etch(treasury, address(new Refuser()).code);
        vm.deal(wallet, 1 ether);
        _expectFailed(address(0), 1 ether);
        ISweeper(wallet).sweepNative();
    }

    // --- The wallet ---

    function test_wallet_stillReceives() public {
        vm.deal(address(this), 1 ether);
        (bool ok,) = wallet.call{value: 1 ether}("");
        assertTrue(ok);
        bytes4 answer = ISweeper(wallet).onERC721Received(address(1), address(2), 3, "");
        assertEq(answer, IERC721Receiver.onERC721Received.selector);
    }

    function test_wallet_refusesERC1155() public {
        Items items = new Items();
        items.mint(stranger, 1, 5);
        bytes4 refused = IERC1155Errors.ERC1155InvalidReceiver.selector;
        vm.expectRevert(abi.encodeWithSelector(refused, wallet));
        vm.prank(stranger);
        items.safeTransferFrom(stranger, wallet, 1, 5, "");
    }

    function test_constructor_revertsForZero() public {
        vm.expectRevert(ISweeper.ZeroTreasury.selector);
        new Sweeper(address(0));
        assertEq(sweeper.TREASURY(), treasury);
        assertEq(ISweeper(wallet).TREASURY(), treasury);
    }

    function _packed(address what, uint256 amount) private pure returns (uint256) {
        return _word(what, amount);
    }

    function _expectFailed(address what, uint256 amount) private {
        vm.expectRevert(abi.encodeWithSelector(ISweeper.TransferFailed.selector, what, amount));
    }
}

/// @dev Burns all gas if more is asked than there is, as tokens of the first years do.
contract BurningToken is TestToken("Old", "OLD", 18) {
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (balanceOf(msg.sender) < amount) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        return super.transfer(to, amount);
    }
}

contract Items is ERC1155("") {
    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }
}
