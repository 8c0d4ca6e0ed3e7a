//! x
use clap::Args; #[derive(Args)] pub struct Storm {} impl Storm { pub async fn run(self)->Result<bool,String>{Ok(true)} }
