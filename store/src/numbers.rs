//! Counts are `u64` in memory and `bigint` in the database.

/// Narrows a count; one beyond 2^63 is stored as the largest that fits.
pub(crate) fn to_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Widens a stored count; none is negative.
pub(crate) fn to_u64(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
