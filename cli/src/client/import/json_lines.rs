//! JSON lines: an object a line, with the fields of the REST API.

use super::lines::{LONGEST, too_long};
use super::row::Row;
use crate::client::fields::{FIELDS, OUTPUT_ONLY, set_json};
use proto::v1::Link;
use serde_json::Value;
use std::io::{BufRead, Read};

/// Bytes of a line: as much as the longest fields need, with every byte escaped.
const MAX_LINE: u64 = 256 << 10;
/// The column of a file of rejected rows for such a line.
pub const JSON_COLUMN: &str = "row";

/// The lines of a file.
pub struct JsonLines {
    lines: Box<dyn BufRead + Send>,
    line: u64,
}

impl JsonLines {
    pub fn new(lines: Box<dyn BufRead + Send>) -> Self {
        Self { lines, line: 0 }
    }

    /// The next row; `None` at the end of the file.
    pub fn next(&mut self) -> std::io::Result<Option<Row>> {
        let (lines, mut text) = (&mut self.lines, Vec::new());
        while text.trim_ascii().is_empty() {
            text.clear();
            self.line += 1;
            if lines.take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
        }
        let whole = text.ends_with(b"\n") || (text.len() as u64) < MAX_LINE;
        if !whole && lines.take(LONGEST).skip_until(b'\n')? as u64 == LONGEST {
            return Err(too_long(&format!("line {}", self.line)));
        }
        let link = if whole { json_link(&text) } else { Err(format!("is longer than {MAX_LINE} bytes")) };
        let cells = vec![String::from_utf8_lossy(&text).trim_end().to_owned()];
        Ok(Some(Row { line: self.line, cells, link: link.map_err(|why| ("INVALID", why)) }))
    }
}

/// The link that a JSON object says.
///
/// # Errors
/// Why it is none.
pub fn json_link(text: &[u8]) -> Result<Link, String> {
    let value: Value = serde_json::from_slice(text).map_err(|fault| {
        let fault = fault.to_string();
        // Where it is in this one line would be read as a line of the file.
        format!("is not JSON: {}", fault.rsplit_once(" at line ").map_or(&*fault, |(what, _)| what))
    })?;
    let object = value.as_object().ok_or("is not a JSON object")?;
    let mut link = Link::default();
    for (field, value) in object {
        if !known(field) {
            return Err(format!("its field '{field}' is unknown"));
        }
        set_json(&mut link, field, value).map_err(|why| format!("{field} {why}"))?;
    }
    Ok(link)
}

fn known(field: &str) -> bool {
    FIELDS.contains(&field) || OUTPUT_ONLY.contains(&field)
}
