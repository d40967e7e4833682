// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Holder of one pool's funds
/// @notice Holds one asset. The hot key (allocator) can move it only into listed venues, where it
/// stays the guard's, and out to listed payees, both within limits. What loosens a limit is the
/// owner's, proposed in the open and done after a delay; what tightens one is instant.
/// All amounts are base units of the asset. Shares of a total are hundredths of a percent. Buckets
/// count Unix seconds in 32 bits, so until 2106.
///
/// Two figures say what is in a venue. The **position** is what the venue says it is worth now,
/// exits that were asked for and not claimed included. The **book** is what was put in and has not
/// come back; nobody outside can move it. Limits count the larger of the two where they limit a
/// venue, and the book where they need the sum of all, so that an entry never has to ask the other
/// venues and no share price that moves for one transaction makes room.
interface ITreasuryGuard {
    /// @dev `None` comes first so that an unlisted venue reads as such.
    enum Kind {
        None,
        AaveV3,
        Erc4626,
        Staking
    }

    /// @param cap The largest position an entry may lead to.
    /// @param shareMaxBps The same as a share of all that the guard holds: idle plus book.
    /// @param flowMax What may enter in a day. A bucket: it refills evenly, and a day without
    /// entries fills it, so two full ones can follow each other within a day and a moment.
    struct Limits {
        uint256 cap;
        uint256 shareMaxBps;
        uint256 flowMax;
    }

    /// @param target AaveV3: the aToken. Erc4626: the vault. Staking: the staking token.
    /// @param aux AaveV3: the Pool. Erc4626: the vault again. Staking: the withdrawal queue.
    struct Listing {
        bytes32 id;
        Kind kind;
        address target;
        address aux;
        Limits limits;
    }

    /// @notice Venues that could fail together. A venue may be in several.
    struct Group {
        bytes32[] venues;
        uint256 cap;
        uint256 shareMaxBps;
    }

    /// @param dayMax What may be paid in a day, as a bucket (see Limits.flowMax).
    struct Payee {
        address account;
        uint256 dayMax;
    }

    /// @param grain Caps of venues and groups, flows and the idle minimum are whole multiples of it,
    /// up to 2^32 - 1 of them.
    /// @param delay Seconds between a proposal and its execution.
    /// @param payeesDayMax What may be paid to all payees together in a day.
    struct Setup {
        address asset;
        address owner;
        address guardian;
        address allocator;
        address treasury;
        uint256 grain;
        uint256 delay;
        uint256 idleMin;
        uint256 payeesDayMax;
        Listing[] venues;
        Group[] groups;
        Payee[] payees;
    }

    /// @param booked What was put in and has not come back.
    /// @param requested Asked back from an asynchronous venue and not claimed yet.
    struct Venue {
        Kind kind;
        address target;
        address aux;
        Limits limits;
        uint256 booked;
        uint256 requested;
    }

    event Proposed(bytes32 indexed proposal, bytes call, uint256 from);
    event Executed(bytes32 indexed proposal);
    event Cancelled(bytes32 indexed proposal, address indexed by);
    event VenueListed(bytes32 indexed venue, Kind kind, address target, address aux);
    event VenueLimited(bytes32 indexed venue, uint256 cap, uint256 shareMaxBps, uint256 flowMax);
    event GroupFormed(uint256 indexed group, bytes32[] venues);
    event GroupLimited(uint256 indexed group, uint256 cap, uint256 shareMaxBps);
    event PayeeLimited(address indexed payee, uint256 dayMax);
    event PayeesLimited(uint256 dayMax);
    event IdleMinChanged(uint256 idleMin);
    event Paused(address indexed by);
    event Unpaused();
    event OwnerProposed(address indexed owner);
    event OwnerChanged(address indexed owner);
    event GuardianChanged(address indexed guardian);
    event AllocatorChanged(address indexed allocator);
    event TreasuryChanged(address indexed treasury);
    event SuccessorNamed(address indexed successor);
    event MovedOut(address indexed token, address indexed successor, uint256 amount);
    event WrittenDown(bytes32 indexed venue, uint256 bookedBefore, uint256 booked);
    /// @param amount What left the guard.
    event Allocated(bytes32 indexed venue, uint256 amount);
    /// @param amount What arrived at the guard.
    event Deallocated(bytes32 indexed venue, uint256 amount);
    event ExitRequested(bytes32 indexed venue, uint256 indexed requestId, uint256 amount);
    /// @param amount What arrived at the guard. @param requested What had been asked for.
    event Claimed(
        bytes32 indexed venue, uint256 indexed requestId, uint256 amount, uint256 requested
    );
    event Released(address indexed payee, uint256 amount);
    event StraySwept(address indexed token, uint256 amount);
    event RewardsClaimed(bytes32 indexed venue);

    error ZeroAddress();
    error ZeroAmount();
    error NotOwner(address caller);
    error NotGuardian(address caller);
    error NotAllocator(address caller);
    /// @notice Only by a proposal.
    error NotSelf(address caller);
    error WhilePaused();
    error DelayOutOfRange(uint256 delay, uint256 min, uint256 max);
    error GrainOutOfRange(uint256 grain);
    error AlreadyProposed(bytes32 proposal);
    error NotProposed(bytes32 proposal);
    error TooEarly(bytes32 proposal, uint256 from);
    error Expired(bytes32 proposal, uint256 until);
    /// @notice A guardian must not keep its own successor out.
    error OwnersAlone(bytes32 proposal);
    error VenueExists(bytes32 venue);
    error UnknownVenue(bytes32 venue);
    error VenueMismatch(bytes32 venue);
    error TooManyVenues();
    error TargetListed(address target);
    error UnknownGroup(uint256 group);
    /// @notice A limit is no whole multiple of the grain, or more than 2^32 - 1 of them.
    error LimitNotWhole(uint256 limit, uint256 grain);
    error ShareOutOfRange(uint256 shareBps);
    error DayMaxOutOfRange(uint256 dayMax);
    error NotTighter();
    error OverCap(bytes32 venue, uint256 position, uint256 cap);
    error OverShare(bytes32 venue, uint256 position, uint256 max);
    error OverFlow(bytes32 venue, uint256 amount, uint256 left);
    error OverGroupCap(uint256 group, uint256 sum, uint256 cap);
    error OverGroupShare(uint256 group, uint256 sum, uint256 max);
    error UnderIdleMin(uint256 idle, uint256 idleMin);
    error PartialEntry(bytes32 venue, uint256 amount);
    error EntryLoss(bytes32 venue, uint256 amount, uint256 received);
    error TooFewShares(bytes32 venue, uint256 shares, uint256 sharesMin);
    error UnknownRequest(bytes32 venue, uint256 requestId);
    error UnknownPayee(address payee);
    error OverDayMax(address payee, uint256 amount, uint256 left);
    error OverPayeesDayMax(uint256 amount, uint256 left);
    error NoRewards(bytes32 venue);
    error NotStray(address token);
    error NoSuccessor();
    error WrongAsset();
    error TransferFailed(address to, uint256 amount);

    // --- Owner: proposals ---

    /// @notice Puts a call of one of the functions "by a proposal" up, to be done after the delay.
    /// @param call Selector and arguments.
    function propose(bytes calldata call) external;

    /// @notice Does what was proposed: not before the delay is over, and within 14 days after it.
    function execute(bytes calldata call) external;

    /// @notice Takes a proposal back. The guardian may too, save that of another guardian.
    function cancel(bytes calldata call) external;

    /// @notice The one who was named by `setOwner` takes over.
    function acceptOwnership() external;

    /// @notice Takes a loss in a venue into the book, so that shares are of what is still there. Not
    /// the guardian's: a share price pressed down for a moment would make room in the venue's groups.
    function writeDown(bytes32 id) external;

    /// @notice After a successor was named: everything of one token (zero: native) goes there, the
    /// asset and receipts of venues included.
    function moveOut(address token) external returns (uint256 amount);

    // --- By a proposal: what loosens ---

    /// @notice Lists a venue. Checks that the contracts belong together and to the guard's asset. It
    /// is in no group yet: list it with a cap of zero, or form its group in the same transaction.
    function addVenue(Listing calldata listing) external;
    function setVenueLimits(bytes32 id, Limits calldata limits) external;

    /// @notice Forms group `index` (0 to 5) anew. No venues: the group limits nothing.
    function setGroup(uint256 index, Group calldata group) external;
    function setPayee(address payee, uint256 dayMax) external;
    function setPayeesDayMax(uint256 dayMax) external;
    function setIdleMin(uint256 idleMin) external;
    function unpause() external;
    function setOwner(address owner_) external;
    function setGuardian(address guardian_) external;
    function setAllocator(address allocator_) external;
    function setTreasury(address treasury_) external;

    /// @notice Ends this guard: it stays paused for ever, and `moveOut` is open.
    function setSuccessor(address successor_) external;

    // --- Guardian or owner: what tightens ---

    /// @notice No limit may be above what it was.
    function tightenVenue(bytes32 id, Limits calldata limits) external;
    function tightenGroup(uint256 index, uint256 cap, uint256 shareMaxBps) external;

    /// @notice A `dayMax` of zero removes the payee.
    function tightenPayee(address payee, uint256 dayMax) external;
    function tightenPayeesDayMax(uint256 dayMax) external;
    function raiseIdleMin(uint256 idleMin) external;

    /// @notice Stops entries and releases. Exits from venues back into the guard go on.
    function pause() external;
    function revokeAllocator() external;

    // --- Allocator ---

    /// @notice Puts `amount` into a venue, in the guard's name, within all limits. Requires that the
    /// position grew by what was paid, save a hundredth of a percent and 2 base units of rounding.
    /// @param sharesMin The fewest shares that may arrive, in the venue's own unit: what guards
    /// against a share price that was moved between the decision and the block. AaveV3: scaled
    /// balance. Staking: the token's balance.
    function allocate(bytes32 id, uint256 amount, uint256 sharesMin) external;

    /// @notice Pays idle funds to a listed payee, through its bucket and the one over all.
    function release(address payee, uint256 amount) external;

    // --- Allocator, guardian or owner: what brings money home ---

    /// @notice Takes `amount` back (type(uint256).max: everything). At a venue with an asynchronous
    /// exit this asks only, within what its queue takes at once; `claim` collects. No limit, loss
    /// check or pause stands in the way: at whatever price, home is where money is safest.
    function deallocate(bytes32 id, uint256 amount) external;

    /// @notice Collects a finished request.
    function claim(bytes32 id, uint256 requestId) external;

    /// @notice Claims what a venue pays besides its interest, to the treasury. AaveV3 only; rewards
    /// that anybody may claim for the guard arrive as strays.
    function claimRewards(bytes32 id) external;

    /// @notice Sends to the treasury what is neither the asset nor a venue's receipt (zero: native).
    function sweepStray(address token) external returns (uint256 amount);

    // --- Views. Those about money revert while the guard is in the middle of a move ---

    /// @notice The asset; zero for the native coin.
    // solhint-disable-next-line func-name-mixedcase
    function ASSET() external view returns (address);
    // solhint-disable-next-line func-name-mixedcase
    function GRAIN() external view returns (uint256);
    // solhint-disable-next-line func-name-mixedcase
    function DELAY() external view returns (uint256);
    function owner() external view returns (address);
    function proposedOwner() external view returns (address);
    function guardian() external view returns (address);
    function allocator() external view returns (address);
    function treasury() external view returns (address);
    function successor() external view returns (address);
    function paused() external view returns (bool);
    function idleMin() external view returns (uint256);

    /// @notice Unix seconds from which a proposal, keccak256 of its call, can be done; 0 if none.
    function proposedFrom(bytes32 proposal) external view returns (uint256);
    function isPayee(address account) external view returns (bool);

    /// @return dayMax What may be paid in a day. @return left What may be paid now.
    function payeeBucket(address payee) external view returns (uint256 dayMax, uint256 left);
    function payeesBucket() external view returns (uint256 dayMax, uint256 left);

    /// @notice All listed venues, in the order of their listing.
    function venueIds() external view returns (bytes32[] memory);
    function venue(bytes32 id) external view returns (Venue memory);

    /// @notice What may enter the venue now by its flow alone.
    function flowLeft(bytes32 id) external view returns (uint256);
    function group(uint256 index) external view returns (Group memory);

    /// @notice Amount asked for by an open request; 0 if there is none.
    function requestedOf(bytes32 id, uint256 requestId) external view returns (uint256);

    /// @notice What the guard holds in a venue now, unclaimed requests included.
    function position(bytes32 id) external view returns (uint256);

    /// @notice What lies in the guard itself.
    function idle() external view returns (uint256);

    /// @notice Idle plus the book of all venues: what shares are of.
    function total() external view returns (uint256);
}
