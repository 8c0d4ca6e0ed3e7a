//! Pages in a browser under `/ui`: HTML from the server, over the calls of REST and with no right of its own. No store, no
//! table of keys and no socket is known here.

mod answer;
mod api;
mod arrival;
mod asked;
mod assets;
mod cookies;
mod fields;
mod form;
mod frame;
mod gzip;
mod link_files;
mod merge;
mod pages;
mod rights;
mod sessions;
mod show;
mod sign_in;
mod site;
mod visit;

pub use api::Api;
pub use arrival::Arrival;
pub use link_files::{
    ExportForm, LinkFile, LinkFileForms, LinkFiles, LinkRow, LinkRows, RejectedRow, RowFault,
};
pub use rights::{KeyRights, Rights};
pub use sessions::SignInTickets;
pub use site::Site;
