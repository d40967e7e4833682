// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @dev An ERC-7540 vault whose operator fulfils requests at a price it names. For the readers'
/// tests from Python: requests are of their controller and have no numbers.
contract AsyncVaultDouble is ERC20("Async", "AV") {
    uint256 private constant ONE = 1e18;

    address public immutable asset;
    uint256 public price = ONE;
    mapping(address controller => uint256) private _depositPending;
    mapping(address controller => uint256) private _depositClaimable;
    mapping(address controller => uint256) private _redeemPending;
    mapping(address controller => uint256) private _redeemClaimable;

    constructor(address asset_) {
        asset = asset_;
    }

    function share() external view returns (address) {
        return address(this);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x620ee8e4 || id == 0xce3bbe50;
    }

    function setPrice(uint256 price_) external {
        price = price_;
    }

    function totalAssets() external view returns (uint256) {
        return convertToAssets(totalSupply());
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        return shares * price / ONE;
    }

    // --- Requests ---

    function requestDeposit(uint256 assets, address controller, address owner)
        external
        returns (uint256)
    {
        _depositPending[controller] += assets;
        require(IERC20(asset).transferFrom(owner, address(this), assets));
        return 0;
    }

    function requestRedeem(uint256 shares, address controller, address owner)
        external
        returns (uint256)
    {
        require(owner == msg.sender);
        _transfer(owner, address(this), shares);
        _redeemPending[controller] += shares;
        return 0;
    }

    function fulfil(address controller) external {
        _depositClaimable[controller] += _depositPending[controller];
        _redeemClaimable[controller] += _redeemPending[controller];
        (_depositPending[controller], _redeemPending[controller]) = (0, 0);
    }

    /// @dev As `deposit` claims: all that can be claimed, as shares.
    function claim(address controller) external {
        uint256 assets = _depositClaimable[controller];
        _depositClaimable[controller] = 0;
        _mint(controller, assets * ONE / price);
    }

    function pendingDepositRequest(uint256, address controller) external view returns (uint256) {
        return _depositPending[controller];
    }

    function claimableDepositRequest(uint256, address controller) external view returns (uint256) {
        return _depositClaimable[controller];
    }

    function pendingRedeemRequest(uint256, address controller) external view returns (uint256) {
        return _redeemPending[controller];
    }

    function claimableRedeemRequest(uint256, address controller) external view returns (uint256) {
        return _redeemClaimable[controller];
    }
}
