// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {PriceFeed} from "./PriceFeed.sol";

interface IHasUnderlying {
    function underlying() external view returns (address);
}

/// @title Devnet only: what a Compound-shaped market asks of an oracle, from price feeds
contract CompoundOracle {
    error NoFeed(address asset);

    mapping(address asset => PriceFeed) public feedOf;

    constructor(address[] memory assets, PriceFeed[] memory feeds) {
        for (uint256 i = 0; i < assets.length; i++) feedOf[assets[i]] = feeds[i];
    }

    /// @notice Markets announce here that they will ask; feeds need no such push.
    function updatePrice(address market) external {}

    function updateAssetPrice(address asset) external {}

    function getUnderlyingPrice(address market) external view returns (uint256) {
        return getPrice(IHasUnderlying(market).underlying());
    }

    /// @notice USD of one base unit times 10^(36 - decimals), so that every token compares.
    function getPrice(address asset) public view returns (uint256) {
        PriceFeed feed = feedOf[asset];
        if (address(feed) == address(0)) revert NoFeed(asset);
        uint256 usd = SafeCast.toUint256(feed.latestAnswer());
        return usd * 10 ** (36 - feed.decimals() - uint256(IERC20Metadata(asset).decimals()));
    }
}
