//! How much larger the pages make the binary, by the sizes of its symbols. What they do is not known here.

use std::path::Path;
use std::process::Command;

/// Bytes.
const MOST: u64 = 1_500_000;
/// Crates that are there for the pages alone.
const CRATES: [&str; 4] = ["ui", "maud", "flate2", "miniz_oxide"];
/// Texts and assets have no symbols: all of the pages' source is smaller than this, and a part of it is text.
const TEXTS: u64 = 300_000;

/// Whether it is within the limit, which is told.
///
/// # Errors
/// The binary has no symbols.
pub fn judge(binary: &Path) -> Result<bool, String> {
    let done = Command::new("nm").args(["--print-size", "--demangle", "--defined-only"]).arg(binary).output();
    let Ok(done) = done else {
        println!("SKIPPED: nm is not installed, which tells how much of the binary is pages");
        return Ok(true);
    };
    let code = code_of(&String::from_utf8_lossy(&done.stdout));
    if code == 0 {
        return Err(format!("nm finds no symbol of the pages in {}", binary.display()));
    }
    let good = code + TEXTS <= MOST;
    println!(
        "{} bytes of the binary are code for the pages ({}), and less than {TEXTS} are their texts: limit {MOST}  {}",
        code,
        CRATES.join(", "),
        if good { "pass" } else { "FAIL" }
    );
    Ok(good)
}

/// Bytes of the symbols that name one of the crates.
fn code_of(symbols: &str) -> u64 {
    let size = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (size, name) = (words.nth(1)?, words.nth(1)?);
        if names_one(name) { u64::from_str_radix(size, 16).ok() } else { None }
    };
    symbols.lines().filter_map(size).sum()
}

fn names_one(name: &str) -> bool {
    CRATES.iter().any(|own| {
        let path = format!("{own}::");
        name.match_indices(&path).any(|(at, _)| {
            !name[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || "_:".contains(before))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_the_pages_are_added_up() {
        let symbols = "0000000000001000 0000000000000010 t ui::site::Site::answer\n\
                       0000000000002000 0000000000000020 t core::ptr::drop_in_place<ui::pages::links::list>\n\
                       0000000000003000 0000000000000040 t gui::draw\n\
                       0000000000004000 0000000000000080 t store::ui::draw\n\
                       0000000000005000 T main\n\
                       0000000000006000 0000000000000100 t <maud::PreEscaped<T> as maud::Render>::render\n";
        assert_eq!(code_of(symbols), 0x10 + 0x20 + 0x100);
        assert_eq!(code_of(""), 0);
    }
}
