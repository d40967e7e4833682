// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {Sweeper} from "../src/Sweeper.sol";
import {SweepHub} from "../src/SweepHub.sol";
import {TestToken} from "../src/devnet/TestToken.sol";

/// @dev Anybody calls wallets with anything, the operator sweeps, money comes in.
contract SweepHandler is Test {
    address public constant TREASURY = address(0x7ea5);
    uint256 public constant WALLETS = 4;
    Sweeper public immutable SWEEPER;
    SweepHub public immutable HUB;
    TestToken public immutable TOKEN;
    uint256 public tokensIn;
    uint256 public nativeIn;
    uint256 public swept;
    bool public fell;

    constructor() {
        SWEEPER = new Sweeper(TREASURY);
        HUB = new SweepHub(address(SWEEPER), address(this));
        TOKEN = new TestToken("T", "T", 6);
        for (uint256 i = 0; i < WALLETS; ++i) {
            vm.etch(wallet(i), abi.encodePacked(hex"ef0100", address(SWEEPER)));
        }
    }

    function wallet(uint256 index) public pure returns (address) {
        return address(uint160(0xd0000000 + index % WALLETS));
    }

    function deposit(uint256 who, uint64 tokens, uint64 coins) external {
        TOKEN.mint(wallet(who), tokens);
        tokensIn += tokens;
        vm.deal(address(this), coins);
        (bool ok,) = wallet(who).call{value: coins}("");
        assertTrue(ok);
        nativeIn += coins;
    }

    function sweep(uint256 seed, uint64 amount, bool native) external {
        uint256[] memory words = new uint256[](seed % 4);
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 hint = seed & (1 << (8 + i)) == 0 ? 0 : amount;
            words[i] = uint256(uint160(wallet(seed >> (16 * i)))) << 96 | hint;
        }
        uint256 before = _treasury();
        uint256 skipped = native ? HUB.sweepNative(words) : HUB.sweepToken(address(TOKEN), words);
        assertEq(skipped, 0);
        if (_treasury() > before) ++swept;
    }

    /// @dev Any caller, any of the functions or none, any argument, some value.
    function poke(uint160 seed, uint256 who, uint256 what, bytes calldata rest, uint64 value)
        external
    {
        address caller = address(seed | 1 << 159);
        bytes4[7] memory selectors = [
            Sweeper.sweep.selector,
            Sweeper.sweepPacked.selector,
            Sweeper.sweepNative.selector,
            Sweeper.onERC721Received.selector,
            IERC20.transfer.selector,
            IERC20.approve.selector,
            bytes4(bytes32(what))
        ];
        bytes4 selector = selectors[what % 7];
        bytes memory data = what % 5 == 0
            ? abi.encodePacked(selector, rest)
            : what % 3 == 0
                ? abi.encodePacked(selector, abi.encode(address(TOKEN), caller, value))
                : abi.encodePacked(selector, uint256(uint160(address(TOKEN))) << 96 | value);
        uint256 before = _treasury();
        vm.deal(caller, value);
        vm.prank(caller);
        (bool ok,) = wallet(who).call{value: what % 2 == 0 ? value : 0}(data);
        if (ok && what % 2 == 0) nativeIn += value;
        if (_treasury() < before) fell = true;
    }

    function _treasury() private view returns (uint256) {
        return TOKEN.balanceOf(TREASURY) + TREASURY.balance;
    }
}

contract SweepInvariantTest is Test {
    SweepHandler private handler;

    function setUp() public {
        handler = new SweepHandler();
        targetContract(address(handler));
        excludeSender(handler.TREASURY());
        for (uint256 i = 0; i < handler.WALLETS(); ++i) {
            excludeSender(handler.wallet(i));
        }
    }

    function invariant_moneyIsInAWalletOrTheTreasury() public view {
        TestToken token = handler.TOKEN();
        uint256 tokens = token.balanceOf(handler.TREASURY());
        uint256 coins = handler.TREASURY().balance;
        for (uint256 i = 0; i < handler.WALLETS(); ++i) {
            address wallet = handler.wallet(i);
            tokens += token.balanceOf(wallet);
            coins += wallet.balance;
            assertEq(token.allowance(wallet, address(this)), 0);
            assertEq(vm.load(wallet, 0), 0);
        }
        assertEq(tokens, handler.tokensIn());
        assertEq(coins, handler.nativeIn());
        assertFalse(handler.fell());
        assertEq(token.balanceOf(address(handler.HUB())), 0);
        assertEq(address(handler.HUB()).balance, 0);
    }

    /// @dev The walk above does move money, both ways.
    function test_theHandlerSweeps() public {
        handler.deposit(1, 7, 8);
        handler.sweep(1 | 1 << 8, 5, false);
        assertEq(handler.TOKEN().balanceOf(handler.TREASURY()), 5);
        handler.sweep(1, 5, true);
        assertEq(handler.TREASURY().balance, 8);
        assertEq(handler.swept(), 2);
        handler.poke(5, 1, 21, "", 3);
        assertEq(handler.TOKEN().balanceOf(handler.TREASURY()), 7);
        invariant_moneyIsInAWalletOrTheTreasury();
    }
}
