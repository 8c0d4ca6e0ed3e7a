//! Links as a map of nginx: where each path leads now, and as a comment each that leads nowhere or cannot stand there.

use crate::out;
use proto::v1::Link;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands before the links.
pub const HEAD: &str = "# Where each path leads now: status, query and lifetime of a link are not in it. For many or long\n\
    # paths http { } needs room: map_hash_max_size 262144; map_hash_bucket_size 512;\n\
    map $uri $linkr_target {\n";
/// And behind them.
pub const TAIL: &str = "}\n";

/// Writes the lines, and counts what is left out.
pub struct NginxMap {
    now: i64,
    /// Of the paths so far: nginx compares them without case, and refuses a map with the same path twice.
    seen: HashSet<u64>,
    state: RandomState,
    left: u64,
}

impl NginxMap {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Self { now: now.cast_signed(), seen: HashSet::new(), state: RandomState::new(), left: 0 }
    }

    /// The line of a link.
    pub fn line(&mut self, link: &Link) -> String {
        let first = self.seen.insert(self.state.hash_one(link.code.to_ascii_lowercase()));
        let at = |time: &Option<prost_types::Timestamp>| time.as_ref().map(|time| time.seconds);
        let why = if link.delete_time.is_some() {
            "is deleted"
        } else if link.disabled {
            "is disabled"
        } else if at(&link.expire_time).is_some_and(|end| end <= self.now) {
            "has expired"
        } else if at(&link.not_before).is_some_and(|begin| begin > self.now) {
            "is not valid yet"
        } else if link.target.contains('$') {
            "has a $ in its target, which nginx takes for a variable"
        } else if !first {
            "differs from another path only in case, which nginx does not see"
        } else {
            let target = link.target.replace('\\', "\\\\").replace('"', "\\\"");
            return format!("    /{} \"{target}\";\n", link.code);
        };
        self.left += 1;
        format!("    # left out: /{} {why}\n", link.code)
    }

    /// Says what was left out, if anything was.
    pub fn say(&self) {
        match self.left {
            0 => {}
            1 => out::note("1 link was left out: a comment in the map says why"),
            left => out::note(&format!("{left} links were left out: comments in the map say why")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut map = NginxMap::new();
        let mut line = |code: &str, target: &str, change: fn(&mut Link)| {
            let mut link = Link { code: code.into(), target: target.into(), ..Link::default() };
            change(&mut link);
            map.line(&link)
        };
        assert_eq!(
            line("a", "https://a.example/?q=\"1\"\\", |_| ()),
            "    /a \"https://a.example/?q=\\\"1\\\"\\\\\";\n"
        );
        assert!(line("A", "https://a.example/", |_| ()).starts_with("    # left out: /A differs"));
        assert!(line("b", "https://a.example/$1", |_| ()).contains("a $ in its target"));
        assert!(line("c", "https://a.example/", |link| link.disabled = true).contains("is disabled"));
        assert!(
            line("d", "https://a.example/", |link| link.expire_time = Some(Default::default()))
                .contains("has expired")
        );
        let later = |link: &mut Link| link.not_before = "2999-01-01T00:00:00Z".parse().ok();
        assert!(line("e", "https://a.example/", later).contains("not valid yet"));
        assert_eq!(map.left, 5);
    }
}
