//! What every store of clicks must do, mounted over each of them: a real SQLite file, and a real PostgreSQL where there is one.

mod contract;
mod copies;
mod deleting;
mod forgetting;
mod kills;
mod lists;
mod reclassify;
mod size;
mod summed;
mod world;
