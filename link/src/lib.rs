//! What a link is: its code, its target, how it redirects, how it changes. No I/O, no clock, no randomness here.

#![warn(missing_docs)]

mod change;
mod code;
mod domain;
mod endings;
mod files;
mod host;
mod key;
mod letters;
mod links;
mod placeholders;
mod position;
mod redirect;
pub mod rule;
mod target;

pub use change::{Change, ChangeKind, LinkIdentity, LinkState, VersionedState};
pub use code::{Alphabet, Code, CodeFault, asked, generated, in_path, is_code, is_reserved};
pub use domain::{Domain, DomainFault, DomainId, DomainRules, Stats, compared};
pub use endings::Endings;
pub use files::{File, Files, FilesFault};
pub use host::TargetHost;
pub use key::{Key, KeyFault};
pub use letters::{folded, normal};
pub use links::{Class, Link, LinkFault, LinkParts, LinkRef, LinkTerms, QueryPolicy, Status};
pub use placeholders::{PlaceholderFault, Visit, fill, placeholders};
pub use position::{Epoch, Position, Seq};
pub use redirect::{Redirect, Resolution, VisitorRequest, redirect};
#[cfg(feature = "given")]
pub use target::more_scheme;
#[cfg(feature = "given")]
pub use target::{Destination, read_host};
pub use target::{MAX_TARGET, Target, TargetFault, misleads};
