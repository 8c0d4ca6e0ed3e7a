//! The load generator as a program, and what it says of a run.

use serde_json::Value;
use services::stats::median;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The generator beside this program.
///
/// # Errors
/// There is none.
fn generator() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|fault| fault.to_string())?;
    let path = own.with_file_name("linkr-loadtest");
    if path.is_file() { Ok(path) } else { Err(format!("there is no {}: build it first", path.display())) }
}

/// `compare`: prints what it says, and returns each server's rounds, by name.
///
/// # Errors
/// It did not run. Wrong answers are its own exit status, and an error too.
pub fn compare(servers: &[(&str, String)], words: &[&str], out: &Path) -> Result<Vec<Vec<Value>>, String> {
    let mut command = Command::new(generator()?);
    command.arg("compare").args(words).arg("--out").arg(out).stderr(Stdio::null());
    for (name, url) in servers {
        command.args(["--server", &format!("{name}={url}")]);
    }
    let done = command.output().map_err(|fault| fault.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    if !done.status.success() {
        return Err(format!("linkr-loadtest compare: {}, or an answer was wrong", done.status));
    }
    let read = |(name, _): &(&str, String)| {
        let report = json(&out.join(format!("{name}.json")))?;
        report["rounds"].as_array().cloned().ok_or_else(|| format!("{name}: no rounds"))
    };
    servers.iter().map(read).collect()
}

/// A run under way.
pub struct LoadProcess {
    child: Child,
    out: PathBuf,
}

/// Begins `run`; its report is `name`.
///
/// # Errors
/// It does not start.
pub fn begin(url: &str, words: &[&str], dir: &Path, name: &str) -> Result<LoadProcess, String> {
    begin_under(&[], url, words, dir, name)
}

/// The same behind the words that it runs under.
///
/// # Errors
/// It does not start.
pub fn begin_under(
    under: &[&str],
    url: &str,
    words: &[&str],
    dir: &Path,
    name: &str,
) -> Result<LoadProcess, String> {
    let (out, generator) = (dir.join(name), generator()?);
    let mut command = match under {
        [] => Command::new(generator),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(generator);
            command
        }
    };
    command.args(["run", url]).args(words).arg("--out").arg(&out);
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|fault| fault.to_string())?;
    Ok(LoadProcess { child, out })
}

impl LoadProcess {
    /// Waits for its end: the report.
    ///
    /// # Errors
    /// There is none.
    pub fn end(mut self) -> Result<Value, String> {
        self.child.wait().map_err(|fault| fault.to_string())?;
        json(&self.out.join("report.json"))
    }
}

impl Drop for LoadProcess {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, unless something else failed
        let _ = self.child.wait();
    }
}

fn json(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|fault| format!("{}: {fault}", file.display()))?;
    serde_json::from_str(&text).map_err(|fault| fault.to_string())
}

/// The median of a figure's ratios, round by round.
pub fn ratio(own: &[Value], base: &[Value], figure: &str) -> f64 {
    let of = |round: &Value| round[figure].as_f64().unwrap_or(f64::NAN);
    median(&own.iter().zip(base).map(|(own, base)| of(own) / of(base)).collect::<Vec<_>>())
}
