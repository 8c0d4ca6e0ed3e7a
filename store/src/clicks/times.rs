//! Parts of time by which clicks are kept: quarters of an hour, hours, days, weeks and months, all UTC and numbered from 1970 on.

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const QUARTER: i64 = 15 * MINUTE;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Quarters of a day.
pub(crate) const QUARTERS: i64 = DAY / QUARTER;
/// Quarters of an hour.
pub(crate) const HOUR_QUARTERS: i64 = HOUR / QUARTER;
/// Days of a week.
pub(crate) const WEEK_DAYS: i64 = 7;
/// Weeks of the longest part of time that there are lists of: four of each are one of these, all counted from 1970 on.
pub(crate) const FOUR_WEEKS: i64 = 4;

/// The quarter in which a moment is.
pub(crate) fn quarter(at: i64) -> i64 {
    at.div_euclid(QUARTER)
}

/// The first quarter that begins at a moment or behind it.
pub(crate) fn quarter_from(at: i64) -> i64 {
    at.div_euclid(QUARTER) + i64::from(at.rem_euclid(QUARTER) != 0)
}

/// The day in which a quarter is.
pub(crate) fn day_of(quarter: i64) -> i64 {
    quarter.div_euclid(QUARTERS)
}

/// The calendar month in which a day is (proleptic Gregorian; Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": years begin in March, so that a leap day is the last).
pub(crate) fn month_of(day: i64) -> i64 {
    let days = day + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153; // 0 is March
    let (year, month) = (year_of_era + era * 400, month + 2);
    year * 12 + month - 1_970 * 12
}

/// The first day of a month.
pub(crate) fn first_day(month: i64) -> i64 {
    let month = month + 1_970 * 12 - 2; // from March of the year 0 on
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        // 1970-01-01, 1970-01-31, 1970-02-01, 1969-12-31, 2000-02-29, 2000-03-01, 2026-11-30
        for (day, month) in
            [(0, 0), (30, 0), (31, 1), (-1, -1), (11_016, 361), (11_017, 362), (20_787, 682), (20_788, 683)]
        {
            assert_eq!(month_of(day), month, "{day}");
        }
        for month in -1_200..2_400 {
            let first = first_day(month);
            assert_eq!((month_of(first), month_of(first - 1)), (month, month - 1));
        }
    }

    #[test]
    fn a_range_is_made_of_whole_quarters() {
        assert_eq!((quarter(-1), quarter(0), quarter(QUARTER - 1)), (-1, 0, 0));
        assert_eq!((quarter_from(0), quarter_from(1), quarter_from(QUARTER)), (0, 1, 1));
        assert_eq!((day_of(95), day_of(96), day_of(-1)), (0, 1, -1));
    }
}
