// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.26;

import {
    MetaMorphoFactory
} from "sphere-mezo-solidity-files/domains/metamorpho/contracts/MetaMorphoFactory.sol";
import {
    AdaptiveCurveIrm
} from "sphere-mezo-solidity-files/domains/morphoIrm/contracts/AdaptiveCurveIrm.sol";
