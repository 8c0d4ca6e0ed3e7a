//! The rules by which clicks are kept, the same for every database: what is folded, packed, aged and forgotten, and how
//! questions are answered from it. No driver is named here; a database gives [`rows::ClickRows`].

mod age;
mod append;
mod ask;
mod by_link;
mod clicked;
mod delete;
mod deleting;
mod deletions;
mod fold;
mod folding;
mod four_weeks;
mod lists;
mod memory;
mod notes;
mod pack;
pub(crate) mod place;
mod raw;
mod reclassify;
pub(crate) mod rows;
mod run;
mod sums;
mod tidy;
pub(crate) mod times;
mod top;
mod unfolded;
mod unknown;
mod unsummed;
mod varint;

pub(crate) use append::append;
pub(crate) use by_link::counts;
pub(crate) use deleting::{STEPS, delete, work};
pub(crate) use folding::fold;
pub(crate) use memory::Memory;
pub(crate) use notes::{forget_edge, losses, note_until, unknown_codes, until, was_clicked};
pub(crate) use raw::{agents, end as raw_end, page as raw_page};
pub(crate) use reclassify::reclassify;
pub(crate) use tidy::tidy;
pub(crate) use top::top_links;
