//! What may stand behind a code in a path without belonging to it: a slash, and the punctuation of the prose that the
//! address stood in.

/// Which endings of a path a domain passes over before it looks for a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// `/code/` asks for `code`.
    pub trailing_slash: bool,
    /// `/code.`, `/code),` and the like ask for `code`.
    pub punctuation: bool,
}

/// Marks that end a sentence, a quotation or a bracket around an address. Browsers escape some of them.
const PUNCTUATION: [&str; 34] = [
    ".", ",", ";", ":", "!", "'", "\"", ")", "]", "}", ">", "\u{2019}", "\u{201d}", "\u{2018}", "\u{201c}",
    "\u{bb}", "\u{ab}", "\u{203a}", "\u{2039}", "\u{2026}", "\u{3002}", "\u{3001}", "\u{ff0c}", "\u{ff0e}",
    "\u{ff1a}", "\u{ff1b}", "\u{ff01}", "\u{ff1f}", "\u{ff09}", "\u{300d}", "\u{300f}", "\u{3011}",
    "\u{300b}", "\u{3009}",
];

impl Endings {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.trailing_slash || self.punctuation
    }

    /// The path without its endings, however many there are and in whichever order. Marks count raw and
    /// percent-encoded. A code that is not the same behind this can never be asked for.
    pub fn strip(self, path: &[u8]) -> &[u8] {
        let mut rest = path;
        while let Some(shorter) = self.shorter(rest) {
            rest = shorter;
        }
        rest
    }

    /// The last bytes of the marks, for a store that looks for codes that end so: each once.
    pub fn last_bytes() -> Vec<u8> {
        let mut bytes: Vec<u8> = PUNCTUATION.iter().filter_map(|mark| mark.bytes().last()).collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes
    }

    fn shorter(self, path: &[u8]) -> Option<&[u8]> {
        let (&last, before) = path.split_last()?;
        if last == b'/' {
            return self.trailing_slash.then_some(before);
        }
        let escaped = path.len() >= 3 && path[path.len() - 3] == b'%';
        if !self.punctuation || !escaped && (last.is_ascii_alphanumeric() || b"-_~".contains(&last)) {
            return None;
        }
        PUNCTUATION.iter().find_map(|mark| {
            let mark = mark.as_bytes();
            path.strip_suffix(mark).or_else(|| without_escaped(path, mark))
        })
    }
}

/// The path without a mark that is percent-encoded at its end.
fn without_escaped<'a>(path: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let (rest, end) = path.split_at_checked(path.len().checked_sub(3 * mark.len())?)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let is = |(escaped, &byte): (&[u8], &u8)| {
        escaped[0] == b'%'
            && digit(escaped[1])
                .zip(digit(escaped[2]))
                .is_some_and(|(high, low)| high << 4 | low == u32::from(byte))
    };
    end.chunks(3).zip(mark).all(is).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: Endings = Endings { trailing_slash: true, punctuation: true };

    fn strip(endings: Endings, path: &str) -> &str {
        std::str::from_utf8(endings.strip(path.as_bytes())).unwrap()
    }

    #[test]
    fn what_stands_behind_an_address_in_prose_is_taken_off() {
        for (path, want) in [
            ("code", "code"),
            ("code.", "code"),
            ("code),", "code"),
            ("code...", "code"),
            ("code!'\"]}>", "code"),
            ("code%22", "code"),
            ("code%E2%80%9D.", "code"),
            ("code%e2%80%9d%2E", "code"),
            ("code\u{201d}", "code"),
            ("code\u{2026}\u{bb})", "code"),
            ("code%C2%BB", "code"),
            ("code\u{3002}", "code"),
            ("old-page.html", "old-page.html"),
            ("a/b.", "a/b"),
            ("a~", "a~"),
            ("a-", "a-"),
            ("a%41", "a%41"),
            ("a%80%9D", "a%80%9D"),
            ("a%2", "a%2"),
            ("...", ""),
            ("", ""),
        ] {
            assert_eq!(strip(Endings { punctuation: true, ..Endings::default() }, path), want, "{path}");
        }
    }

    #[test]
    fn each_ending_has_a_switch_of_its_own() {
        let slash = Endings { trailing_slash: true, ..Endings::default() };
        for (endings, path, want) in [
            (slash, "code/", "code"),
            (slash, "code//", "code"),
            (slash, "/", ""),
            (slash, "code.", "code."),
            (slash, "code/.", "code/."),
            (BOTH, "code/.", "code"),
            (BOTH, "code)/", "code"),
            (Endings { punctuation: true, ..Endings::default() }, "code/", "code/"),
            (Endings::default(), "code/.", "code/."),
        ] {
            assert_eq!(strip(endings, path), want, "{endings:?} {path}");
        }
        assert!(BOTH.any() && slash.any() && !Endings::default().any());
    }

    #[test]
    fn every_mark_is_found_raw_and_escaped() {
        for mark in PUNCTUATION {
            let escaped: String = mark.bytes().map(|byte| format!("%{byte:02x}")).collect();
            assert_eq!(strip(BOTH, &format!("x{mark}")), "x", "{mark}");
            assert_eq!(strip(BOTH, &format!("x{escaped}")), "x", "{mark}");
            assert!(Endings::last_bytes().contains(mark.as_bytes().last().unwrap()), "{mark}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_a_beginning_that_ends_no_more(path in "[a-z./%0-9A-F)\u{201d}]{0,20}", both: [bool; 2]) {
            let endings = Endings { trailing_slash: both[0], punctuation: both[1] };
            let left = endings.strip(path.as_bytes());
            prop_assert!(path.as_bytes().starts_with(left));
            prop_assert_eq!(endings.strip(left), left);
        }
    }
}
