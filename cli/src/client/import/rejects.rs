//! The rows that were not imported: `FILE.rejected.csv`, made when the first one comes.

use super::rows::{REJECT_COLUMNS, Row};
use crate::client::export::csv_line;
use crate::fault::Fault;
use crate::out;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes them down.
pub struct Rejects {
    name: String,
    header: Vec<String>,
    sink: Option<BufWriter<File>>,
}

impl Rejects {
    /// For the rows of `file`, whose columns are `header`.
    pub fn new(file: &Path, header: &[String]) -> Self {
        let name = if file.as_os_str() == "-" { "stdin".into() } else { file.display().to_string() };
        Self { name: format!("{name}.rejected.csv"), header: header.to_vec(), sink: None }
    }

    /// One more.
    pub fn add(&mut self, row: &Row, reason: &str, message: &str) -> Result<(), Fault> {
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => {
                let file = File::create(&self.name).map_err(|fault| out::from_io(&self.name, &fault))?;
                let mut sink = BufWriter::new(file);
                let header = REJECT_COLUMNS.map(str::to_owned).into_iter();
                write(&mut sink, &self.name, &csv_line(header.chain(self.header.iter().cloned())))?;
                none.insert(sink)
            }
        };
        let front = [row.line.to_string(), reason.to_owned(), message.to_owned()];
        write(sink, &self.name, &csv_line(front.into_iter().chain(row.cells.iter().cloned())))
    }

    /// The name of the file, if there is one.
    pub fn finish(mut self) -> Result<Option<String>, Fault> {
        let Some(sink) = &mut self.sink else { return Ok(None) };
        sink.flush().map_err(|fault| out::from_io(&self.name, &fault))?;
        Ok(Some(self.name))
    }
}

fn write(sink: &mut impl Write, name: &str, bytes: &[u8]) -> Result<(), Fault> {
    sink.write_all(bytes).map_err(|fault| out::from_io(name, &fault))
}
