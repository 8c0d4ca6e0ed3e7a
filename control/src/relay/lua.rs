//! What runs inside Redis. The scripts say in Lua what `feed::relay` says with `may_run`; a test holds them together.
//!
//! Numbers are compared byte by byte: Lua's own end at 2⁵³, and its `<` on strings goes by the server's locale. EVAL
//! sends the text each time, which is less than a change is: no script has to be loaded, on no node of a cluster, before
//! it runs.

use super::client::Connection;
use bytes::Bytes;
use feed::relay::{Offer, Script, ScriptOutcome, Shard, position_key};
use redis::{Cmd, RedisResult, Value, from_redis_value};

/// Values live for 7 days, as the log does; positions for ever.
const TTL_MS: u64 = 7 * 24 * 3_600_000;

/// The position, empty for none, and the server's memory policy.
const LOOK: &str = "
local at = redis.pcall('GET', KEYS[1])
local info = redis.pcall('INFO', 'memory')
return {type(at) == 'string' and at or '',
        type(info) == 'string' and info:match('maxmemory_policy:([%w-]+)') or ''}";

/// KEYS: any. Which commands of the other scripts this user may not use there (Redis 7), and what the server says of its memory.
const SURVEY: &str = "
local forbidden = {}
local function needs(...)
  if redis.acl_check_cmd and not redis.acl_check_cmd(...) then table.insert(forbidden, (...)) end
end
needs('GET', KEYS[1]) needs('SET', KEYS[1], '') needs('UNLINK', KEYS[1]) needs('INFO', 'memory')
local info = redis.pcall('INFO', 'memory')
return {table.concat(forbidden, ' '), type(info) == 'string' and info or ''}";

/// KEYS: position, names. ARGV: expected (empty for none), new, lifetime, values (empty to remove).
const CARRY: &str = "
local at = redis.pcall('GET', KEYS[1])
if (type(at) == 'string' and at or '') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  if ARGV[i + 2] == '' then redis.call('UNLINK', KEYS[i])
  else redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[3]) end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// KEYS: position, names. ARGV: epoch, copy, lifetime, values. Returns how many were taken.
const OFFER: &str = "
local function older(a, b)
  for i = 1, 8 do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return false
end
local at = redis.pcall('GET', KEYS[1])
if type(at) ~= 'string' or #at ~= 32 or at:sub(1, 8) ~= ARGV[1] or at:sub(25, 32) ~= ARGV[2] then return 0 end
local seq, taken = at:sub(9, 16), 0
for i = 2, #KEYS do
  local value = ARGV[i + 2]
  local held = redis.pcall('GET', KEYS[i])
  local newer = type(held) ~= 'string' or #held < 8 or older(held, value)
  if newer and not older(value, seq) then
    redis.call('SET', KEYS[i], value, 'PX', ARGV[3])
    taken = taken + 1
  end
end
return taken";

/// The stored position and the memory policy, each `None` if there is none to be had.
pub async fn look(redis: &mut Connection, shard: Shard) -> RedisResult<(Option<Bytes>, Option<String>)> {
    let (at, policy): (Vec<u8>, String) = ask(redis, &eval(LOOK, shard, &[], &[])).await?;
    Ok((
        Some(at.into()).filter(|at: &Bytes| !at.is_empty()),
        Some(policy).filter(|policy| !policy.is_empty()),
    ))
}

/// The commands that this user may not use on a key, and what the server says of its memory.
pub async fn survey(redis: &mut Connection, key: &str) -> RedisResult<(String, String)> {
    let mut command = redis::cmd("EVAL");
    command.arg(SURVEY).arg(1).arg(key);
    ask(redis, &command).await
}

/// Runs a script of the relay.
pub async fn carry(redis: &mut Connection, shard: Shard, script: &Script) -> RedisResult<ScriptOutcome> {
    let names: Vec<&[u8]> = script.puts.iter().map(|put| &put.name[..]).collect();
    let (expected, new) = (script.expected.as_deref().unwrap_or_default(), script.new.encode());
    let lifetime = TTL_MS.to_string();
    let mut words = vec![expected, &new, lifetime.as_bytes()];
    words.extend(script.puts.iter().map(|put| put.value.as_deref().unwrap_or_default()));
    let moved: bool = ask(redis, &eval(CARRY, shard, &names, &words)).await?;
    Ok(if moved { ScriptOutcome::Moved } else { ScriptOutcome::Refused })
}

/// Makes offers, all to one copy; returns how many were taken.
pub async fn offer(redis: &mut Connection, shard: Shard, offers: &[Offer]) -> RedisResult<u64> {
    let Some(first) = offers.first() else { return Ok(0) };
    let names: Vec<&[u8]> = offers.iter().map(|offer| &offer.put.name[..]).collect();
    let epoch = [first.epoch.counter.to_be_bytes(), first.epoch.random.to_be_bytes()].concat();
    let (copy, lifetime) = (first.copy.to_be_bytes(), TTL_MS.to_string());
    let mut words = vec![&epoch[..], &copy, lifetime.as_bytes()];
    words.extend(offers.iter().map(|offer| offer.put.value.as_deref().unwrap_or_default()));
    ask(redis, &eval(OFFER, shard, &names, &words)).await
}

fn eval(script: &str, shard: Shard, names: &[&[u8]], words: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(1 + names.len()).arg(&position_key(shard)[..]).arg(names).arg(words);
    command
}

/// What a command is answered with.
pub async fn ask<T: redis::FromRedisValue>(redis: &mut Connection, command: &Cmd) -> RedisResult<T> {
    let reply: Value = redis.req_packed_command(command).await?.extract_error()?;
    Ok(from_redis_value(reply)?)
}

#[cfg(test)]
#[path = "lua_tests.rs"]
mod tests;
