// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AuditAnchor} from "../src/AuditAnchor.sol";
import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";

contract AuditAnchorTest is Test {
    bytes32 private constant LOG = keccak256("log");
    bytes32 private constant ROOT = keccak256("root");
    address private owner = makeAddr("owner");
    address private anchorer = makeAddr("anchorer");
    address private stranger = makeAddr("stranger");
    AuditAnchor private anchors;

    function setUp() public {
        anchors = new AuditAnchor();
        vm.prank(owner);
        anchors.register(LOG, anchorer);
    }

    function _anchor(uint64 size, uint64 time) private {
        vm.prank(anchorer);
        anchors.anchor(LOG, size, ROOT, time);
    }

    function test_register_claimsAndNamesTheAnchorer() public view {
        assertEq(anchors.ownerOf(LOG), owner);
        assertTrue(anchors.isAnchorer(LOG, anchorer));
        assertFalse(anchors.isAnchorer(LOG, owner));
        assertEq(anchors.latest(LOG).seq, 0);
    }

    function test_register_ownerAddsAnother() public {
        vm.prank(owner);
        anchors.register(LOG, stranger);
        vm.prank(stranger);
        anchors.anchor(LOG, 1, ROOT, 1);
        assertEq(anchors.latest(LOG).size, 1);
    }

    function test_register_revertsForAStranger() public {
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotOwner.selector, LOG, stranger));
        vm.prank(stranger);
        anchors.register(LOG, stranger);
    }

    function test_register_revertsForZero() public {
        vm.expectRevert(IAuditAnchor.ZeroAddress.selector);
        anchors.register(keccak256("other"), address(0));
    }

    function test_removeAnchorer_stopsIt() public {
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, LOG, anchorer));
        _anchor(1, 1);
    }

    function test_transferOwnership_handsOver() public {
        vm.prank(owner);
        anchors.transferOwnership(LOG, stranger);
        assertEq(anchors.ownerOf(LOG), stranger);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotOwner.selector, LOG, owner));
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
    }

    function test_anchor_storesAndEmits() public {
        _anchor(5, 100);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.Anchored(LOG, 2, 9, ROOT, 100);
        _anchor(9, 100);
        IAuditAnchor.Checkpoint memory last = anchors.latest(LOG);
        assertEq(last.root, ROOT);
        assertEq(last.size, 9);
        assertEq(last.time, 100);
        assertEq(last.seq, 2);
    }

    function test_anchor_revertsForAStranger() public {
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, LOG, stranger));
        vm.prank(stranger);
        anchors.anchor(LOG, 1, ROOT, 1);
    }

    function test_anchor_revertsForTheAnchorerOfAnotherLog() public {
        bytes32 other = keccak256("other");
        vm.prank(stranger);
        anchors.register(other, stranger);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, other, anchorer));
        vm.prank(anchorer);
        anchors.anchor(other, 1, ROOT, 1);
    }

    function testFuzz_anchor_revertsUnlessSizeGrows(uint64 size, uint64 next) public {
        size = uint64(bound(size, 1, type(uint64).max));
        next = uint64(bound(next, 0, size));
        _anchor(size, 1);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SizeNotGrown.selector, next, size));
        _anchor(next, 2);
    }

    function test_anchor_revertsIfTimeGoesBack() public {
        _anchor(1, 100);
        vm.expectRevert(
            abi.encodeWithSelector(IAuditAnchor.TimeWentBack.selector, uint64(99), uint64(100))
        );
        _anchor(2, 99);
    }
}
