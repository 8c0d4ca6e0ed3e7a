//! Answers that are many messages, made one after the other at the pace of whoever takes them.

use crate::Fault;

/// Where they come from.
pub trait MessageSource: Send + 'static {
    /// One of them.
    type Message: Send + 'static;

    /// The next one, once there is one; `None` at the end. Nothing is read ahead of it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Message>, Fault>> + Send;
}
