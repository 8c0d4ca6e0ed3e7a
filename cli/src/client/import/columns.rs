//! The columns of linkr's own CSV, whose names may be in any case, and those of other people's tables by `--columns`.

use super::row::Reason;
use super::words::same;
use crate::client::fields::{FIELDS, OUTPUT_ONLY, set_csv_cell};
use proto::v1::Link;

/// Fields whose cells are kept to the byte; around others spaces mean nothing.
const KEPT: [&str; 3] = ["title", "tags", "note"];

/// What each column of a file holds.
pub struct Columns(Vec<Column>);

enum Column {
    Field(&'static str),
    /// Its name is empty, and so should be its cells.
    Nameless,
    /// Passed over, as was told.
    Other,
}

impl Columns {
    /// Of a header. `given` names the columns of fields that have another name there.
    ///
    /// # Errors
    /// A column is missing, unknown or there twice.
    pub fn of(header: &[String], given: &[(String, String)]) -> Result<Self, String> {
        for (field, column) in given {
            if !FIELDS.contains(&field.as_str()) {
                return Err(format!("--columns: there is no field '{field}', but {}", FIELDS.join(", ")));
            }
            if !header.iter().any(|name| same(name, column)) {
                return Err(format!("its first line does not name the column '{column}' of --columns"));
            }
        }
        let columns: Vec<Column> = header.iter().map(|name| column(name, given)).collect();
        let mut seen = Vec::new();
        for (column, name) in columns.iter().zip(header) {
            match column {
                Column::Field(field) if seen.contains(field) => {
                    return Err(format!("its column '{name}' is there twice"));
                }
                Column::Field(field) => seen.push(*field),
                Column::Other if given.is_empty() => {
                    return Err(format!(
                        "its column '{name}' is unknown; there are {}. With --columns, such as --columns code=slug,target=url, \
                         others are passed over",
                        FIELDS.join(", ")
                    ));
                }
                Column::Nameless | Column::Other => {}
            }
        }
        Ok(Self(columns))
    }

    /// The field that a link cannot be without and that no column holds.
    pub fn missing(header: &[String], given: &[(String, String)]) -> Option<&'static str> {
        let has = |needed: &str| {
            header.iter().any(|name| matches!(column(name, given), Column::Field(field) if field == needed))
        };
        ["code", "target"].into_iter().find(|needed| !has(needed))
    }

    /// What was not clear from the names alone, for people.
    pub fn decided(&self, header: &[String]) -> Option<String> {
        let (mut taken, mut passed) = (Vec::new(), Vec::new());
        for (column, name) in self.0.iter().zip(header) {
            match column {
                Column::Field(field) if field != name => taken.push(format!("{field} from '{name}'")),
                Column::Other => passed.push(format!("'{name}'")),
                Column::Field(_) | Column::Nameless => {}
            }
        }
        let passed = match passed.is_empty() {
            true => String::new(),
            false => format!("passed over: {}", passed.join(", ")),
        };
        let said: Vec<String> =
            [taken.join(", "), passed].into_iter().filter(|text| !text.is_empty()).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// The link of a row.
    ///
    /// # Errors
    /// Why it is none.
    pub fn link(&self, cells: &[String]) -> Result<Link, Reason> {
        let mut link = Link::default();
        for (column, cell) in self.0.iter().zip(cells) {
            match column {
                Column::Field(field) => {
                    let cell =
                        if KEPT.contains(field) { cell.as_str() } else { cell.trim_matches([' ', '\t']) };
                    set_csv_cell(&mut link, field, cell)
                        .map_err(|why| ("INVALID", format!("{field} {why}")))?;
                }
                Column::Nameless if !cell.trim().is_empty() => {
                    return Err((
                        "COLUMNS",
                        "has a value in a column that has no name: name it, or take it out".to_owned(),
                    ));
                }
                Column::Nameless | Column::Other => {}
            }
        }
        Ok(link)
    }
}

fn column(name: &str, given: &[(String, String)]) -> Column {
    let mut all = FIELDS.iter().copied().chain(OUTPUT_ONLY);
    let named = given.iter().find(|(_, column)| same(column, name));
    let known = match named {
        Some((field, _)) => all.find(|known| known == field),
        // A field that another column was named for is not taken from its own.
        None => all.find(|known| same(known, name) && given.iter().all(|(field, _)| field != known)),
    };
    match known {
        Some(field) => Column::Field(field),
        None if name.is_empty() => Column::Nameless,
        None => Column::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn given(text: &str) -> Vec<(String, String)> {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(field, column)| (field.to_owned(), column.to_owned())).collect()
    }

    fn link(header: &str, columns: &str, cells: &str) -> Result<Link, String> {
        Columns::of(&texts(header), &given(columns))?.link(&texts(cells)).map_err(|(_, why)| why)
    }

    #[test]
    fn names_are_compared_as_people_write_them() {
        for (header, columns, cells) in [
            ("Code,Target", "", "a,https://a.example/"),
            ("CODE,target,Max Age", "", "a,https://a.example/,"),
            ("code,target,", "", "a,https://a.example/,"),
            ("code,target,status,disabled", "", "a , https://a.example/,302, false"),
            ("code,target,disabled", "", "a,https://a.example/,FALSE"),
            ("slug,url", "code=slug target=url", "a,https://a.example/"),
            ("Slug,URL,clicks", "code=slug target=url", "a,https://a.example/,7"),
            ("slug,target,code", "code=slug", "a,https://a.example/,other"),
            ("code,url", "target=URL", "a,https://a.example/"),
        ] {
            let link = link(header, columns, cells).unwrap_or_else(|why| panic!("{header}: {why}"));
            assert_eq!(
                (&*link.code, &*link.target, link.disabled),
                ("a", "https://a.example/", false),
                "{header}"
            );
        }
        for yes in ["TRUE", "True", "true"] {
            assert!(link("code,disabled", "", &format!("a,{yes}")).unwrap().disabled, "{yes}");
        }
        let kept = link("code,title,note,tags", "", "a, T , N ,x").unwrap();
        assert_eq!((&*kept.title, &*kept.note), (" T ", " N "), "words are kept to the byte");
    }

    #[test]
    fn what_cannot_be_taken() {
        for (header, columns, cells, want) in [
            ("code,target,", "", "a,b,c", "has a value in a column that has no name"),
            ("code,target,clicks", "", "a,b,7", "its column 'clicks' is unknown"),
            ("code,target,Code", "", "a,b,c", "its column 'Code' is there twice"),
            ("slug,url", "code=slag", "a,b", "does not name the column 'slag' of --columns"),
            ("slug,url", "kode=slug", "a,b", "--columns: there is no field 'kode'"),
            ("Slug,slug", "code=slug", "a,b", "its column 'slug' is there twice"),
        ] {
            let why = link(header, columns, cells).unwrap_err();
            assert!(why.contains(want), "{header}: {why}");
        }
        let missing = |header: &str, columns: &str| Columns::missing(&texts(header), &given(columns));
        assert_eq!(missing("slug,url", ""), Some("code"));
        assert_eq!(missing("slug,url", "code=slug"), Some("target"));
        assert_eq!(missing("slug,url", "code=slug target=url"), None);
        assert_eq!(missing("", ""), Some("code"));
        assert_eq!(missing("code,url", "code=url target=url"), Some("target"), "a column holds one field");
    }

    #[test]
    fn what_was_decided_is_told() {
        let said = |header: &str, columns: &str| {
            Columns::of(&texts(header), &given(columns)).unwrap().decided(&texts(header))
        };
        assert_eq!(said("code,target,tags", ""), None);
        assert_eq!(said("Code,target", "").as_deref(), Some("code from 'Code'"));
        let want = "code from 'slug', target from 'url'; passed over: 'clicks'";
        assert_eq!(said("slug,url,clicks", "code=slug target=url").as_deref(), Some(want));
    }
}
