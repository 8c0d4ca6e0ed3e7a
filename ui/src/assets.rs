//! The style sheet and the script, each under a name of its content and compressed once. What they do is not known here.

use crate::gzip::compressed;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const STYLE: &[u8] = include_bytes!("assets/style.css");
const SCRIPT: &[u8] = include_bytes!("assets/script.js");

/// A file of the page.
pub struct Asset {
    path: String,
    /// What it is announced as.
    pub kind: &'static str,
    /// As it is.
    pub plain: &'static [u8],
    /// As gzip has it.
    pub packed: &'static [u8],
}

static ASSETS: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    [
        Asset::new("style", "css", "text/css; charset=utf-8", STYLE),
        Asset::new("script", "js", "text/javascript; charset=utf-8", SCRIPT),
    ]
});

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, plain: &'static [u8]) -> Self {
        let hash: String = Sha256::digest(plain)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        // Made once, for as long as the process lives.
        let packed = Box::leak(compressed(plain).into_boxed_slice());
        Self { path: format!("/ui/assets/{name}-{hash}.{ending}"), kind, plain, packed }
    }
}

/// The asset at a path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Where the style sheet is.
pub fn style() -> &'static str {
    &ASSETS[0].path
}

/// Where the script is.
pub fn script() -> &'static str {
    &ASSETS[1].path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_stay_small_and_load_nothing() {
        assert!(SCRIPT.len() <= 10 * 1024, "the script has {} bytes", SCRIPT.len());
        assert!(STYLE.len() <= 12 * 1024, "the style sheet has {} bytes", STYLE.len());
        for text in [STYLE, SCRIPT] {
            let text = std::str::from_utf8(text).unwrap();
            for never in ["http:", "https:", "@import", "url(", "eval(", "innerHTML"] {
                assert!(!text.contains(never), "{never}");
            }
        }
        let sent: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(sent < 10 * 1024, "{sent} bytes over the wire");
    }
}
