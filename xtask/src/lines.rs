//! `xtask lines`: how long each crate is. Counted are the lines of its sources that are not blank, comments and inline
//! tests included; files of tests are not.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that show that the others do what they promise.
const PROOF: [&str; 7] = ["loadtest", "trials", "sim", "fuzz", "services", "benches", "xtask"];

/// Prints the lines of each crate of the workspace, and of the product and its proof as a whole.
pub fn print() -> Result<(), String> {
    let manifest = fs::read_to_string("Cargo.toml").map_err(|fault| format!("Cargo.toml: {fault}"))?;
    let members =
        manifest.lines().find(|line| line.starts_with("members = [")).ok_or("no members in Cargo.toml")?;
    let (proof, product): (Vec<&str>, Vec<&str>) =
        members.split('"').skip(1).step_by(2).partition(|name| PROOF.contains(name));
    for (title, names) in [("product", product), ("proof", proof)] {
        let mut sum = 0;
        for name in names {
            let lines = of_folder(&Path::new(name).join("src"))?;
            println!("{lines:>7}  {name}");
            sum += lines;
        }
        println!("{sum:>7}  {title}\n");
    }
    Ok(())
}

fn of_folder(folder: &Path) -> Result<usize, String> {
    let cannot = |fault: std::io::Error| format!("{}: {fault}", folder.display());
    let entries: Result<Vec<PathBuf>, _> =
        fs::read_dir(folder).map_err(cannot)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut sum = 0;
    for path in entries.map_err(cannot)? {
        if path.is_dir() {
            sum += of_folder(&path)?;
        } else if path.to_string_lossy().ends_with(".rs") && !path.to_string_lossy().ends_with("tests.rs") {
            let text = fs::read_to_string(&path).map_err(cannot)?;
            sum += text.lines().filter(|line| !line.trim().is_empty()).count();
        }
    }
    Ok(sum)
}
