// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Devnet only: a price that anybody may set
/// @notice Has the read functions of a Chainlink aggregator, which the lending markets expect.
/// Prices are USD with 8 decimals for one whole token.
contract PriceFeed {
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    uint8 public constant decimals = 8;
    string public description;
    int256 public latestAnswer;
    uint256 public latestRound;
    uint256 public latestTimestamp;

    constructor(string memory description_, int256 price) {
        description = description_;
        setPrice(price);
    }

    /// @notice Zero and negative prices are taken: a market must withstand what a feed can say.
    function setPrice(int256 price) public {
        latestAnswer = price;
        latestTimestamp = block.timestamp;
        emit AnswerUpdated(price, ++latestRound, block.timestamp);
    }

    function latestRoundData()
        external
        view
        returns (uint80 round, int256 answer, uint256 startedAt, uint256 updatedAt, uint80)
    {
        round = uint80(latestRound);
        return (round, latestAnswer, latestTimestamp, latestTimestamp, round);
    }
}
