//! Counts are `u64` in memory and `bigint` in the database; ids of traces hold the time they were made.

use bulkhead_policy::ids::TraceId;
use chrono::{DateTime, TimeDelta, Utc};

/// How far an id's time may be from the time of arrival. The id is made on arrival, from the same clock.
const ID_TIME_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Narrows a count; one beyond 2^63 is stored as the largest that fits.
pub(crate) fn to_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Widens a stored count; none is negative.
pub(crate) fn to_u64(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// The first and the last time at which a trace of this id can have arrived, so that one partition is searched instead of all;
/// `None` for an id that is none of ours.
pub(crate) fn arrival(id: TraceId) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (seconds, nanos) = id.as_uuid().get_timestamp()?.to_unix();
    let time = DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)?;
    Some((time - ID_TIME_TOLERANCE, time + ID_TIME_TOLERANCE))
}
