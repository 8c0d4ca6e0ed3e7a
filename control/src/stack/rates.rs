//! What a caller may still ask for, as `RateLimit` and `RateLimit-Policy` say it (draft-ietf-httpapi-ratelimit-headers).

use crate::limits::KEY;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Of so much weight `left`, in the answer to a call of a key.
pub fn tell(fields: &mut HeaderMap, left: u32) {
    let (rate, all) = KEY;
    let full = all.saturating_sub(left).div_ceil(rate);
    put(fields, LIMIT, &format!("\"key\";r={left};t={full}"));
    put(fields, POLICY, &format!("\"key\";q={all};w={}", all / rate));
}

/// In the refusal of one that has to wait.
pub fn tell_wait(fields: &mut HeaderMap, wait: Duration) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    put(fields, LIMIT, &format!("\"key\";r=0;t={}", seconds.max(1)));
}

fn put(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_and_until_when_it_is_all() {
        let mut fields = HeaderMap::new();
        for (left, want) in
            [(10_000, "\"key\";r=10000;t=0"), (9_999, "\"key\";r=9999;t=1"), (0, "\"key\";r=0;t=5")]
        {
            tell(&mut fields, left);
            assert_eq!(
                (&fields[LIMIT], &fields[POLICY]),
                (&want.parse().unwrap(), &"\"key\";q=10000;w=5".parse().unwrap())
            );
        }
        tell_wait(&mut fields, Duration::from_millis(1_200));
        assert_eq!(fields[LIMIT], "\"key\";r=0;t=2");
    }
}
