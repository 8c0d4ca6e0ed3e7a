//! x
use clap::Args; #[derive(Args)] pub struct Bulk {} impl Bulk { pub async fn run(self)->Result<bool,String>{Ok(true)} }
