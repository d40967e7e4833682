// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Devnet only: an ERC-4626 vault with a linear reward stream
/// @notice `fund` pays rewards in, which enter `totalAssets` evenly until `rewardEnd`. The rate of
/// a depositor is therefore rewardRate / totalAssets: it falls as the vault grows.
contract PlainVault is ERC4626 {
    using SafeERC20 for IERC20;

    error NothingToStream();

    event Funded(uint256 amount, uint256 rate, uint256 end);

    /// @notice Base units of the asset a second, rounded down.
    uint256 public rewardRate;
    /// @notice Unix second at which the stream runs dry.
    uint256 public rewardEnd;

    constructor(IERC20 asset_, string memory name_, string memory symbol_)
        ERC20(name_, symbol_)
        ERC4626(asset_)
    {}

    /// @notice Adds `amount` to what is left of the stream and spreads both over `duration` seconds.
    function fund(uint256 amount, uint256 duration) external {
        if (duration == 0) revert NothingToStream();
        uint256 rate = (unstreamed() + amount) / duration;
        if (rate == 0) revert NothingToStream();
        rewardRate = rate;
        rewardEnd = block.timestamp + duration;
        emit Funded(amount, rate, rewardEnd);
        IERC20(asset()).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Rewards that are in the vault and not yet anybody's.
    function unstreamed() public view returns (uint256) {
        return block.timestamp < rewardEnd ? (rewardEnd - block.timestamp) * rewardRate : 0;
    }

    function totalAssets() public view override returns (uint256) {
        return super.totalAssets() - unstreamed();
    }
}
