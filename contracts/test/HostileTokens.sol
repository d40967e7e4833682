// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TestToken} from "../src/devnet/TestToken.sol";

/// @dev Answers each transfer of one holder with as bad as can be, and is an ordinary token otherwise.
contract MoodyToken is TestToken("Moody", "M", 18) {
    enum Mood {
        Fine,
        Burn,
        Bomb,
        No,
        Short
    }

    mapping(address holder => Mood) public moodAbout;

    function feel(address holder, Mood mood) external {
        moodAbout[holder] = mood;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        Mood mood = moodAbout[msg.sender];
        if (mood == Mood.No) return false;
        assembly {
            if eq(mood, 1) { invalid() }
            if eq(mood, 2) { revert(0, 90000) }
            if eq(mood, 4) {
                mstore(0, 1)
                return(0x1f, 1)
            }
        }
        return super.transfer(to, amount);
    }
}

/// @dev Refuses to say what anybody has.
contract MuteToken is TestToken("Mute", "MUTE", 18) {
    function balanceOf(address) public pure override returns (uint256) {
        revert();
    }
}

/// @dev Moves only if there is as much gas as it wants to see.
contract GluttonToken is TestToken("Glutton", "G", 18) {
    uint256 private immutable _WANTS;

    constructor(uint256 wants) {
        _WANTS = wants;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        require(gasleft() >= _WANTS);
        return super.transfer(to, amount);
    }
}

/// @dev Uses up as much gas as it is told for each transfer, or all there is.
contract HungryToken is TestToken("Hungry", "H", 18) {
    uint256 private immutable _EATS;

    constructor(uint256 eats) {
        _EATS = eats;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        uint256 begin = gasleft();
        while (begin - gasleft() < _EATS) {}
        return super.transfer(to, amount);
    }
}
