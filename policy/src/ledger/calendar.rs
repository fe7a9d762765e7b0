//! Calendar windows in a time zone, daylight saving included.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Length of a budget's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A minute of the clock.
    Minute,
    /// An hour of the clock.
    Hour,
    /// A local day: 23 or 25 hours long where the clocks change.
    Day,
    /// A local week; starts on Monday.
    Week,
    /// A local month.
    Month,
    /// Never ends.
    Total,
}

/// One window in time; `end` is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First moment.
    pub start: DateTime<Utc>,
    /// First moment after it; `None`: never.
    pub end: Option<DateTime<Utc>>,
}

impl Window {
    /// Returns the window that `now` lies in, on the calendar of `time_zone`.
    ///
    /// ```
    /// use bulkhead_policy::ledger::Window;
    /// use chrono::{DateTime, Utc};
    /// let now: DateTime<Utc> = "2025-03-30T12:00:00Z".parse()?;
    /// let day = Window::Day.bounds(chrono_tz::Europe::Berlin, now);
    /// assert_eq!((day.end.unwrap() - day.start).num_hours(), 23);
    /// # Ok::<(), chrono::ParseError>(())
    /// ```
    #[must_use]
    pub fn bounds(self, time_zone: Tz, now: DateTime<Utc>) -> Bounds {
        let local = now.with_timezone(&time_zone);
        let today = local.date_naive();
        let into_minute = TimeDelta::seconds(i64::from(local.second())) + nanos(local.nanosecond());
        let into_hour = TimeDelta::minutes(i64::from(local.minute())) + into_minute;
        let days = |first: Option<NaiveDate>, next: fn(NaiveDate) -> Option<NaiveDate>| {
            let first = first.unwrap_or(today);
            Bounds {
                start: midnight(time_zone, first),
                end: next(first).map(|date| midnight(time_zone, date)),
            }
        };
        let bounds = match self {
            Self::Minute => sized(now - into_minute, TimeDelta::minutes(1)),
            Self::Hour => sized(now - into_hour, TimeDelta::hours(1)),
            Self::Day => days(Some(today), |date| date.succ_opt()),
            Self::Week => {
                let since_monday = u64::from(today.weekday().num_days_from_monday());
                days(today.checked_sub_days(Days::new(since_monday)), |date| {
                    date.checked_add_days(Days::new(7))
                })
            }
            Self::Month => days(today.with_day(1), |date| date.checked_add_months(Months::new(1))),
            Self::Total => Bounds { start: DateTime::UNIX_EPOCH, end: None },
        };
        // A window that did not contain its own moment would be rolled for ever.
        let contains_now = bounds.end.is_none_or(|end| now < end);
        debug_assert!(contains_now, "{self:?} window around {now} ends at {:?}", bounds.end);
        if contains_now { bounds } else { sized(now, TimeDelta::hours(1)) }
    }
}

fn sized(start: DateTime<Utc>, length: TimeDelta) -> Bounds {
    Bounds { start, end: start.checked_add_signed(length) }
}

fn nanos(count: u32) -> TimeDelta {
    // chrono writes a leap second as more than a billion nanoseconds; it belongs to the second before it.
    TimeDelta::nanoseconds(i64::from(count))
}

/// Returns the first moment of a local date.
///
/// Where midnight happens twice the earlier one counts. Where the clocks jump over it (some zones change at
/// midnight, and Samoa once left out a whole day) the first minute that exists counts.
fn midnight(time_zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    let start = date.and_time(NaiveTime::MIN);
    (0..=26 * 60)
        .filter_map(|minutes| start.checked_add_signed(TimeDelta::minutes(minutes)))
        .find_map(|moment| time_zone.from_local_datetime(&moment).earliest())
        .map_or_else(|| start.and_utc(), |moment| moment.to_utc())
}
