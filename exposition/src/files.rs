//! How many descriptors this process may have.

/// Descriptors that this process may have open; 1,024, the usual limit, where the kernel does not say.
#[must_use]
pub fn file_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limit_in(&limits).unwrap_or(1_024)
}

fn limit_in(limits: &str) -> Option<usize> {
    let soft =
        limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(usize::MAX) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_counts() {
        let limits =
            "Max processes   9   9   processes\nMax open files            1024      524288      files\n";
        assert_eq!(limit_in(limits), Some(1_024));
        assert_eq!(limit_in("Max open files unlimited unlimited files"), Some(usize::MAX));
        assert_eq!(limit_in(""), None);
        assert!(file_limit() > 10);
    }
}
