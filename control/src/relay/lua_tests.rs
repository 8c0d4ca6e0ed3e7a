//! The scripts in a real Redis, held against `may_run`: the same vectors through both.

use super::super::client::{Connection, RedisClient};
use super::*;
use feed::relay::{CopyPosition, ValueWrite, value, value_key};
use link::{Epoch, Position};
use proptest::prelude::*;
use services::{Redis, ServerFault};
use std::cell::Cell;
use tokio::sync::Mutex;

/// What may lie under a name.
#[derive(Clone, Debug)]
enum RedisValue {
    Nothing,
    List,
    Bytes(Bytes),
}

impl RedisValue {
    /// As a reader of strings sees it.
    fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// Few enough for two to be equal often; around where bytes carry over and where they look negative.
fn seqs() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 126..130_u64, 254..258_u64, 32_766..32_770_u64, (1 << 47)..(1 << 47) + 2_u64]
}

fn copied() -> impl Strategy<Value = CopyPosition> {
    let epochs = (1..3_u32, 7..9_u32).prop_map(|(counter, random)| Epoch { counter, random });
    (epochs, seqs(), 0..2_u64, 0..2_u64)
        .prop_map(|(epoch, seq, tag, copy)| CopyPosition { at: Position { epoch, seq, tag }, copy })
}

fn positions() -> impl Strategy<Value = RedisValue> {
    prop_oneof![
        Just(RedisValue::Nothing),
        Just(RedisValue::List),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| RedisValue::Bytes(bytes.into())),
        copied().prop_map(|copied| RedisValue::Bytes(copied.encode())),
        copied().prop_map(|copied| RedisValue::Bytes(copied.encode())),
    ]
}

fn values() -> impl Strategy<Value = RedisValue> {
    prop_oneof![
        Just(RedisValue::Nothing),
        Just(RedisValue::List),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| RedisValue::Bytes(bytes.into())),
        seqs().prop_map(|as_of| RedisValue::Bytes(value(as_of, b"held"))),
    ]
}

async fn put(redis: &mut Connection, name: &[u8], held: &RedisValue) {
    let _: Value = ask(redis, redis::cmd("DEL").arg(name)).await.unwrap();
    let _: Value = match held {
        RedisValue::Nothing => return,
        RedisValue::List => ask(redis, redis::cmd("RPUSH").arg(name).arg("x")).await.unwrap(),
        RedisValue::Bytes(bytes) => ask(redis, redis::cmd("SET").arg(name).arg(&bytes[..])).await.unwrap(),
    };
}

/// The string under a name; `None` for none or another type.
async fn get(redis: &mut Connection, name: &[u8]) -> Option<Bytes> {
    let kind: String = ask(redis, redis::cmd("TYPE").arg(name)).await.unwrap();
    if kind != "string" {
        return None;
    }
    let bytes: Vec<u8> = ask(redis, redis::cmd("GET").arg(name)).await.unwrap();
    Some(bytes.into())
}

/// `None`: told why the test is skipped.
fn started() -> Option<(Redis, tokio::runtime::Runtime, Mutex<Connection>)> {
    let redis = match Redis::start(&[]) {
        Err(fault @ ServerFault::Missing(_)) => {
            println!("SKIPPED: {fault}");
            return None;
        }
        redis => redis.unwrap(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connection = runtime.block_on(RedisClient::new(redis.url(), None).unwrap().connect()).unwrap();
    Some((redis, runtime, Mutex::new(connection)))
}

#[test]
fn a_script_runs_when_may_run_says_so() {
    let Some((_server, runtime, redis)) = started() else { return };
    let name = value_key(Shard::ONE, 1, b"k");
    let vectors = (positions(), positions(), copied(), values(), prop::option::of(seqs()));
    proptest!(|((stored, other, new, held, put_seq) in vectors, same in any::<bool>())| {
        // Random ones would hardly ever be equal.
        let expected = if same { &stored } else { &other };
        let expected = expected.bytes().map(Bytes::copy_from_slice);
        let value = put_seq.map(|seq| value(seq, b"new"));
        // Twice under one name: the later one counts.
        let older = ValueWrite { name: name.clone(), value: Some("older".into()) };
        let script = Script { expected, new, puts: vec![older, ValueWrite { name: name.clone(), value: value.clone() }] };
        let (ran, at, found) = runtime.block_on(async {
            let mut redis = redis.lock().await;
            put(&mut redis, &position_key(Shard::ONE), &stored).await;
            put(&mut redis, &name, &held).await;
            let ran = carry(&mut redis, Shard::ONE, &script).await.unwrap();
            let looked = look(&mut redis, Shard::ONE).await.unwrap();
            prop_assert_eq!(looked.1.as_deref(), Some("noeviction"));
            Ok((ran, looked.0, get(&mut redis, &name).await))
        })?;
        if script.may_run(stored.bytes()) {
            prop_assert_eq!((ran, at, found), (ScriptOutcome::Moved, Some(new.encode()), value));
        } else {
            let stored = stored.bytes().filter(|bytes| !bytes.is_empty()).map(Bytes::copy_from_slice);
            let held = held.bytes().map(Bytes::copy_from_slice);
            prop_assert_eq!((ran, at, found), (ScriptOutcome::Refused, stored, held));
        }
    });
}

#[test]
fn an_offer_is_taken_when_may_run_says_so() {
    let Some((_server, runtime, redis)) = started() else { return };
    let vectors = (positions(), copied(), [(values(), seqs()), (values(), seqs())]);
    let taken_in_all = Cell::new(0);
    proptest!(|((stored, to, values) in vectors, same in any::<bool>())| {
        let to = match stored.bytes().and_then(CopyPosition::decode) {
            Some(copied) if same => copied,
            _ => to,
        };
        let offers: Vec<Offer> = values
            .iter()
            .zip([b"a", b"b"])
            .map(|((_, as_of), key)| Offer::new(Shard::ONE, to, *as_of, key, b"new"))
            .collect();
        let (taken, found) = runtime.block_on(async {
            let mut redis = redis.lock().await;
            put(&mut redis, &position_key(Shard::ONE), &stored).await;
            for ((held, _), made) in values.iter().zip(&offers) {
                put(&mut redis, &made.put.name, held).await;
            }
            let taken = offer(&mut redis, Shard::ONE, &offers).await.unwrap();
            let names = offers.iter().map(|offer| &offer.put.name);
            let mut found = Vec::new();
            for name in names {
                found.push(get(&mut redis, name).await);
            }
            (taken, found)
        });
        let mut want = 0;
        for (((held, _), made), found) in values.iter().zip(&offers).zip(found) {
            let may = made.may_run(stored.bytes(), held.bytes());
            want += u64::from(may);
            prop_assert_eq!(found, if may { made.put.value.clone() } else { held.bytes().map(Bytes::copy_from_slice) });
        }
        prop_assert_eq!(taken, want);
        taken_in_all.set(taken_in_all.get() + taken);
    });
    assert!(taken_in_all.get() > 20, "the vectors reach both ends: {taken_in_all:?}");
}

#[test]
fn values_have_a_lifetime_and_positions_none() {
    let Some((_server, runtime, redis)) = started() else { return };
    let new = CopyPosition { at: Position { seq: 5, ..Position::default() }, copy: 3 };
    let name = value_key(Shard::ONE, 3, b"k");
    let script = Script {
        expected: None,
        new,
        puts: vec![ValueWrite { name: name.clone(), value: Some(value(5, b"r")) }],
    };
    let offer_made = Offer::new(Shard::ONE, new, 6, b"o", b"r");
    let [carried, offered, position]: [i64; 3] = runtime.block_on(async {
        let mut redis = redis.lock().await;
        assert_eq!(carry(&mut redis, Shard::ONE, &script).await.unwrap(), ScriptOutcome::Moved);
        assert_eq!(offer(&mut redis, Shard::ONE, std::slice::from_ref(&offer_made)).await.unwrap(), 1);
        let mut left = [0; 3];
        for (left, name) in left.iter_mut().zip([&name, &offer_made.put.name, &position_key(Shard::ONE)]) {
            *left = ask(&mut redis, redis::cmd("PTTL").arg(&name[..])).await.unwrap();
        }
        left
    });
    let most = i64::try_from(TTL_MS).unwrap();
    assert!((most - 60_000..=most).contains(&carried) && (most - 60_000..=most).contains(&offered));
    assert_eq!(position, -1, "no lifetime");
}
