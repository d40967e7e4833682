// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.19;

import {Morpho} from "@morpho-org/morpho-blue/src/Morpho.sol";
