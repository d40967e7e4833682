// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {PriceFeed} from "./PriceFeed.sol";

/// @title Devnet only: what Morpho asks of an oracle, from two price feeds
contract MorphoOracle {
    PriceFeed public immutable collateralFeed;
    PriceFeed public immutable loanFeed;
    uint256 private immutable _SCALE;

    constructor(
        IERC20Metadata collateral,
        IERC20Metadata loan,
        PriceFeed collateralFeed_,
        PriceFeed loanFeed_
    ) {
        collateralFeed = collateralFeed_;
        loanFeed = loanFeed_;
        _SCALE = 10 ** (36 + uint256(loan.decimals()) - collateral.decimals());
    }

    /// @notice Base units of the loan token that one base unit of collateral is worth, times 1e36.
    function price() external view returns (uint256) {
        uint256 collateralUsd = SafeCast.toUint256(collateralFeed.latestAnswer());
        uint256 loanUsd = SafeCast.toUint256(loanFeed.latestAnswer());
        return Math.mulDiv(collateralUsd, _SCALE, loanUsd);
    }
}
