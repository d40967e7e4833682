// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.27;

import {
    DefaultReserveInterestRateStrategyV2
} from "@aave-dao/aave-v3-origin/src/contracts/misc/DefaultReserveInterestRateStrategyV2.sol";
import {
    AaveProtocolDataProvider
} from "@aave-dao/aave-v3-origin/src/contracts/helpers/AaveProtocolDataProvider.sol";
import {
    StataTokenFactory
} from "@aave-dao/aave-v3-origin/src/contracts/extensions/stata-token/StataTokenFactory.sol";
import {ATokenInstance} from "@aave-dao/aave-v3-origin/src/contracts/instances/ATokenInstance.sol";
import {
    PoolConfiguratorInstance
} from "@aave-dao/aave-v3-origin/src/contracts/instances/PoolConfiguratorInstance.sol";
import {PoolInstance} from "@aave-dao/aave-v3-origin/src/contracts/instances/PoolInstance.sol";
import {
    VariableDebtTokenInstance
} from "@aave-dao/aave-v3-origin/src/contracts/instances/VariableDebtTokenInstance.sol";
import {AaveOracle} from "@aave-dao/aave-v3-origin/src/contracts/misc/AaveOracle.sol";
import {
    ACLManager
} from "@aave-dao/aave-v3-origin/src/contracts/protocol/configuration/ACLManager.sol";
import {
    PoolAddressesProvider
} from "@aave-dao/aave-v3-origin/src/contracts/protocol/configuration/PoolAddressesProvider.sol";
import {EmissionManager} from "@aave-dao/aave-v3-origin/src/contracts/rewards/EmissionManager.sol";
import {
    RewardsController
} from "@aave-dao/aave-v3-origin/src/contracts/rewards/RewardsController.sol";
import {
    TransparentProxyFactory
} from "solidity-utils/contracts/transparent-proxy/TransparentProxyFactory.sol";
