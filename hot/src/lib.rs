//! How a request is answered from memory: bytes in, bytes out. No socket, no runtime, no logger, no clock here.

mod answer;
mod head;
mod host;
pub mod limits;
mod outcome;
mod response;
mod scan;
mod set;

pub use answer::{Conversation, Miss, Reply, Step, Turn, answer, finish, time_out};
pub use head::{Head, Method, Parsed, Refusal, parse};
pub use outcome::{Counts, Outcome};
pub use response::{Extra, Stamp, write_redirect};
pub use set::{Absence, Fill, Found, Set, Stored};
