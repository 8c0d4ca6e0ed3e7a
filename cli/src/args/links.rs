//! The flags of `linkr link …`.

use super::{AddressedCode, Api, FlagTime, Server, moment, named, past_moment};
use crate::fault::CommandFault;
use crate::out;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use proto::described::settable;
use std::path::PathBuf;

/// Every field that can be set has a default to go back to, but the target.
fn clearable() -> PossibleValuesParser {
    settable("linkr.v1.Link").into_iter().filter(|field| *field != "target").collect::<Vec<_>>().into()
}

/// What to do with links.
#[derive(Subcommand)]
pub enum LinkCommand {
    /// Creates a link
    Create {
        /// Where it leads: an http or https URL
        target: String,
        /// Its code, such as promo or /promo; an address such as https://go.example/promo names the domain, too [default: a
        /// random code]
        #[arg(long, value_parser = named)]
        code: Option<AddressedCode>,
        /// How a random code is drawn.
        #[command(flatten)]
        drawn: CodeArgs,
        /// Its other fields.
        #[command(flatten)]
        changes: Box<Changes>,
        /// A target that is a short link itself is replaced by what that leads to, instead of being refused
        #[arg(long)]
        flatten: bool,
        /// Show the link that is there already if it answers the same; a link that answers otherwise is still an error
        #[arg(long, requires = "code")]
        same_ok: bool,
        /// Makes a retry safe: for 48 hours the same id with the same request answers as the first time
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
        /// When it is done
        #[arg(long, default_value = "durable", value_name = "WHEN")]
        ack: Ack,
        #[command(flatten)]
        server: Server,
    },
    /// Says whether a code is free, and names others if not
    Check {
        /// The code, or a whole address
        #[arg(value_parser = named)]
        code: AddressedCode,
        #[command(flatten)]
        server: Server,
    },
    /// Shows a link
    Get {
        /// Its code, or its whole address
        #[arg(value_parser = named)]
        code: AddressedCode,
        #[command(flatten)]
        server: Server,
    },
    /// Changes the given fields of a link
    Update(Box<Update>),
    /// Deletes a link, or several of a domain, then all or none: its code answers 410 and stays taken for 30 days, or for good if
    /// it was ever clicked; so long 'undelete' brings it back
    Delete(DeletedLinks),
    /// Brings a deleted link back as it was, within 30 days; at any time if it was ever clicked
    Undelete(ExistingLink),
    /// Lists what a link was, and who made it so, the latest first
    History {
        /// Its code, or its whole address
        #[arg(value_parser = named)]
        code: AddressedCode,
        /// How many versions at most
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
        page_size: i32,
        /// Goes on after an earlier page
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Draws the QR code of a link, for a terminal; its picture is an SVG file
    Qr {
        /// Its code, or its whole address
        #[arg(value_parser = named)]
        code: AddressedCode,
        /// Write the picture into this file instead
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// Makes a link what it once was, as a new version
    Restore(Restore),
    /// Asks an edge what it would answer, and why
    Explain(Explain),
    /// Shows every change of the links as it happens, until it is stopped
    Watch {
        /// After this one: of a change that was shown, or of any answer [default: from now on]
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Counts the links of one domain
    Count {
        /// The links to count, as for 'link list'
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
        /// Deleted links too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Lists the links of one domain
    List {
        /// Which ones, such as 'code = "abc*" AND tags:"x" AND create_time >= "2026-01-01T00:00:00Z"', or
        /// 'external_id = "x"'
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
        /// In which order: 'create_time desc' or 'update_time desc' instead of code
        #[arg(long, default_value = "code", value_name = "ORDER")]
        order_by: String,
        /// How many at most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
        page_size: i32,
        /// Goes on after an earlier page
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
        /// Every page
        #[arg(long)]
        all: bool,
        /// Deleted links too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        server: Server,
    },
}

/// How a random code is drawn.
#[derive(Args)]
pub struct CodeArgs {
    /// What a random code begins with
    #[arg(long, value_name = "TEXT", conflicts_with = "code")]
    pub code_prefix: Option<String>,
    /// Random characters of it, 4 to 32 [default: 7]
    #[arg(long, value_name = "N", conflicts_with = "code", value_parser = clap::value_parser!(i32).range(4..=32))]
    pub code_length: Option<i32>,
    /// Its characters: digits and letters (base62, default), or those that nobody mistakes (without 0 O o 1 l I)
    #[arg(long, conflicts_with = "code", value_parser = ["base62", "unambiguous"])]
    pub code_alphabet: Option<String>,
}

/// A write of a link that is there, and all that it is told.
#[derive(Args)]
pub struct ExistingLink {
    /// Its code, or its whole address
    #[arg(value_parser = named)]
    pub code: AddressedCode,
    /// Only if the link still has this etag
    #[arg(long)]
    pub etag: Option<String>,
    /// Makes a retry safe: for 48 hours the same id with the same request answers as the first time
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// When it is done
    #[arg(long, default_value = "durable", value_name = "WHEN")]
    pub ack: Ack,
    #[command(flatten)]
    pub server: Server,
}

/// `linkr link delete`.
#[derive(Args)]
pub struct DeletedLinks {
    /// The first link, and the flags of the write.
    #[command(flatten)]
    pub existing: ExistingLink,
    /// Codes or whole addresses of more links, with the first at most 1,000
    #[arg(value_parser = named)]
    pub more: Vec<AddressedCode>,
}

/// `linkr link restore`.
#[derive(Args)]
pub struct Restore {
    /// What it was then: a time such as 2026-01-31T12:00:00Z, or so long ago such as -2h (units: s, m for minutes, h, d, w)
    #[arg(
        long,
        value_name = "TIME",
        required_unless_present = "revision",
        conflicts_with = "revision",
        allow_hyphen_values = true,
        value_parser = past_moment
    )]
    pub time: Option<FlagTime>,
    /// What it was at this revision, such as one that its history names
    #[arg(long)]
    pub revision: Option<String>,
    /// Which link, and how.
    #[command(flatten)]
    pub existing: ExistingLink,
}

/// When a write is done.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ack {
    /// When it is on disk
    Durable,
    /// When every edge has it or is blind; exit status 3 when one is
    Propagated,
}

/// `linkr link update`.
#[derive(Args)]
pub struct Update {
    /// Which link, and how.
    #[command(flatten)]
    pub existing: ExistingLink,
    /// The new target
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Whether it is disabled and answers 410; without a value: true
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_parser = ["true", "false"])]
    pub disabled: Option<String>,
    /// Its other fields.
    #[command(flatten)]
    pub changes: Changes,
    /// A target that is a short link itself is replaced by what that leads to, instead of being refused
    #[arg(long)]
    pub flatten: bool,
    /// Fields to set back to their defaults
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "FIELD", value_parser = clearable())]
    pub clear: Vec<String>,
}

/// `linkr link explain`: of an admin listener, or with `at` of control.
#[derive(Args)]
pub struct Explain {
    /// The code, or the whole address of a link; a query may stand after it
    pub code: String,
    /// The host that it is asked under [default: that of the address, or the edge's own]
    #[arg(long, value_name = "HOST", value_parser = super::domain)]
    pub domain: Option<String>,
    /// The admin listener of the edge to ask: HOST:PORT, or a port of this machine
    #[arg(long, env = "LINKR_EDGE", default_value = "http://127.0.0.1:8082", value_name = "ADDR")]
    pub edge: String,
    /// The name of an edge that control asks, wherever that is; --edge is not used then
    #[arg(long, value_name = "NAME")]
    pub at: Option<String>,
    /// The server that is asked with --at.
    #[command(flatten)]
    pub api: Api,
}

/// Fields that may be given when a link is created and when it is changed.
#[derive(Args)]
pub struct Changes {
    /// 301, 302 (default), 303, 307 or 308; 301 and 308 need --max-age
    #[arg(long)]
    status: Option<String>,
    /// From then on it answers 410: a time with its offset such as 2030-01-31T12:00Z (Z: UTC), or so long from now such as
    /// 30d (units: s, m for minutes, h, d, w) [default: never]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expire_time: Option<FlagTime>,
    /// Where it leads once it has expired, instead of a 410 [default: as its domain says]
    #[arg(long, value_name = "URL")]
    expired_target: Option<String>,
    /// Before then it answers 404; as --expire-time [default: from the start]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<FlagTime>,
    /// Seconds that a browser may keep the redirect, at most 31536000 [default: none]
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<String>,
    /// A visitor's query: drop it, append it to the target's, or let it override that [default: as the domain says]
    #[arg(long, value_parser = ["drop", "append", "override"])]
    query: Option<String>,
    /// An edge that cannot know whether the link is current redirects (normal) or refuses (strict) [default: that of the domain]
    #[arg(long, value_parser = ["normal", "strict"])]
    class: Option<String>,
    /// What people call it, at most 512 bytes
    #[arg(long)]
    title: Option<String>,
    /// A tag, at most 64 bytes; may be given up to 32 times. An update replaces all tags by those that are given
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A note for people, at most 4096 bytes
    #[arg(long)]
    note: Option<String>,
    /// The name of the link in another system, at most 128 bytes; no two links of a domain have the same
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// For people: how often it was clicked where it was before
    #[arg(long, value_name = "COUNT")]
    imported_clicks: Option<String>,
}

impl Changes {
    /// Says of a moment that is past, and of a tag with a comma, what it does.
    ///
    /// # Errors
    /// A request that is to be repeated names a moment that is another one each time.
    pub fn check(&self, is_repeated: bool) -> Result<(), CommandFault> {
        for tag in self.tags.iter().filter(|tag| tag.contains(',')) {
            out::note(&format!(
                "--tag {tag} is one tag with a comma in it: for several, give --tag several times"
            ));
        }
        for (flag, moment, does) in [
            ("--expire-time", self.expire_time, "the link answers 410 from the start"),
            ("--not-before", self.not_before, "it holds nothing back"),
        ] {
            let Some(moment) = moment else { continue };
            if moment.is_relative && is_repeated {
                return Err(CommandFault::new(format_args!(
                    "{flag} is counted from now, and so is another moment in each request with this --request-id: give a time \
                     such as {}",
                    moment.time
                )));
            }
            if moment.is_past() {
                out::note(&format!("{flag} {} is past: {does}", moment.time));
            }
        }
        Ok(())
    }

    /// The fields that were given, by name.
    pub fn into_given(self) -> impl Iterator<Item = (&'static str, String)> {
        let text = |moment: FlagTime| moment.time.to_string();
        let tags = Some(self.tags).filter(|tags| !tags.is_empty());
        let fields = [
            ("status", self.status),
            ("expire_time", self.expire_time.map(text)),
            ("expired_target", self.expired_target),
            ("not_before", self.not_before.map(text)),
            ("max_age", self.max_age),
            ("query", self.query),
            ("class", self.class),
            ("title", self.title),
            ("tags", tags.map(|tags| serde_json::Value::from(tags).to_string())),
            ("note", self.note),
            ("external_id", self.external_id),
            ("imported_clicks", self.imported_clicks),
        ];
        fields.into_iter().filter_map(|(field, text)| text.map(|text| (field, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: Changes,
    }

    /// A field of the API that no flag sets is one that people of the CLI do not have.
    #[test]
    fn every_field_that_can_be_set_has_a_flag_that_is_given_on() {
        let flags = settable("linkr.v1.Link").into_iter();
        // `link update` has the target and `--disable`.
        for field in flags.filter(|field| !matches!(*field, "target" | "disabled")) {
            let flag =
                format!("--{}", if field == "tags" { "tag".to_owned() } else { field.replace('_', "-") });
            let takes = |text: &str| Line::try_parse_from(["link", &flag, text]).ok();
            let line = ["7", "append", "normal", "30d"].into_iter().find_map(takes);
            let line = line.unwrap_or_else(|| panic!("{flag} is not there"));
            assert_eq!(line.changes.into_given().map(|(name, _)| name).collect::<Vec<_>>(), [field]);
        }
    }
}
