//! The rows that were not imported: `FILE.rejected.csv`, made when the first one comes.

use super::row::REJECT_COLUMNS;
use super::window::RefusedRow;
use crate::client::export::{create_new, csv_line};
use crate::client::fields::guarded;
use crate::fault::CommandFault;
use crate::out;
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Writes them down.
pub struct Rejects {
    name: String,
    header: Vec<String>,
    sink: Option<BufWriter<File>>,
}

impl Rejects {
    /// For the rows of `file`, whose columns are `header`.
    ///
    /// # Errors
    /// Its place is taken by something that an import did not write: that is said before a row is sent.
    pub fn new(file: &Path, header: &[String]) -> Result<Self, CommandFault> {
        let name = if file.as_os_str() == "-" { "stdin".into() } else { file.display().to_string() };
        let name = format!("{name}.rejected.csv");
        earlier(&name)?;
        Ok(Self { name, header: header.to_vec(), sink: None })
    }

    /// Those of a window, in the order of their lines.
    pub fn add_all(&mut self, mut rows: Vec<RefusedRow>) -> Result<(), CommandFault> {
        rows.sort_by_key(|row| row.line);
        rows.iter().try_for_each(|row| self.add(row))
    }

    fn add(&mut self, row: &RefusedRow) -> Result<(), CommandFault> {
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => {
                let mut sink = BufWriter::new(open(&self.name)?);
                let header = REJECT_COLUMNS.map(str::to_owned).into_iter();
                write(
                    &mut sink,
                    &self.name,
                    &csv_line(header.chain(self.header.iter().cloned()).map(guarded)),
                )?;
                none.insert(sink)
            }
        };
        let (reason, message) = row.why.clone();
        let front = [row.line.to_string(), reason, message];
        write(sink, &self.name, &csv_line(front.into_iter().chain(row.cells.iter().cloned()).map(guarded)))
    }

    /// The name of the file, if there is one.
    pub fn finish(mut self) -> Result<Option<String>, CommandFault> {
        let Some(sink) = &mut self.sink else { return Ok(None) };
        sink.flush().map_err(|fault| out::from_io(&self.name, &fault))?;
        Ok(Some(self.name))
    }
}

/// In place of that of an earlier import, with its mode. The name is made anew: what a link or a second name leads to
/// stays as it is.
fn open(name: &str) -> Result<File, CommandFault> {
    let cannot = |fault| out::from_io(name, &fault);
    let mode = earlier(name)?;
    if mode.is_some() {
        fs::remove_file(name).map_err(cannot)?;
    }
    let file = create_new(Path::new(name)).map_err(cannot)?;
    if let Some(mode) = mode {
        file.set_permissions(mode).map_err(cannot)?;
    }
    Ok(file)
}

/// The mode of the file of an earlier import; anything else of this name is refused.
fn earlier(name: &str) -> Result<Option<Permissions>, CommandFault> {
    let there = match fs::symlink_metadata(name) {
        Ok(there) => there,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(out::from_io(name, &fault)),
    };
    let own = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == there.uid());
    let what = match there.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if !kind.is_file() => "no regular file",
        _ if !own => "another user's",
        _ => return Ok(Some(there.permissions())),
    };
    Err(CommandFault::new(format_args!(
        "rejected rows go to {name}, and that is {what}, which is not written to: remove it, or import from another directory"
    )))
}

fn write(sink: &mut impl Write, name: &str, bytes: &[u8]) -> Result<(), CommandFault> {
    sink.write_all(bytes).map_err(|fault| out::from_io(name, &fault))
}
