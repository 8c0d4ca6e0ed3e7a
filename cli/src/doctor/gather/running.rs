//! What answers at an admin listener.

use crate::admin::{self, AdminAnswer};
use crate::doctor::facts::Running;
use std::time::{Duration, SystemTime};

/// What runs there.
///
/// # Errors
/// Why nothing does, or what does is not linkr.
pub fn at(address: &str) -> Result<Running, String> {
    let cannot = |fault: std::io::Error| fault.to_string();
    let ready = admin::ask(address, "/readyz").map_err(cannot)?;
    let metrics = admin::ask(address, "/metrics").map_err(cannot)?;
    let series: Vec<_> = metrics.body.lines().filter_map(sample).collect();
    if !series.iter().any(|(name, _)| name.starts_with("linkr_build_info{")) {
        return Err("what answers there is no admin listener of linkr".to_owned());
    }
    let first = ready.body.lines().next().unwrap_or_default().to_owned();
    Ok(Running {
        admin: address.to_owned(),
        ahead_s: ahead(&metrics, SystemTime::now()),
        not_ready: (ready.status != 200).then_some(first),
        series,
    })
}

/// A line of `/metrics`; `None`: it is none with a value.
fn sample(line: &str) -> Option<(String, f64)> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    Some((series.to_owned(), value.parse().ok()?))
}

/// Seconds that the clock behind an answer is ahead. It says whole seconds, on average half a second ago.
fn ahead(answer: &AdminAnswer, now: SystemTime) -> f64 {
    let date = answer.head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("date").then(|| httpdate::parse_http_date(value).ok())?
    });
    let Some(then) = date.map(|date| date + Duration::from_millis(500)) else { return 0.0 };
    match then.duration_since(now) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_metrics() {
        assert_eq!(sample("a{b=\"c d\"} 1.5"), Some(("a{b=\"c d\"}".into(), 1.5)));
        assert_eq!(sample("a +Inf"), Some(("a".into(), f64::INFINITY)));
        assert_eq!(sample("# HELP a b"), None);
        assert_eq!(sample(""), None);
    }

    #[test]
    fn the_clock_of_an_answer() {
        let head = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nx: y".to_owned();
        let answer = AdminAnswer { status: 200, head, body: String::new() };
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(ahead(&answer, then), 0.5);
        assert_eq!(ahead(&answer, then + Duration::from_secs(60)), -59.5);
        let silent = AdminAnswer { status: 200, head: String::new(), body: String::new() };
        assert_eq!(ahead(&silent, then), 0.0);
    }
}
