//! Small files that a domain has of its own, below `/.well-known/` and as `/favicon.ico`.

use crate::{is_code, is_reserved};
use std::fmt;
use std::sync::Arc;

/// One file: a path, and what is answered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Without its leading slash, such as `.well-known/security.txt`.
    pub path: Box<str>,
    /// As it is sent.
    pub content_type: Box<str>,
    /// As it is sent.
    pub content: Box<[u8]>,
}

/// The files of a domain, in the order of their paths. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(Arc<[File]>);

impl Default for Files {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

/// Why these are no files of a domain. Always the fault of whoever gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesFault {
    /// More than [`Files::MOST`].
    TooMany,
    /// All together they have so many bytes, and that is more than [`Files::BYTES`].
    TooLarge(usize),
    /// No file can be at this path.
    Path(Box<str>),
    /// There are two at this path.
    Twice(Box<str>),
    /// The content type of the one at this path cannot be sent.
    ContentType(Box<str>),
}

impl File {
    fn size(&self) -> usize {
        self.path.len() + self.content_type.len() + self.content.len()
    }

    /// Whether a file can be here: where no link can be, and never where crawlers ask for their rules.
    fn is_path(path: &str) -> bool {
        let (bytes, directory) = (path.as_bytes(), [".well-known", "robots.txt"].contains(&path));
        is_code(bytes) && is_reserved(bytes) && !directory
    }

    /// `type/subtype` and parameters (RFC 9110, section 8.3.1), of characters that a field of a response may hold.
    fn is_content_type(text: &str) -> bool {
        let name = |name: &str| {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !name.is_empty() && name.bytes().all(token)
        };
        let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
        let whole = kind.trim_end().split_once('/').is_some_and(|(kind, of)| name(kind) && name(of));
        let sent = parameters.bytes().all(|b| (0x20..0x7f).contains(&b));
        whole && sent && text.len() <= Files::TYPE && text.trim() == text
    }
}

impl Files {
    /// Files of one domain.
    pub const MOST: usize = 16;
    /// Bytes of all files of one domain, their paths and content types counted: every edge holds them.
    pub const BYTES: usize = 8 * 1024;
    /// Bytes of a content type.
    pub const TYPE: usize = 128;

    /// The one way to make files, in whatever order they are given.
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn new(mut all: Vec<File>) -> Result<Self, FilesFault> {
        if all.len() > Self::MOST {
            return Err(FilesFault::TooMany);
        }
        if let Some(file) = all.iter().find(|file| !File::is_path(&file.path)) {
            return Err(FilesFault::Path(file.path.clone()));
        }
        if let Some(file) = all.iter().find(|file| !File::is_content_type(&file.content_type)) {
            return Err(FilesFault::ContentType(file.path.clone()));
        }
        let bytes = all.iter().map(File::size).sum();
        if bytes > Self::BYTES {
            return Err(FilesFault::TooLarge(bytes));
        }
        all.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        match all.windows(2).find(|two| two[0].path == two[1].path) {
            Some(two) => Err(FilesFault::Twice(two[0].path.clone())),
            None => Ok(Self(all.into())),
        }
    }

    /// The one at this path.
    pub fn at(&self, path: &[u8]) -> Option<&File> {
        self.0.iter().find(|file| file.path.as_bytes() == path)
    }

    /// All of them, in the order of their paths.
    pub fn all(&self) -> &[File] {
        &self.0
    }
}

impl fmt::Display for FilesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, bytes, longest) = (Files::MOST, Files::BYTES, Files::TYPE);
        match self {
            Self::TooMany => write!(f, "has more than {most} files: remove one that is no longer asked for"),
            Self::TooLarge(size) => write!(
                f,
                "takes {size} bytes, and a domain's files may have {bytes} together with their paths and types, since \
                 every edge holds them: make them smaller, or give a link to where a larger one is"
            ),
            Self::Path(path) => write!(
                f,
                "has the path {path:?}, where no file can be: a file is favicon.ico or below .well-known/, of letters, \
                 digits and . _ ~ - in at most 8 segments, such as .well-known/security.txt"
            ),
            Self::Twice(path) => write!(f, "has {path} twice"),
            Self::ContentType(path) => write!(
                f,
                "has a content_type for {path} that is not of the form type/subtype, such as application/json, in at most \
                 {longest} bytes"
            ),
        }
    }
}

impl std::error::Error for FilesFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content_type: &str, size: usize) -> File {
        let content = vec![b'x'; size].into();
        File { path: path.into(), content_type: content_type.into(), content }
    }

    #[test]
    fn what_a_file_may_be() {
        let is = |path: &str, kind: &str| Files::new(vec![file(path, kind, 1)]);
        for path in ["favicon.ico", ".well-known/assetlinks.json", ".well-known/matrix/server"] {
            assert!(is(path, "application/json").is_ok(), "{path}");
        }
        for path in [
            "",
            "robots.txt",
            ".well-known",
            ".well-known/",
            ".well-known/../x",
            ".well-known//x",
            ".well-known/a b",
            ".well-known/%41",
            "/favicon.ico",
            "code",
        ] {
            assert_eq!(is(path, "text/plain"), Err(FilesFault::Path(path.into())), "{path}");
        }
        for kind in ["image/x-icon", "text/plain; charset=utf-8", "application/activity+json"] {
            assert!(is("favicon.ico", kind).is_ok(), "{kind}");
        }
        let long = format!("text/{}", "x".repeat(Files::TYPE));
        for kind in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain\r\nX: y",
            "text/plain; a=\u{e9}",
            " text/plain",
            &long,
        ] {
            assert_eq!(is("favicon.ico", kind), Err(FilesFault::ContentType("favicon.ico".into())), "{kind}");
        }
    }

    #[test]
    fn all_together_have_a_bound() {
        let own = "favicon.ico".len() + "a/b".len();
        assert!(Files::new(vec![file("favicon.ico", "a/b", Files::BYTES - own)]).is_ok());
        let over = Files::new(vec![file("favicon.ico", "a/b", Files::BYTES - own + 1)]);
        assert_eq!(over, Err(FilesFault::TooLarge(Files::BYTES + 1)));
        let many = |count: usize| (0..count).map(|n| file(&format!(".well-known/{n}"), "a/b", 0)).collect();
        assert!(Files::new(many(Files::MOST)).is_ok());
        assert_eq!(Files::new(many(Files::MOST + 1)), Err(FilesFault::TooMany));
        let twice = vec![file("favicon.ico", "a/b", 1), file("favicon.ico", "a/c", 2)];
        assert_eq!(Files::new(twice), Err(FilesFault::Twice("favicon.ico".into())));
    }

    #[test]
    fn one_is_found_by_its_whole_path() {
        let files = Files::new(vec![file("favicon.ico", "a/b", 1), file(".well-known/x", "a/b", 2)]).unwrap();
        assert_eq!(files.all()[0].path.as_ref(), ".well-known/x");
        assert_eq!(files.at(b"favicon.ico").map(|file| file.content.len()), Some(1));
        assert!(files.at(b".well-known/").is_none() && files.at(b"Favicon.ico").is_none());
    }
}
