// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Payouts} from "../src/Payouts.sol";
import {IPayouts} from "../src/interfaces/IPayouts.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {GasBurner, HookToken, Reenterer, Refuser, ReturnBomb} from "./Hostile.sol";

/// @dev Three payers send batches under few ids to good and bad recipients; a stranger leaves money.
contract PayoutsHandler is Test {
    Payouts public immutable PAYOUTS;
    TestToken[2] public tokens;
    address[3] public payers;
    address[9] public recipients;
    mapping(address payer => mapping(uint256 batchId => uint256)) public timesPaid;
    /// @dev By asset: 0 and 1 are the tokens, 2 the native coin.
    uint256[3] public paidOut;
    uint256[3] public left;
    uint256 public wentThrough;
    uint256 public refused;
    bool public wrongReason;

    constructor() {
        PAYOUTS = new Payouts();
        HookToken hooks = new HookToken();
        tokens = [TestToken(hooks), new TestToken("T", "T", 6)];
        recipients = [
            makeAddr("a"),
            makeAddr("b"),
            makeAddr("c"),
            address(0),
            address(PAYOUTS),
            address(new Refuser()),
            address(new GasBurner()),
            address(new ReturnBomb(true)),
            address(new Reenterer(PAYOUTS, true))
        ];
        for (uint256 i = 5; i < recipients.length; ++i) {
            hooks.hook(recipients[i]);
        }
        for (uint256 i = 0; i < payers.length; ++i) {
            payers[i] = makeAddr(string.concat("payer ", vm.toString(i)));
            vm.deal(payers[i], 1e30);
            for (uint256 k = 0; k < 2; ++k) {
                tokens[k].mint(payers[i], 1e30);
                vm.prank(payers[i]);
                tokens[k].approve(address(PAYOUTS), type(uint256).max);
            }
        }
    }

    function pay(uint256 who, uint256 asset, uint256 id, uint256 seed, uint8 size, bool off)
        external
    {
        address payer = payers[who % 3];
        asset %= 3;
        id = id % 3 == 0 ? id : 254 + id % 4;
        (uint256[] memory words, uint256 sum) = _words(seed, size % 6);
        if (off) ++sum;
        bytes memory data = asset == 2
            ? abi.encodeCall(IPayouts.payNative, (id, words))
            : abi.encodeCall(IPayouts.payToken, (address(tokens[asset]), id, sum, words));
        vm.prank(payer);
        (bool ok, bytes memory answer) = address(PAYOUTS).call{value: asset == 2 ? sum : 0}(data);
        if (ok) {
            (uint256 paid,) = abi.decode(answer, (uint256, uint256));
            ++timesPaid[payer][id];
            paidOut[asset] += paid;
            ++wentThrough;
        } else {
            ++refused;
            bytes4 wanted = words.length == 0
                ? IPayouts.EmptyBatch.selector
                : timesPaid[payer][id] != 0
                    ? IPayouts.BatchUsed.selector
                    : IPayouts.TotalMismatch.selector;
            if (bytes4(answer) != wanted) wrongReason = true;
        }
        if (timesPaid[payer][id] > 1) wrongReason = true;
        if (PAYOUTS.isUsed(payer, id) != (timesPaid[payer][id] == 1)) wrongReason = true;
    }

    /// @dev Money that belongs to nobody must neither help nor disturb.
    function leave(uint256 asset, uint96 amount) external {
        asset %= 3;
        left[asset] += amount;
        if (asset == 2) vm.deal(address(PAYOUTS), address(PAYOUTS).balance + amount);
        else tokens[asset].mint(address(PAYOUTS), amount);
    }

    function _words(uint256 seed, uint256 size)
        private
        view
        returns (uint256[] memory words, uint256 sum)
    {
        words = new uint256[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint256 amount = uint64(random);
            words[i] = uint256(uint160(recipients[(random >> 64) % 9])) << 96 | amount;
            sum += amount;
        }
    }
}

contract PayoutsInvariantTest is Test {
    PayoutsHandler private handler;

    function setUp() public {
        handler = new PayoutsHandler();
        targetContract(address(handler));
    }

    function invariant_nothingRestsAndAnIdPaysOnce() public view {
        assertFalse(handler.wrongReason());
        for (uint256 asset = 0; asset < 3; ++asset) {
            assertEq(_balance(asset, address(handler.PAYOUTS())), handler.left(asset));
            uint256 spent;
            for (uint256 i = 0; i < 3; ++i) {
                spent += 1e30 - _balance(asset, handler.payers(i));
            }
            assertEq(spent, handler.paidOut(asset));
            uint256 received;
            for (uint256 i = 0; i < 9; ++i) {
                if (i != 4) received += _balance(asset, handler.recipients(i));
            }
            assertEq(received, spent);
        }
    }

    /// @dev The walk above does meet both outcomes.
    function test_theHandlerPaysAndRefuses() public {
        handler.pay(0, 0, 1, 5, 3, false);
        handler.pay(0, 2, 1, 5, 3, false);
        handler.pay(0, 2, 2, 5, 3, true);
        handler.pay(1, 2, 2, 5, 3, false);
        handler.pay(1, 1, 1, 5, 0, false);
        assertEq(handler.wentThrough(), 2);
        assertEq(handler.refused(), 3);
        invariant_nothingRestsAndAnIdPaysOnce();
    }

    function _balance(uint256 asset, address account) private view returns (uint256) {
        return asset == 2 ? account.balance : handler.tokens(asset).balanceOf(account);
    }
}
