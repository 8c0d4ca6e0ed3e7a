//! Every bound of the hot path, in one place, with its unit in its name.

/// A request head that is longer is refused: 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// A request target that is longer is refused: 414.
pub const MAX_REQUEST_TARGET_BYTES: usize = 8 * 1024;
/// A head with more field lines is refused: 431.
pub const MAX_FIELDS: usize = 64;
/// Requests answered before the connection lets others run.
pub const MAX_REQUESTS_PER_TURN: usize = 64;
/// Requests on one connection; the last one is answered with `Connection: close`.
pub const MAX_REQUESTS_PER_CONNECTION: u32 = 10_000;
/// A client's own `X-Request-Id` that is longer is not echoed.
pub const MAX_REQUEST_ID_BYTES: usize = 64;
/// Slots of the fence array: a change delays fills of the keys that share its slot.
pub const FENCE_SLOTS: usize = 65_536;
/// Shards of the set: its lock prefers readers, so many are needed for the one thread that writes.
pub const SET_SHARDS: usize = 1_024;
/// Known-absent keys may take the budget divided by this: random codes never push out links.
pub const ABSENT_SHARE: usize = 64;
/// Entries looked at by one eviction before it takes the next whatever its mark says.
pub const MAX_EVICTION_STEPS: usize = 128;

const _: () = assert!(MAX_REQUEST_TARGET_BYTES < MAX_HEAD_BYTES);
const _: () = assert!(FENCE_SLOTS.is_power_of_two() && SET_SHARDS.is_power_of_two());
