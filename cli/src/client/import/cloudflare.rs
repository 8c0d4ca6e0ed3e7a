//! Lists of Cloudflare's Bulk Redirects as CSV: no header, and columns of their own.

use super::maps::{behind_scheme, code_of, is_host, no_path};
use super::row::Reason;
use super::words::boolean;
use proto::v1::{Link, QueryPolicy};

/// The columns, which a file does not name.
pub const COLUMNS: [&str; 7] = [
    "source_url",
    "target_url",
    "status_code",
    "preserve_query_string",
    "include_subdomains",
    "subpath_matching",
    "preserve_path_suffix",
];
/// What a link does that does not say it, for people.
pub const SAYS: &str = "status 301 and a visitor's query is dropped unless a row says otherwise; a source with a scheme is \
                        answered under http and https";

/// The link of a row. All but two cells may be empty or left out.
///
/// # Errors
/// Why it is none.
pub fn link(cells: &[String]) -> Result<Link, Reason> {
    let cell = |at: usize| cells.get(at).map_or("", |cell| cell.trim());
    let is = |at: usize| match cell(at) {
        "" => Ok(false),
        text => {
            boolean(text).ok_or_else(|| ("INVALID", format!("{} is neither TRUE nor FALSE", COLUMNS[at])))
        }
    };
    for (at, what) in [(4, "is for all subdomains, too"), (5, "is for all paths below its own, too")] {
        if is(at)? {
            return Err(("LACKING", format!("{what}, and a link is one path of one host")));
        }
    }
    is(6)?; // means something with the one before it only
    let source = behind_scheme(cell(0)).unwrap_or(cell(0));
    let (host, path) = source.split_at(source.find('/').unwrap_or(source.len()));
    if !is_host(host) || path.len() < 2 {
        return Err(no_path(source.as_bytes()));
    }
    let status = match cell(2) {
        "" => 301,
        text => text.parse().map_err(|_| ("INVALID", "status_code is not a whole number".to_owned()))?,
    };
    let mut link = Link {
        code: code_of(path)?.to_owned(),
        domain: host.to_owned(),
        target: cell(1).to_owned(),
        status,
        // A browser may keep these two for good: linkr wants to be told for how long, and here nobody says it.
        max_age: matches!(status, 301 | 308).then_some(0),
        ..Link::default()
    };
    if is(3)? {
        link.set_query(QueryPolicy::Append);
    }
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        use QueryPolicy::{Append, Unspecified};
        let link = |row: &str| {
            let cells: Vec<String> = row.split(',').map(str::to_owned).collect();
            link(&cells).map_err(|(reason, _)| reason).map(|link| {
                let query = link.query();
                (format!("{} {}", link.domain, link.code), link.status, link.max_age, query)
            })
        };
        let to = |place: &str, status, max_age, query| Ok((place.to_owned(), status, max_age, query));
        for (row, want) in [
            (
                "go.example/a,https://a.example/1,301,FALSE,FALSE,FALSE,FALSE",
                to("go.example a", 301, Some(0), Unspecified),
            ),
            ("https://go.example/a/b,https://a.example/", to("go.example a/b", 301, Some(0), Unspecified)),
            ("go.example/a,https://a.example/,302,TRUE", to("go.example a", 302, None, Append)),
            ("go.example/a,https://a.example/,,true,,,TRUE", to("go.example a", 301, Some(0), Append)),
            ("go.example/a,https://a.example/,307,,,", to("go.example a", 307, None, Unspecified)),
            ("go.example/a,https://a.example/,301,,TRUE", Err("LACKING")),
            ("go.example/a,https://a.example/,301,,,TRUE,FALSE", Err("LACKING")),
            ("go.example,https://a.example/", Err("KEY")),
            ("go.example/,https://a.example/", Err("KEY")),
            ("/a,https://a.example/", Err("KEY")),
            ("go.example/a#b,https://a.example/", Err("KEY")),
            // Found with a published table: rows that somebody had commented out became links.
            ("# https://go.example/a,https://a.example/", Err("KEY")),
            ("go.example/a?b=1,https://a.example/", Err("QUERY")),
            ("go.example/a,https://a.example/,moved", Err("INVALID")),
            ("go.example/a,https://a.example/,301,perhaps", Err("INVALID")),
        ] {
            assert_eq!(link(row), want, "{row}");
        }
    }
}
