// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Holder of one pool's funds
/// @notice Holds one asset. The hot key (allocator) can move it only into listed venues, where it
/// stays the guard's, and out to listed payees. All amounts are base units of the asset.
interface ITreasuryGuard {
    /// @dev `None` comes first so that an unlisted venue reads as such.
    enum Kind {
        None,
        AaveV3,
        Erc4626,
        Staking
    }

    /// @param target AaveV3: the Pool. Erc4626: the vault. Staking: the staking token.
    /// @param aux AaveV3: the aToken. Erc4626: the vault again. Staking: the withdrawal queue.
    /// @param cap The largest position an entry may lead to.
    /// @param requested Asked back from an asynchronous venue and not claimed yet.
    struct Venue {
        Kind kind;
        address target;
        address aux;
        uint256 cap;
        uint256 requested;
    }

    event VenueAdded(bytes32 indexed venue, Kind kind, address target, address aux, uint256 cap);
    event CapLowered(bytes32 indexed venue, uint256 cap);
    event PayeeAdded(address indexed payee);
    event PayeeRemoved(address indexed payee);
    event Paused(address indexed by);
    event Unpaused(address indexed by);
    event OwnerChanged(address indexed owner);
    event GuardianChanged(address indexed guardian);
    event AllocatorChanged(address indexed allocator);
    /// @param amount What left the guard. @param received By how much the position grew.
    event Allocated(bytes32 indexed venue, uint256 amount, uint256 received);
    /// @param amount What arrived at the guard.
    event Deallocated(bytes32 indexed venue, uint256 amount);
    event ExitRequested(bytes32 indexed venue, uint256 indexed requestId, uint256 amount);
    /// @param amount What arrived at the guard. @param requested What had been asked for.
    event Claimed(
        bytes32 indexed venue, uint256 indexed requestId, uint256 amount, uint256 requested
    );
    event Released(address indexed payee, uint256 amount);

    error ZeroAddress();
    error ZeroAmount();
    error NotOwner(address caller);
    error NotGuardian(address caller);
    error NotAllocator(address caller);
    error WhilePaused();
    error VenueExists(bytes32 venue);
    error UnknownVenue(bytes32 venue);
    error VenueMismatch(bytes32 venue);
    error CapNotLower(uint256 cap, uint256 capBefore);
    error OverCap(bytes32 venue, uint256 position, uint256 cap);
    error EntryLoss(bytes32 venue, uint256 amount, uint256 received);
    error UnknownRequest(bytes32 venue, uint256 requestId);
    error UnknownPayee(address payee);
    error WrongAsset();
    error TransferFailed(address to, uint256 amount);

    // --- Owner: what loosens ---

    /// @notice Lists a venue. Checks that the contracts belong together and to the guard's asset.
    function addVenue(bytes32 id, Kind kind, address target, address aux, uint256 cap) external;
    function addPayee(address payee) external;
    function unpause() external;
    function setOwner(address owner_) external;
    function setGuardian(address guardian_) external;
    function setAllocator(address allocator_) external;

    // --- Guardian or owner: what tightens ---

    function setCapDown(bytes32 id, uint256 cap) external;
    function removePayee(address payee) external;

    /// @notice Stops entries and releases. Exits from venues back into the guard go on.
    function pause() external;

    // --- Allocator ---

    /// @notice Puts `amount` into a venue, in the guard's name. Requires that the position,
    /// including what was asked back and not claimed, stays within the cap, and that it grew by
    /// what was paid, save a hundredth of a percent and 2 base units of rounding.
    function allocate(bytes32 venue, uint256 amount) external;

    /// @notice Takes `amount` back (type(uint256).max: everything). At a venue with an asynchronous
    /// exit this asks only; `claim` collects. No cap, loss check or pause stands in the way.
    function deallocate(bytes32 venue, uint256 amount) external;

    /// @notice Collects a finished request.
    function claim(bytes32 venue, uint256 requestId) external;

    /// @notice Pays idle funds to a listed payee.
    function release(address payee, uint256 amount) external;

    // --- Views ---

    /// @notice The asset; zero for the native coin.
    // solhint-disable-next-line func-name-mixedcase
    function ASSET() external view returns (address);
    function owner() external view returns (address);
    function guardian() external view returns (address);
    function allocator() external view returns (address);
    function paused() external view returns (bool);
    function isPayee(address account) external view returns (bool);

    /// @notice All listed venues, in the order of their listing.
    function venueIds() external view returns (bytes32[] memory);
    function venue(bytes32 id) external view returns (Venue memory);

    /// @notice Amount asked for by an open request; 0 if there is none.
    function requestedOf(bytes32 id, uint256 requestId) external view returns (uint256);

    /// @notice What the guard holds in a venue now, unclaimed requests included.
    function position(bytes32 id) external view returns (uint256);

    /// @notice What lies in the guard itself.
    function idle() external view returns (uint256);
}
