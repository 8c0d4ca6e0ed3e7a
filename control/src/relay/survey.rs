//! What a Redis says of itself that matters to the copy in it. Nothing is written.

use super::RedisConfig;
use super::client::{Connection, RedisClient};
use super::lua;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

/// Any key that the copy may have.
const KEY: &str = "linkr:doctor";

/// Who asks, since they have other rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisUse {
    /// Control, which writes the copy.
    Writes,
    /// An edge, which reads it.
    Reads,
}

/// What a server said when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisSurvey {
    /// Commands that linkr needs and this user may not use.
    pub forbidden: Vec<String>,
    /// What it may take of memory; 0: all there is. `None`: this user may not know.
    pub max_memory: Option<u64>,
    /// What it does when that is full; `None`: this user may not know.
    pub policy: Option<String>,
}

/// Asks a server, or a node of a cluster. Blocks for a few seconds at most.
///
/// # Errors
/// Why it cannot be asked, in one line, without a password.
pub fn survey(config: &RedisConfig, used: RedisUse) -> Result<RedisSurvey, String> {
    let ca = config.ca.as_deref().map(proto::file::read).transpose();
    let ca = ca.map_err(|why| format!("its authorities cannot be read: {why}"))?;
    let client = RedisClient::new(&config.url, ca.map(|file| file.bytes)).map_err(|why| why.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| format!("cannot start: {why}"))?;
    let asked = runtime.block_on(async {
        let mut redis = client.connect().await?;
        match used {
            RedisUse::Writes => of_writer(&mut redis).await,
            RedisUse::Reads => of_reader(&mut redis).await,
        }
    });
    asked.map_err(|why| why.to_string())
}

async fn of_writer(redis: &mut Connection) -> RedisResult<RedisSurvey> {
    match lua::survey(redis, KEY).await {
        Ok((forbidden, info)) => {
            let field = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.map(|value| value.trim().to_owned())
            };
            Ok(RedisSurvey {
                forbidden: forbidden.split_whitespace().map(str::to_owned).collect(),
                max_memory: field("maxmemory").and_then(|bytes| bytes.parse().ok()),
                policy: field("maxmemory_policy"),
            })
        }
        Err(why) if is_forbidden(&why) => {
            Ok(RedisSurvey { forbidden: vec!["EVAL".into()], ..RedisSurvey::default() })
        }
        Err(why) => Err(why),
    }
}

async fn of_reader(redis: &mut Connection) -> RedisResult<RedisSurvey> {
    let mut command = redis::cmd("MGET");
    command.arg(KEY);
    let forbidden = match lua::ask::<Vec<Option<Vec<u8>>>>(redis, &command).await {
        Ok(_) => Vec::new(),
        Err(why) if is_forbidden(&why) => vec!["MGET".into()],
        Err(why) => return Err(why),
    };
    Ok(RedisSurvey { forbidden, ..RedisSurvey::default() })
}

fn is_forbidden(why: &RedisError) -> bool {
    why.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}
