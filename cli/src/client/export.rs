//! `linkr export`: every link in the order of their codes. The same links give the same bytes, and an import takes them.

mod nginx;

use super::fields::{FIELDS, csv_cell, object};
use super::{channel, links_of, parent, refused};
use crate::args::{Export, ExportFormat, Format};
use crate::fault::CommandFault;
use crate::out;
use proto::client::KeyedChannel;
use proto::v1::{ExportLinksRequest, Link, ListDomainsRequest, domains_client::DomainsClient};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Runs it. A file appears only when it is whole.
pub async fn export(args: Export) -> Result<(), CommandFault> {
    let by_name = match args.file.as_deref().and_then(Format::of) {
        Some(Format::Jsonl) => ExportFormat::Jsonl,
        _ => ExportFormat::Csv,
    };
    let format = args.format.unwrap_or(by_name);
    let request = ExportLinksRequest { parent: parent(&args.server.domain), show_deleted: args.show_deleted };
    let way = channel(&args.server.api).await?;
    let parts = links_of(way.clone()).export_links(request).await;
    let mut parts = parts.map_err(|s| refused(&s, &args.server.api))?.into_inner();
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let mut sink = Sink::open(file)?;
    let place = file.map_or("standard output".to_owned(), |file| file.display().to_string());
    let to_sink = |fault: std::io::Error| out::from_io(&place, &fault);
    let fields = fields(args.show_deleted);
    let mut map = nginx::NginxMap::new();
    match format {
        ExportFormat::Csv => sink.write_all(&csv_head(&fields)),
        ExportFormat::Jsonl => Ok(()),
        ExportFormat::NginxMap => sink.write_all(nginx::HEAD.as_bytes()),
    }
    .map_err(to_sink)?;
    while let Some(part) = parts.message().await.map_err(|s| refused(&s, &args.server.api))? {
        for link in part.links {
            let bytes = match format {
                ExportFormat::Csv => csv_row(&link, &fields),
                ExportFormat::Jsonl => json_row(&link, &fields),
                ExportFormat::NginxMap => map.line(&link).into_bytes(),
            };
            sink.write_all(&bytes).map_err(to_sink)?;
        }
    }
    if format == ExportFormat::NginxMap {
        sink.write_all(nginx::TAIL.as_bytes()).map_err(to_sink)?;
    }
    sink.finish().map_err(to_sink)?;
    map.say();
    if args.server.domain == "-"
        && let Some(other) = other_domain(way).await
    {
        out::note(&format!(
            "only links of the default domain were written: --domain names another, such as {}",
            out::plain(&other)
        ));
    }
    Ok(())
}

/// A domain that is not the default one; `None` also where the server does not say.
async fn other_domain(way: KeyedChannel) -> Option<String> {
    let request = ListDomainsRequest { page_size: 2, ..Default::default() };
    let page = DomainsClient::new(way).list_domains(request).await.ok()?.into_inner();
    page.domains.into_iter().map(|domain| domain.domain).find(|domain| domain != "-")
}

/// The fields that an export writes of a link.
pub fn fields(with_deleted: bool) -> Vec<&'static str> {
    FIELDS.iter().copied().chain(with_deleted.then_some("delete_time")).collect()
}

/// The names of the columns.
pub fn csv_head(fields: &[&str]) -> Vec<u8> {
    csv_line(fields.iter().map(|&field| field.to_owned()))
}

/// A link in these columns.
pub fn csv_row(link: &Link, fields: &[&str]) -> Vec<u8> {
    csv_line(fields.iter().map(|field| csv_cell(link, field)))
}

/// A link as an object in a line of its own.
pub fn json_row(link: &Link, fields: &[&str]) -> Vec<u8> {
    format!("{}\n", serde_json::Value::Object(object(link, fields.iter().copied()))).into_bytes()
}

/// The mode of a new file: targets and notes are not everybody's to read.
const OWN: u32 = 0o600;

/// A file of this name, which nobody else reads; no link is followed.
pub fn create_new(name: &Path) -> std::io::Result<File> {
    File::options().create_new(true).write(true).mode(OWN).open(name)
}

/// Where an export goes.
pub enum Sink {
    /// Straight there: standard output, or what is no regular file (a pipe, a link to a file, a device).
    Through(Box<dyn Write>),
    /// Into a file beside the one it becomes when it is whole.
    Aside { sink: BufWriter<File>, partial: PartialFile, file: PathBuf },
}

impl Sink {
    /// Opens it; `None` is standard output.
    ///
    /// # Errors
    /// The file, or the one beside it, cannot be made.
    pub fn open(file: Option<&Path>) -> Result<Self, CommandFault> {
        let Some(file) = file else { return Ok(Self::Through(Box::new(BufWriter::new(std::io::stdout())))) };
        let to_file = |fault: std::io::Error| out::from_io(&file.display().to_string(), &fault);
        // What a name leads to is not looked at: a rename would replace the name itself.
        let mode = match file.symlink_metadata() {
            Ok(there) if there.is_file() => Some(there.permissions()),
            Ok(_) => {
                let mut options = File::options();
                let options = options.create(true).truncate(true).write(true).mode(OWN);
                let file = options.open(file).map_err(to_file)?;
                return Ok(Self::Through(Box::new(BufWriter::new(file))));
            }
            Err(fault) if fault.kind() == ErrorKind::NotFound => None,
            Err(fault) => return Err(to_file(fault)),
        };
        let mut name = OsString::from(file);
        name.push(".partial");
        let name = PathBuf::from(name);
        // Of an export that was killed.
        if name.symlink_metadata().is_ok_and(|left| left.is_file()) {
            std::fs::remove_file(&name).map_err(to_file)?;
        }
        let sink = create_new(&name).map_err(|fault| out::from_io(&name.display().to_string(), &fault))?;
        let partial = PartialFile { name, renamed: false };
        if let Some(mode) = mode {
            sink.set_permissions(mode).map_err(to_file)?; // before there is anything to be read in it
        }
        Ok(Self::Aside { sink: BufWriter::new(sink), partial, file: file.to_owned() })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As files have them.
    pub fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Through(sink) => sink.write_all(bytes),
            Self::Aside { sink, .. } => sink.write_all(bytes),
        }
    }

    /// Makes the file what it is to be: there is none of this name before.
    ///
    /// # Errors
    /// As files have them.
    pub fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Through(mut sink) => sink.flush(),
            Self::Aside { sink, mut partial, file } => {
                let sink = sink.into_inner()?;
                sink.sync_all()?;
                std::fs::rename(&partial.name, file)?;
                partial.renamed = true;
                Ok(())
            }
        }
    }
}

/// A file that goes unless it was renamed.
pub struct PartialFile {
    name: PathBuf,
    renamed: bool,
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = std::fs::remove_file(&self.name); // nobody asked for it
        }
    }
}

/// One record by RFC 4180, but for the line end, which is LF.
pub fn csv_line(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(cells.map(String::into_bytes));
    debug_assert!(written.is_ok(), "memory takes every record");
    writer.into_inner().unwrap_or_default()
}

impl Format {
    /// By the name of a file.
    pub fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        match name.as_str() {
            "_redirects" => return Some(Self::Redirects),
            "vercel.json" => return Some(Self::VercelJson),
            _ => {}
        }
        match Path::new(&name).extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory that goes when the test does.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("linkr-export-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn names(&self) -> usize {
            std::fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn export(file: &Path) {
        let mut sink = Sink::open(Some(file)).unwrap();
        sink.write_all(b"new").unwrap();
        sink.finish().unwrap();
    }

    #[test]
    fn an_export_replaces_no_link_and_keeps_the_mode() {
        let dir = Dir::new("names");
        let (file, link) = (dir.0.join("file"), dir.0.join("link"));
        std::fs::write(&file, "something long").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        export(&link);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        std::fs::write(&file, "something long").unwrap();
        export(&file);
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let fresh = dir.0.join("fresh");
        export(&fresh);
        assert_eq!(fresh.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (target, dangling) = (dir.0.join("target"), dir.0.join("dangling"));
        symlink(&target, &dangling).unwrap();
        export(&dangling);
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.names(), 5);
    }

    #[test]
    fn what_is_no_regular_file_is_written_to() {
        use std::os::unix::fs::FileTypeExt;
        let dir = Dir::new("pipe");
        let pipe = dir.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        export(&pipe);
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
        assert_eq!(dir.names(), 1);
    }

    #[test]
    fn an_export_that_fails_leaves_nothing_beside() {
        let dir = Dir::new("partial");
        let file = dir.0.join("file");
        std::fs::write(&file, "old").unwrap();
        std::fs::write(dir.0.join("file.partial"), "of one that was killed").unwrap();
        let mut sink = Sink::open(Some(&file)).unwrap();
        sink.write_all(b"new").unwrap();
        drop(sink);
        assert_eq!((std::fs::read(&file).unwrap(), dir.names()), (b"old".to_vec(), 1));
    }
}
