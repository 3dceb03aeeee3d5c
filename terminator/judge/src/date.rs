//! A date of a certificate, in seconds. Unlike `Timestamp`, it covers the last second of the year 9999, which
//! RFC 5280 uses for "never" (section 4.1.2.5).

use std::fmt;

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

/// A date of a certificate, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// Makes a date from seconds since the epoch.
    pub fn from_second(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Returns the seconds since the epoch.
    pub fn as_second(self) -> i64 {
        self.0
    }

    /// Returns the nearest time that a `Timestamp` can represent.
    pub fn timestamp(self) -> Timestamp {
        let bound = if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Timestamp::from_second(self.0).unwrap_or(bound)
    }

    /// Reports whether it is before a time.
    pub fn is_before(self, now: Timestamp) -> bool {
        self.0 < now.as_second() || (self.0 == now.as_second() && now.subsec_nanosecond() > 0)
    }

    /// Reports whether it is after a time.
    pub fn is_after(self, now: Timestamp) -> bool {
        self.0 > now.as_second()
    }
}

impl fmt::Display for Date {
    /// Formats it as in RFC 3339.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let since = SignedDuration::from_secs(self.0);
        match epoch.checked_add(since) {
            Ok(date) => write!(f, "{date}Z"),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Date;

    #[test]
    fn the_last_second_of_the_year_9999_is_kept() {
        let never = Date::from_second(253_402_300_799);
        assert_eq!(never.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(never.timestamp(), Timestamp::MAX);
        assert!(never.is_after(Timestamp::MAX));
        assert_eq!(Date::from_second(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Date::from_second(-1).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn both_bounds_count_as_within() {
        let (date, now) = (Date::from_second(10), Timestamp::from_second(10).unwrap());
        assert!(!date.is_before(now) && !date.is_after(now));
        let later = Timestamp::new(10, 1).unwrap();
        assert!(date.is_before(later) && !date.is_after(later));
    }
}
