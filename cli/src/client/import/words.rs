//! Words: of other people's files (names of columns, lists in one cell, yes and no), and why a row is no link.

/// Why a row is no link, for programs and for people.
pub type Reason = (&'static str, String);

/// The name of a column as it is compared: without case, spaces and the like.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether two names mean the same column.
pub fn same(one: &str, other: &str) -> bool {
    let (plain_one, plain_other) = (plain(one), plain(other));
    if plain_one.is_empty() { one == other } else { plain_one == plain_other }
}

/// Yes or no, in the words of databases, spreadsheets and people.
pub fn boolean(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// The texts of a list in one cell: JSON, or something between them.
pub fn list(cell: &str) -> Vec<String> {
    let texts = serde_json::from_str::<Vec<String>>(cell).unwrap_or_else(|_| {
        let bare = cell.trim_matches(['[', ']']).split(['|', ',', ';']);
        bare.map(|text| text.trim().trim_matches('"').to_owned()).collect()
    });
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_a_cell() {
        for (cell, want) in [
            ("a|b|c", &["a", "b", "c"][..]),
            ("a, b;c", &["a", "b", "c"]),
            ("[\"a\",\"b, c\"]", &["a", "b, c"]),
            ("[a, \"b\"]", &["a", "b"]),
            ("[]", &[]),
            ("[\"\"]", &[]),
        ] {
            assert_eq!(list(cell), want, "{cell}");
        }
    }

    #[test]
    fn yes_and_no() {
        for (cell, want) in
            [("TRUE", Some(true)), ("f", Some(false)), ("0", Some(false)), ("Yes", Some(true)), ("2", None)]
        {
            assert_eq!(boolean(cell), want, "{cell}");
        }
        assert!(same("K\u{fc}rzel", "k\u{dc}rzel ") && !same("K\u{fc}rzel", "Krzel") && !same("#", "%"));
        assert_eq!(
            (plain("Long URL"), plain("long_url"), plain("\u{feff}Code")),
            ("longurl".into(), "longurl".into(), "code".into())
        );
    }
}
