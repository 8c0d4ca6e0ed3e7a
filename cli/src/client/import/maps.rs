//! Redirect maps of nginx and HAProxy: what stands in them becomes rows, and what no link can be says why. The syntax is
//! that of `ngx_http_map_module` and of HAProxy's map files.

use super::row::{Reason, Row};
use proto::v1::Link;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, Error, ErrorKind, Read};

/// Bytes of a statement or a line.
const LONGEST: usize = 256 << 10;

/// The statements of an nginx configuration: whole `map` blocks, alone or in `http`, or the bare lines of an included
/// file.
pub struct Nginx {
    bytes: std::iter::Peekable<std::io::Bytes<Box<dyn BufRead + Send>>>,
    /// The line of the next byte.
    line: u64,
    blocks: Vec<BlockKind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Http,
    Map,
    Other,
}

/// A statement, and what ended it.
struct Statement {
    line: u64,
    raw: Vec<u8>,
    words: Vec<Vec<u8>>,
    end: StatementEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StatementEnd {
    Semicolon,
    Open,
    Close,
    /// The end of the file, perhaps within a quote.
    File,
}

impl Nginx {
    pub fn new(source: Box<dyn BufRead + Send>) -> Self {
        Self { bytes: source.bytes().peekable(), line: 1, blocks: Vec::new() }
    }

    /// The next row; `None` at the end of the file.
    pub fn next(&mut self) -> std::io::Result<Option<Row>> {
        loop {
            let statement = self.statement()?;
            let block = self.blocks.last().copied();
            let link = match statement.end {
                StatementEnd::Open => self.open(block, &statement.words),
                StatementEnd::Close if statement.words.is_empty() && self.blocks.pop().is_some() => None,
                StatementEnd::Semicolon if matches!(block, None | Some(BlockKind::Map)) => {
                    entry(&statement.words, block.is_some())
                }
                StatementEnd::Semicolon => None, // another directive of nginx
                StatementEnd::File if statement.words.is_empty() && self.blocks.is_empty() => {
                    return Ok(None);
                }
                StatementEnd::File => {
                    self.blocks.clear();
                    Some(Err(("CUT", "is not whole: the file ends here".to_owned())))
                }
                StatementEnd::Close => Some(Err(("SYNTAX", "is not ended by a ;".to_owned()))),
            };
            if let Some(link) = link {
                return Ok(Some(row(statement.line, &statement.raw, link)));
            }
        }
    }

    fn open(&mut self, block: Option<BlockKind>, words: &[Vec<u8>]) -> Option<Result<Link, Reason>> {
        let names: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let (inner, known) = match (block, &names[..]) {
            (None, [b"http"]) => (BlockKind::Http, true),
            (None | Some(BlockKind::Http), [b"map", _, _]) => (BlockKind::Map, true),
            // Only the outermost is told; a server within http is no surprise.
            (Some(BlockKind::Http | BlockKind::Other), _) => (BlockKind::Other, true),
            _ => (BlockKind::Other, false),
        };
        self.blocks.push(inner);
        (!known).then(|| Err(("BLOCK", "is a block, but no map: nothing in it is taken".to_owned())))
    }

    fn statement(&mut self) -> std::io::Result<Statement> {
        let mut statement =
            Statement { line: self.line, raw: Vec::new(), words: Vec::new(), end: StatementEnd::Semicolon };
        loop {
            let Some(byte) = self.take()? else {
                statement.end = StatementEnd::File;
                return Ok(statement);
            };
            if statement.raw.is_empty() {
                statement.line = self.line - u64::from(byte == b'\n');
            }
            match byte {
                b'#' => while self.take()?.is_some_and(|byte| byte != b'\n') {},
                byte if byte.is_ascii_whitespace() => {
                    if !statement.raw.is_empty() && statement.raw.last() != Some(&b' ') {
                        statement.raw.push(b' ');
                    }
                }
                b';' | b'{' | b'}' => {
                    statement.raw.push(byte);
                    statement.end = match byte {
                        b';' => StatementEnd::Semicolon,
                        b'{' => StatementEnd::Open,
                        _ => StatementEnd::Close,
                    };
                    return Ok(statement);
                }
                first => {
                    if !self.word(first, &mut statement)? {
                        statement.end = StatementEnd::File;
                        return Ok(statement);
                    }
                }
            }
            if statement.raw.len() > LONGEST {
                return Err(too_long(statement.line));
            }
        }
    }

    /// The rest of a word; `false` when its quote is never closed.
    fn word(&mut self, first: u8, statement: &mut Statement) -> std::io::Result<bool> {
        let quote = matches!(first, b'"' | b'\'').then_some(first);
        let (mut word, mut next) = (Vec::new(), if quote.is_some() { None } else { Some(first) });
        statement.raw.push(first);
        loop {
            let byte = match next.take() {
                Some(byte) => byte,
                None => {
                    let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b';' | b'{');
                    let ahead = match self.bytes.peek() {
                        Some(Ok(byte)) => Some(*byte),
                        _ => None,
                    };
                    // A brace behind a $ begins the name of a variable, and one that closes ends no word.
                    let inside = quote.is_some() || ahead == Some(b'{') && word.last() == Some(&b'$');
                    if ahead.is_some_and(ends) && !inside {
                        break;
                    }
                    match self.take()? {
                        None => {
                            statement.words.push(word);
                            return Ok(quote.is_none());
                        }
                        Some(byte) => {
                            statement.raw.push(byte);
                            byte
                        }
                    }
                }
            };
            if Some(byte) == quote {
                break;
            }
            word.push(byte);
            if byte == b'\\'
                && let Some(escaped) = self.take()?
            {
                statement.raw.push(escaped);
                // Other backslashes stay where they are.
                match escaped {
                    b'"' | b'\'' | b'\\' => *word.last_mut().expect("the backslash") = escaped,
                    b't' => *word.last_mut().expect("the backslash") = b'\t',
                    b'r' => *word.last_mut().expect("the backslash") = b'\r',
                    b'n' => *word.last_mut().expect("the backslash") = b'\n',
                    other => word.push(other),
                }
            }
            if word.len() > LONGEST {
                return Err(too_long(statement.line));
            }
        }
        statement.words.push(word);
        Ok(true)
    }

    fn take(&mut self) -> std::io::Result<Option<u8>> {
        let byte = self.bytes.next().transpose()?;
        self.line += u64::from(byte == Some(b'\n'));
        Ok(byte)
    }
}

/// What a statement of a map says; nothing where there is nothing to carry over.
fn entry(words: &[Vec<u8>], in_map: bool) -> Option<Result<Link, Reason>> {
    let no = |reason, why: &str| Some(Err((reason, why.to_owned())));
    match words {
        [] => None,
        [word] if word == b"volatile" => None,
        [word] if word == b"hostnames" => no("HOSTNAMES", "is about host names, and codes are paths"),
        [name, _] if !in_map && name.starts_with(b"map_hash_") => None,
        [name, _] if name == b"include" => no("INCLUDE", "is another file: import that by itself"),
        [name, value] if name == b"default" && value.is_empty() => None,
        [name, _] if name == b"default" => no("DEFAULT", "is for all other paths, and no link"),
        [key, _] if key.starts_with(b"~") => {
            no("PATTERN", "is a pattern, and codes are compared as they are")
        }
        [_, value] if value.is_empty() => no("EMPTY", "leads nowhere"),
        [_, value] if value.contains(&b'$') => no("VARIABLE", "leads to a place that depends on the request"),
        [key, value] => {
            // What would be a word of the map's own stands behind a backslash.
            let key = key.strip_prefix(b"\\").unwrap_or(key);
            Some(if key.starts_with(b"/") { link(key, value) } else { Err(no_path(key)) })
        }
        _ => no("SYNTAX", "is not of the form 'key value;'"),
    }
}

/// A map of HAProxy: a key, spaces, and a value up to the end of the line.
pub struct Haproxy {
    source: Box<dyn BufRead + Send>,
    line: u64,
    /// Of the keys so far: of two the first counts.
    seen: HashSet<u64>,
    state: RandomState,
}

impl Haproxy {
    pub fn new(source: Box<dyn BufRead + Send>) -> Self {
        Self { source, line: 0, seen: HashSet::new(), state: RandomState::new() }
    }

    /// The next row; `None` at the end of the file.
    pub fn next(&mut self) -> std::io::Result<Option<Row>> {
        let Some(text) = next_line(&mut *self.source, &mut self.line)? else { return Ok(None) };
        let link = match text.iter().position(u8::is_ascii_whitespace) {
            None => Err(("SYNTAX", "is a key without a value".to_owned())),
            Some(end) if !self.seen.insert(self.state.hash_one(&text[..end])) => Err(shadowed()),
            Some(end) => of_key(&text[..end], text[end..].trim_ascii()),
        };
        Ok(Some(row(self.line, &text, link)))
    }
}

/// The next line that holds something and is no comment, without the spaces around it.
pub fn next_line(source: &mut dyn BufRead, line: &mut u64) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let mut text = Vec::new();
        *line += 1;
        if source.take(LONGEST as u64).read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        if text.len() == LONGEST && text.last() != Some(&b'\n') {
            return Err(too_long(*line));
        }
        let text = text.trim_ascii();
        if !text.is_empty() && !text.starts_with(b"#") {
            return Ok(Some(text.to_vec()));
        }
    }
}

/// Where the first of two rows counts, the second is none.
fn shadowed() -> Reason {
    ("SHADOWED", "is not reached: an earlier row has this path, and there the first one counts".to_owned())
}

/// A path, or a path behind a host, as maps of `base` have it.
fn of_key(key: &[u8], value: &[u8]) -> Result<Link, Reason> {
    if key.starts_with(b"/") {
        return link(key, value);
    }
    let Some(slash) = key.iter().position(|&byte| byte == b'/') else { return Err(no_path(key)) };
    let (host, path) = key.split_at(slash);
    match std::str::from_utf8(host) {
        Ok(host) if is_host(host) && path.len() > 1 => {
            Ok(Link { domain: host.to_owned(), ..link(path, value)? })
        }
        _ => Err(no_path(key)),
    }
}

/// Why a key is none of a link.
pub fn no_path(key: &[u8]) -> Reason {
    let key = String::from_utf8_lossy(key);
    let why = match is_host(key.trim_end_matches('/')) {
        true => "is about all of a host, and a link is one path",
        false => "is no path: it does not begin with /",
    };
    ("KEY", why.to_owned())
}

/// Whether it can be nothing but a host, perhaps with a port.
pub fn is_host(text: &str) -> bool {
    let name = text.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(text, |(name, _)| name);
    name.contains('.') && link::Domain::given(name).is_ok()
}

fn link(key: &[u8], value: &[u8]) -> Result<Link, Reason> {
    let text =
        |bytes| String::from_utf8(Vec::from(bytes)).map_err(|_| ("NOT_UTF8", "is not UTF-8".to_owned()));
    let code = code_of(&text(key)?)?.to_owned();
    Ok(Link { code, target: text(value)?, ..Link::default() })
}

/// What stands behind the scheme of a URL that visitors come in by.
pub fn behind_scheme(text: &str) -> Option<&str> {
    let (scheme, bare) = text.split_once("://")?;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(bare)
}

/// The code of a path.
///
/// # Errors
/// No link can be about it.
pub fn code_of(path: &str) -> Result<&str, Reason> {
    let code = path.strip_prefix('/').unwrap_or(path);
    let no = |reason, why: &str| Err((reason, why.to_owned()));
    match code {
        "" => no("KEY", "is about the root, and a link is a path"),
        _ if code.contains('#') => {
            no("KEY", "has a #, from which on browsers send nothing: no request is for it")
        }
        _ if code.contains('?') => no("QUERY", "is only for requests with this query, and a link is for all"),
        _ => Ok(code),
    }
}

/// A row whose one cell is all that stands there.
pub fn row(line: u64, raw: &[u8], link: Result<Link, Reason>) -> Row {
    Row { line, cells: vec![String::from_utf8_lossy(raw.trim_ascii()).into_owned()], link }
}

fn too_long(line: u64) -> Error {
    Error::new(ErrorKind::InvalidData, format!("line {line} is longer than {LONGEST} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line, and code and target or the reason.
    type LineResult = (u64, Result<(String, String), &'static str>);

    fn nginx(text: &'static str) -> Vec<LineResult> {
        let mut map = Nginx::new(Box::new(text.as_bytes()));
        std::iter::from_fn(|| map.next().unwrap()).map(short).collect()
    }

    fn short(row: Row) -> LineResult {
        let link = row.link.map(|link| (format!("{}{}", link.domain, link.code), link.target));
        let link = link.map_err(|(why, _)| why);
        (row.line, link)
    }

    fn to(code: &str, target: &str) -> Result<(String, String), &'static str> {
        Ok((code.to_owned(), target.to_owned()))
    }

    #[test]
    fn a_whole_configuration() {
        let rows = nginx(
            "# redirects\nhttp {\n  server_tokens off;\n  map_hash_max_size 4096;\n  map $uri $new {\n\
             hostnames;\n default \"\";\n volatile;\n /a https://a.example/; # one\n '/b c' \"https://b.example/?a=\\\"1\\\";#x\";\n\
             /d\n   https://d.example/\n   ;\n  ~^/e/(.*)$ https://e.example/$1;\n \"~*^/f{2}\" https://f.example/;\n\
             \\default https://g.example/;\n /h https://h.example/${request_uri};\n include more.map; /i ''; f https://f.example/; }\n\
             map $host $y { default 1; a.example 2; }\n server { listen 80; location / { return 404; } }\n}\n",
        );
        let want = [
            (6, Err("HOSTNAMES")),
            (9, to("a", "https://a.example/")),
            (10, to("b c", "https://b.example/?a=\"1\";#x")),
            (11, to("d", "https://d.example/")),
            (14, Err("PATTERN")),
            (15, Err("PATTERN")),
            (16, Err("KEY")),
            (17, Err("VARIABLE")),
            (18, Err("INCLUDE")),
            (18, Err("EMPTY")),
            (18, Err("KEY")),
            (19, Err("DEFAULT")),
            (19, Err("KEY")),
        ];
        assert_eq!(rows, want);
    }

    #[test]
    fn bare_lines_and_what_is_cut() {
        assert_eq!(nginx(""), []);
        assert_eq!(
            nginx(
                "map_hash_bucket_size 128;\n/a https://a.example/x#y;/b https://b.example/\n;\nc;\n/d a b;server {a b;}\n}"
            ),
            [
                (2, to("a", "https://a.example/x#y")),
                (2, to("b", "https://b.example/")),
                (4, Err("SYNTAX")),
                (5, Err("SYNTAX")),
                (5, Err("BLOCK")),
                (6, Err("SYNTAX")),
            ]
        );
        for cut in
            ["map $uri $x {\n/a https://a", "map $uri $x {", "/a 'https://a.example/;\n", "/a https://a"]
        {
            let rows = nginx(cut);
            assert_eq!(rows.last().unwrap().1, Err("CUT"), "{cut}");
        }
    }

    /// Found by users: `go.example/old` became a code that nobody can ask for.
    #[test]
    fn a_key_is_a_path() {
        assert_eq!(
            nginx("a.example https://b.example/;\nold https://b.example/;\n\"/b\" https://b.example/;"),
            [(1, Err("KEY")), (2, Err("KEY")), (3, to("b", "https://b.example/"))]
        );
        assert_eq!(
            nginx("map $host $x { a.example https://b.example/; a.example/x https://b.example/; }"),
            [(1, Err("KEY")), (1, Err("KEY"))]
        );
        for (key, want) in [
            ("/old", to("old", "https://a.example/")),
            ("go.example/old", to("go.exampleold", "https://a.example/")),
            ("Go.Example:8080/a/b", to("Go.Example:8080a/b", "https://a.example/")),
            ("10.0.0.1/x", to("10.0.0.1x", "https://a.example/")),
            ("go.example", Err("KEY")),
            ("go.example/", Err("KEY")),
            ("*.example/x", Err("KEY")),
            ("old", Err("KEY")),
            ("old/page", Err("KEY")),
            ("a b/c", Err("KEY")),
        ] {
            let link = of_key(key.as_bytes(), b"https://a.example/");
            let link = link.map(|link| (format!("{}{}", link.domain, link.code), link.target));
            assert_eq!(link.map_err(|(why, _)| why), want, "{key}");
        }
        assert!(no_path(b"go.example/").1.contains("all of a host"));
        // Found in published maps: "code is empty" and "a character at byte 26" said nothing of what was wrong.
        for (key, want) in [
            ("/", Err("KEY")),
            ("/a/#part", Err("KEY")),
            ("/a?id=1", Err("QUERY")),
            ("go.example/a?id=1", Err("QUERY")),
        ] {
            let link = of_key(key.as_bytes(), b"https://a.example/").map(|link| link.code);
            assert_eq!(link.map_err(|(why, _)| why), want, "{key}");
        }
    }

    #[test]
    fn lines_of_haproxy() {
        let mut map = Haproxy::new(Box::new(
            &b"# map\n\n/a https://a.example/ \n  /b\thttps://b.example/?x#y z\r\ngo.example/c https://c.example/\n/d\n\
               /a https://other.example/\n/e"[..],
        ));
        let rows: Vec<_> = std::iter::from_fn(|| map.next().unwrap()).map(short).collect();
        let want = [
            (3, to("a", "https://a.example/")),
            (4, to("b", "https://b.example/?x#y z")),
            (5, to("go.examplec", "https://c.example/")),
            (6, Err("SYNTAX")),
            (7, Err("SHADOWED")),
            (8, Err("SYNTAX")),
        ];
        assert_eq!(rows, want);
    }
}
