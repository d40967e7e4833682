// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";

/// @dev Says no without reverting.
contract FalseToken is TestToken("False", "F", 18) {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Moves, but returns nothing, like the oldest tokens.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Takes no ether.
contract Refuser {}

/// @dev Takes half of each deposit for itself.
contract GreedyVault is ERC4626 {
    constructor(IERC20 asset_) ERC20("Greedy", "G") ERC4626(asset_) {}

    function deposit(uint256 assets, address receiver) public override returns (uint256 shares) {
        shares = super.deposit(assets, receiver);
        require(IERC20(asset()).transfer(address(1), assets / 2));
    }
}

/// @dev Takes nothing of what it may take: the approval stays open unless the guard closes it.
contract LazyVault is ERC4626 {
    constructor(IERC20 asset_) ERC20("Lazy", "L") ERC4626(asset_) {}

    function deposit(uint256, address) public pure override returns (uint256) {
        return 0;
    }
}

/// @dev Calls the guard back while it is entered; it is the allocator too, so that only the
/// reentrancy guard stands in the way.
contract ReentrantVault is ERC4626 {
    TreasuryGuard public guard;

    constructor(IERC20 asset_) ERC20("Reentrant", "R") ERC4626(asset_) {}

    function aim(TreasuryGuard guard_) external {
        guard = guard_;
    }

    function attack(bytes32 venue, uint256 amount) external {
        guard.allocate(venue, amount);
    }

    function deposit(uint256 assets, address) public override returns (uint256) {
        guard.release(address(this), assets);
        return 0;
    }
}

/// @dev The shape of an Aave pool and its aToken in one, one to one, without interest.
contract PoolDouble is ERC20("aDouble", "aD") {
    IERC20 public immutable UNDERLYING;

    constructor(IERC20 underlying) {
        UNDERLYING = underlying;
    }

    // solhint-disable-next-line func-name-mixedcase
    function UNDERLYING_ASSET_ADDRESS() external view returns (address) {
        return address(UNDERLYING);
    }

    // solhint-disable-next-line func-name-mixedcase
    function POOL() external view returns (address) {
        return address(this);
    }

    function supply(address asset, uint256 amount, address onBehalfOf, uint16) external {
        require(IERC20(asset).transferFrom(msg.sender, address(this), amount));
        _mint(onBehalfOf, amount);
    }

    function withdraw(address asset, uint256 amount, address to) external returns (uint256) {
        if (amount == type(uint256).max) amount = balanceOf(msg.sender);
        _burn(msg.sender, amount);
        require(IERC20(asset).transfer(to, amount));
        return amount;
    }
}
