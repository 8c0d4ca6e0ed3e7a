//! The rules of accessibility that the pages are held against in a browser: npm's package `axe-core`, below `target/tools`.

use crate::tools::{is_there, run, run_quietly};
use std::path::Path;

/// The release, so that a new rule does not fail a test by itself.
const PACKAGE: &str = "axe-core@4.14.1";
const DIR: &str = "target/tools/axe";

/// Fetches it if it is not there. Never fails: the test that needs it says that it is left out.
pub fn install_what_is_missing() {
    if Path::new(DIR).join("package/axe.min.js").is_file() {
        return;
    }
    if !is_there("npm") {
        println!("npm is missing: skipped: pages: rules of accessibility");
        return;
    }
    let made = std::fs::create_dir_all(DIR).is_ok();
    let packed = made && run("npm", &["pack", PACKAGE, "--silent", "--pack-destination", DIR]);
    let file = format!("{DIR}/{}.tgz", PACKAGE.replace('@', "-"));
    if !packed || !run_quietly("tar", &["-xzf", &file, "-C", DIR]) {
        println!("{PACKAGE} was not fetched: skipped: pages: rules of accessibility");
    }
}
