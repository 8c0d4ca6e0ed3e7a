//! Rows in the order of their keys, a window of the file at a time: a store takes rows in order at a fraction of what it
//! takes in none, and so do sorted windows.

use super::row::Row;
use prost::Message;
use proto::v1::Link;

/// Rows of a window.
const ROWS: usize = 1_000_000;
/// Bytes of a window, as it lies in memory.
const BYTES: usize = 256 << 20;
/// What a row takes besides its texts: its place here, and what three allocations cost.
const EACH: usize = size_of::<GoodRow>() + 3 * 16;

/// Rows of a file up to a bound.
#[derive(Default)]
pub struct Window {
    good: Vec<GoodRow>,
    refused: Vec<RefusedRow>,
    bytes: usize,
}

/// A row with a link, as small as it gets.
pub struct GoodRow {
    /// Where it begins in the file.
    line: u64,
    code: Box<str>,
    /// The rest of the link, as it is sent.
    link: Box<[u8]>,
    /// The cells behind one another, each behind its length.
    cells: Box<[u8]>,
}

/// A row that is not taken, and why.
pub struct RefusedRow {
    /// Where it begins in the file.
    pub line: u64,
    /// Its cells as they stand there.
    pub cells: Vec<String>,
    /// Why, for programs and for people.
    pub why: (String, String),
}

impl Window {
    /// One more row.
    pub fn add(&mut self, row: Row) {
        let Row { line, cells, link } = row;
        match link {
            Ok(link) => {
                let good = GoodRow::new(line, &cells, link);
                self.bytes += EACH + good.code.len() + good.link.len() + good.cells.len();
                self.good.push(good);
            }
            Err((reason, message)) => {
                self.bytes += EACH + cells.iter().map(|cell| size_of::<String>() + cell.len()).sum::<usize>();
                self.refused.push(RefusedRow { line, cells, why: (reason.to_owned(), message) });
            }
        }
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.good.len() + self.refused.len() >= ROWS || self.bytes >= BYTES
    }

    /// The rows with a link in the order of their keys, and the others. Of two with the same code the first comes first.
    pub fn in_order(mut self, folds: bool) -> (Vec<GoodRow>, Vec<RefusedRow>) {
        let folded = |good: &GoodRow| link::folded(&good.code);
        match folds {
            false => self.good.sort_by(|one, other| one.code.cmp(&other.code)),
            true => self.good.sort_by_cached_key(folded),
        }
        (self.good, self.refused)
    }
}

impl GoodRow {
    fn new(line: u64, cells: &[String], mut link: Link) -> Self {
        let code = std::mem::take(&mut link.code).into_boxed_str();
        let mut packed = Vec::with_capacity(cells.iter().map(|cell| 4 + cell.len()).sum());
        for cell in cells {
            packed.extend_from_slice(&(cell.len() as u32).to_le_bytes());
            packed.extend_from_slice(cell.as_bytes());
        }
        Self { line, code, link: link.encode_to_vec().into(), cells: packed.into() }
    }

    /// Bytes of the link.
    pub fn size(&self) -> usize {
        self.code.len() + self.link.len()
    }

    /// The link.
    pub fn link(&self) -> Link {
        let link = Link::decode(&*self.link).unwrap_or_default(); // as it was encoded above
        Link { code: self.code.clone().into_string(), domain: String::new(), ..link }
    }

    /// The same row, refused.
    pub fn refused(&self, reason: &str, message: String) -> RefusedRow {
        let (mut cells, mut rest) = (Vec::new(), &*self.cells);
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (cell, next) = behind.split_at(u32::from_le_bytes(*length) as usize);
            cells.push(String::from_utf8_lossy(cell).into_owned());
            rest = next;
        }
        RefusedRow { line: self.line, cells, why: (reason.to_owned(), message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64, code: &str, cells: &[&str]) -> Row {
        let link = Link { code: code.into(), target: format!("https://a.example/{line}"), ..Link::default() };
        Row { line, cells: cells.iter().map(|&cell| cell.to_owned()).collect(), link: Ok(link) }
    }

    fn order(codes: &[&str], folds: bool) -> Vec<u64> {
        let mut window = Window::default();
        codes.iter().zip(1..).for_each(|(code, line)| window.add(row(line, code, &[])));
        window.in_order(folds).0.iter().map(|good| good.line).collect()
    }

    #[test]
    fn keys_are_in_order_and_equal_ones_stay_so() {
        assert_eq!(order(&["b", "a/b", "a", "B", "a-b", "b", "a.b"], false), [4, 3, 5, 7, 2, 1, 6]);
        assert_eq!(order(&["b", "a/b", "a", "B", "A", "b"], true), [3, 5, 2, 1, 4, 6]);
        assert_eq!(order(&["ab", "a", "AA", "aB"], true), [2, 3, 1, 4]);
        assert_eq!(order(&["\u{fc}b", "\u{fc}", "\u{dc}A", "z"], true), [4, 2, 3, 1]);
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let mut window = Window::default();
        let given = row(7, "a", &["a", "", "https://a.example/\u{fc},\n\0"]);
        let (link, cells) = (given.link.clone().unwrap(), given.cells.clone());
        window.add(given);
        window.add(Row { line: 8, cells: vec!["x".into()], link: Err(("INVALID", "no".into())) });
        let (good, refused) = window.in_order(false);
        assert_eq!(good[0].link(), link);
        let back = good[0].refused("EXISTS", "it is there".into());
        assert_eq!((back.line, back.cells, back.why.0.as_str()), (7, cells, "EXISTS"));
        assert_eq!((refused[0].line, refused[0].why.1.as_str()), (8, "no"));
    }

    #[test]
    fn a_window_has_bounds() {
        let with = |bytes: usize, cell: &str| {
            let mut window = Window { bytes, ..Window::default() };
            window.add(row(1, "a", &[cell]));
            window.is_full()
        };
        assert!(!with(0, "x") && !with(BYTES - 1000, "x") && with(BYTES - 1000, &"x".repeat(1000)));
        let refused = Row { line: 1, cells: vec!["x".repeat(1000)], link: Err(("INVALID", String::new())) };
        let mut window = Window { bytes: BYTES - 1000, ..Window::default() };
        window.add(refused);
        assert!(window.is_full());
    }
}
