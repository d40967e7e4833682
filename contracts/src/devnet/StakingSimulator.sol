// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Devnet only: a simulation of liquid staking with Lido's function names
/// @notice NOT Lido: one contract stands for both the rebasing token and the withdrawal queue, and
/// the yield is a simple rate paid from ETH that somebody sent it beforehand. When that runs out,
/// the yield stops. Requests finalise by themselves after a delay, or earlier when anybody says so.
/// As in Lido, a waiting request holds shares: what they earn goes to those who stay, and a loss
/// reported before finalisation lowers what the request pays. Amounts are wei, shares have 18
/// decimals.
contract StakingSimulator {
    struct WithdrawalRequestStatus {
        uint256 amountOfStETH;
        uint256 amountOfShares;
        address owner;
        uint256 timestamp;
        bool isFinalized;
        bool isClaimed;
    }

    event Submitted(address indexed sender, uint256 amount, address referral);
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event WithdrawalRequested(
        uint256 indexed requestId,
        address indexed requestor,
        address indexed owner,
        uint256 amountOfStETH,
        uint256 amountOfShares
    );
    event TransferShares(address indexed from, address indexed to, uint256 sharesValue);
    event TokenRebased(uint256 preTotalEther, uint256 postTotalEther);
    event WithdrawalsFinalized(
        uint256 indexed from,
        uint256 indexed to,
        uint256 amountOfETHLocked,
        uint256 sharesToBurn,
        uint256 timestamp
    );
    event WithdrawalClaimed(
        uint256 indexed requestId, address indexed owner, address receiver, uint256 amountOfETH
    );

    error ZeroDeposit();
    error BalanceExceeded(uint256 amount, uint256 balance);
    error AllowanceExceeded(uint256 amount, uint256 allowance);
    error NotOwner(uint256 requestId, address caller);
    error NotFinalized(uint256 requestId, uint256 claimableAt);
    error AlreadyClaimed(uint256 requestId);
    error TransferFailed(address to, uint256 amount);
    error InvalidRequestIdRange(uint256 from, uint256 to);
    error ReportOutOfRange(uint256 postTotalPooledEther);

    string public constant name = "Simulated staked ether (devnet)";
    string public constant symbol = "simETH";
    uint8 public constant decimals = 18;

    /// @notice Simple yearly rate, in hundredths of a percent, on a year of 365 days.
    uint256 public immutable aprBps;
    /// @notice Seconds between a request and the moment it can be claimed.
    uint256 public immutable withdrawalDelay;

    /// @notice Where ether goes that a negative report takes away.
    address public constant LOST = 0x000000000000000000000000000000000000dEaD;

    mapping(address account => uint256) public sharesOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    uint256 public getTotalShares;
    uint256 public getLastFinalizedRequestId;
    WithdrawalRequestStatus[] private _requests;
    mapping(uint256 requestId => uint256) private _locked; // what a finalised request pays
    mapping(address owner => uint256[]) private _requestsOf;
    uint256 private _pooled; // at _accruedAt
    uint256 private _reserve; // rewards not yet earned, at _accruedAt
    uint256 private _accruedAt;

    constructor(uint256 aprBps_, uint256 withdrawalDelay_) payable {
        aprBps = aprBps_;
        withdrawalDelay = withdrawalDelay_;
        _reserve = msg.value;
        _accruedAt = block.timestamp;
    }

    /// @notice Adds to the rewards to come.
    receive() external payable {
        _accrue();
        _reserve += msg.value;
    }

    /// @notice The queue's token, as the real queue names it: here they are one contract.
    // solhint-disable-next-line func-name-mixedcase
    function STETH() external view returns (address) {
        return address(this);
    }

    function submit(address referral) external payable returns (uint256 shares) {
        if (msg.value == 0) revert ZeroDeposit();
        _accrue();
        shares = getSharesByPooledEth(msg.value);
        sharesOf[msg.sender] += shares;
        getTotalShares += shares;
        _pooled += msg.value;
        emit Submitted(msg.sender, msg.value, referral);
        emit Transfer(address(0), msg.sender, msg.value);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _moveShares(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _spend(from, msg.sender, amount);
        _moveShares(from, to, amount);
        return true;
    }

    /// @notice Moves shares rather than an amount, so that no wei is lost to rounding.
    function transferShares(address to, uint256 shares) external returns (uint256 amount) {
        amount = getPooledEthByShares(shares);
        _move(msg.sender, to, shares, amount);
    }

    /// @notice Stands for the oracle's report, reduced to one number: what all stake is worth now.
    /// Less than before is a slashing; more is paid from the rewards to come.
    function handleOracleReport(uint256 postTotalPooledEther) external {
        _accrue();
        uint256 preTotal = _pooled;
        if (postTotalPooledEther == 0 || postTotalPooledEther > preTotal + _reserve) {
            revert ReportOutOfRange(postTotalPooledEther);
        }
        _pooled = postTotalPooledEther;
        emit TokenRebased(preTotal, postTotalPooledEther);
        if (postTotalPooledEther < preTotal) _pay(LOST, preTotal - postTotalPooledEther);
        else _reserve -= postTotalPooledEther - preTotal;
    }

    /// @notice Finalises requests in their order, up to and with this one, without waiting.
    function finalize(uint256 lastRequestIdToBeFinalized) external {
        _accrue();
        uint256 first = getLastFinalizedRequestId + 1;
        if (lastRequestIdToBeFinalized < first || lastRequestIdToBeFinalized > _requests.length) {
            revert InvalidRequestIdRange(first, lastRequestIdToBeFinalized);
        }
        _finalize(lastRequestIdToBeFinalized);
    }

    /// @notice Like the real queue, takes the token by allowance.
    function requestWithdrawals(uint256[] calldata amounts, address owner)
        external
        returns (uint256[] memory requestIds)
    {
        _accrue();
        requestIds = new uint256[](amounts.length);
        for (uint256 i = 0; i < amounts.length; i++) {
            requestIds[i] = _request(amounts[i], owner == address(0) ? msg.sender : owner);
        }
    }

    function claimWithdrawal(uint256 requestId) external {
        _claim(requestId);
    }

    /// @param hints Ignored here; the real queue needs them.
    function claimWithdrawals(uint256[] calldata requestIds, uint256[] calldata hints) external {
        hints;
        for (uint256 i = 0; i < requestIds.length; i++) {
            _claim(requestIds[i]);
        }
    }

    function getWithdrawalStatus(uint256[] calldata requestIds)
        external
        view
        returns (WithdrawalRequestStatus[] memory statuses)
    {
        statuses = new WithdrawalRequestStatus[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; i++) {
            statuses[i] = _requests[requestIds[i] - 1];
            statuses[i].isFinalized = _isFinalized(requestIds[i]);
        }
    }

    /// @param hints Ignored here; the real queue needs them.
    /// @return amounts Wei each request pays now: 0 while it waits, and once it was claimed.
    function getClaimableEther(uint256[] calldata requestIds, uint256[] calldata hints)
        external
        view
        returns (uint256[] memory amounts)
    {
        hints;
        amounts = new uint256[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; i++) {
            uint256 id = requestIds[i];
            if (!_isFinalized(id) || _requests[id - 1].isClaimed) continue;
            amounts[i] = id <= getLastFinalizedRequestId ? _locked[id] : _worth(id);
        }
    }

    /// @return requestIds All that `owner` ever made, the claimed ones too.
    function getWithdrawalRequests(address owner)
        external
        view
        returns (uint256[] memory requestIds)
    {
        return _requestsOf[owner];
    }

    function getLastRequestId() external view returns (uint256) {
        return _requests.length;
    }

    function balanceOf(address account) external view returns (uint256) {
        return getPooledEthByShares(sharesOf[account]);
    }

    function totalSupply() external view returns (uint256) {
        return getTotalPooledEther();
    }

    function getTotalPooledEther() public view returns (uint256) {
        return _pooled + _pending();
    }

    /// @notice Rewards still to be earned; at zero the yield stops.
    function rewardReserve() external view returns (uint256) {
        return _reserve - _pending();
    }

    function getPooledEthByShares(uint256 shares) public view returns (uint256) {
        return getTotalShares == 0
            ? shares
            : Math.mulDiv(shares, getTotalPooledEther(), getTotalShares);
    }

    function getSharesByPooledEth(uint256 amount) public view returns (uint256) {
        uint256 total = getTotalPooledEther();
        return total == 0 || getTotalShares == 0 ? amount : Math.mulDiv(amount, getTotalShares, total);
    }

    function _pending() private view returns (uint256) {
        uint256 elapsed = block.timestamp - _accruedAt;
        uint256 earned = Math.mulDiv(_pooled, aprBps * elapsed, 10_000 * 365 days);
        return Math.min(earned, _reserve);
    }

    function _accrue() private {
        uint256 earned = _pending();
        _pooled += earned;
        _reserve -= earned;
        _accruedAt = block.timestamp;
        uint256 due = getLastFinalizedRequestId;
        while (due < _requests.length && block.timestamp >= _claimableAt(due + 1)) due++;
        if (due > getLastFinalizedRequestId) _finalize(due);
    }

    /// @dev Requires that interest is accrued to now and that `last` is waiting.
    function _finalize(uint256 last) private {
        uint256 first = getLastFinalizedRequestId + 1;
        uint256 ether_ = 0;
        uint256 shares = 0;
        for (uint256 id = first; id <= last; id++) {
            _locked[id] = _worth(id);
            ether_ += _locked[id];
            shares += _requests[id - 1].amountOfShares;
        }
        getLastFinalizedRequestId = last;
        sharesOf[address(this)] -= shares;
        getTotalShares -= shares;
        _pooled -= ether_;
        if (getTotalShares == 0) {
            // Nobody is left to whom the rest could belong.
            _reserve += _pooled;
            _pooled = 0;
        }
        emit WithdrawalsFinalized(first, last, ether_, shares, block.timestamp);
        emit Transfer(address(this), address(0), ether_);
    }

    /// @dev What was asked for, or what its shares have become if that is less.
    function _worth(uint256 requestId) private view returns (uint256) {
        WithdrawalRequestStatus storage request = _requests[requestId - 1];
        return Math.min(request.amountOfStETH, getPooledEthByShares(request.amountOfShares));
    }

    function _isFinalized(uint256 requestId) private view returns (bool) {
        return requestId <= getLastFinalizedRequestId
            || block.timestamp >= _claimableAt(requestId);
    }

    function _spend(address owner, address spender, uint256 amount) private {
        uint256 allowed = allowance[owner][spender];
        if (allowed < amount) revert AllowanceExceeded(amount, allowed);
        if (allowed != type(uint256).max) allowance[owner][spender] = allowed - amount;
    }

    /// @dev Rounded up, in favour of those who stay, but never above what the owner has.
    function _sharesToTake(address from, uint256 amount) private view returns (uint256) {
        uint256 balance = getPooledEthByShares(sharesOf[from]);
        if (amount == 0 || amount > balance) revert BalanceExceeded(amount, balance);
        uint256 shares =
            Math.mulDiv(amount, getTotalShares, getTotalPooledEther(), Math.Rounding.Ceil);
        return Math.min(shares, sharesOf[from]);
    }

    function _moveShares(address from, address to, uint256 amount) private {
        _move(from, to, _sharesToTake(from, amount), amount);
    }

    function _move(address from, address to, uint256 shares, uint256 amount) private {
        if (shares > sharesOf[from]) {
            revert BalanceExceeded(amount, getPooledEthByShares(sharesOf[from]));
        }
        sharesOf[from] -= shares;
        sharesOf[to] += shares;
        emit Transfer(from, to, amount);
        emit TransferShares(from, to, shares);
    }

    function _request(uint256 amount, address owner) private returns (uint256 requestId) {
        _spend(msg.sender, address(this), amount);
        uint256 shares = _sharesToTake(msg.sender, amount);
        _move(msg.sender, address(this), shares, amount);
        _requests.push(
            WithdrawalRequestStatus(amount, shares, owner, block.timestamp, false, false)
        );
        requestId = _requests.length; // the first one is 1, as in the real queue
        _requestsOf[owner].push(requestId);
        emit WithdrawalRequested(requestId, msg.sender, owner, amount, shares);
    }

    function _claimableAt(uint256 requestId) private view returns (uint256) {
        return _requests[requestId - 1].timestamp + withdrawalDelay;
    }

    function _claim(uint256 requestId) private {
        _accrue();
        WithdrawalRequestStatus storage request = _requests[requestId - 1];
        if (request.owner != msg.sender) revert NotOwner(requestId, msg.sender);
        if (request.isClaimed) revert AlreadyClaimed(requestId);
        if (requestId > getLastFinalizedRequestId) {
            revert NotFinalized(requestId, _claimableAt(requestId));
        }
        request.isClaimed = true;
        uint256 amount = _locked[requestId];
        emit WithdrawalClaimed(requestId, msg.sender, msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function _pay(address to, uint256 amount) private {
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert TransferFailed(to, amount);
    }
}
