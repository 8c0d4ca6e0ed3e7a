//! Which code each request asks for, and what must come back. Streams are seeded: the same seed, the same requests.

use services::Random;
use std::collections::HashMap;
use std::sync::Arc;

/// What must come back for a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// A redirect (300–399) to exactly these bytes.
    To(Box<str>),
    /// 404 or 410, without a `Location`.
    Nothing,
    /// Any answer below 500: nothing is known of this code.
    Anything,
}

/// A code and what must come back.
#[derive(Clone, Debug)]
pub struct Key {
    /// Without the leading slash.
    pub code: Box<str>,
    pub expect: Expectation,
}

/// The distribution that keys are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// By rank: key *r* comes up in proportion to 1 ÷ rᵉ. Ranks are dealt to the keys by the seed.
    Zipf(f64),
    /// All alike.
    Even,
    /// In the order of the file, again from the start at its end.
    Order,
}

/// Everything that requests are made from, shared by all threads.
#[derive(Debug)]
pub struct Keys {
    keys: Vec<Key>,
    cumulated: Vec<f64>,
    draw: Distribution,
    hot: f64,
    unknown: f64,
}

impl Keys {
    /// `hot`: this part of the requests asks for one key; `unknown`: this part for codes that do not exist.
    ///
    /// # Errors
    /// When there is nothing to ask for.
    pub fn new(
        mut keys: Vec<Key>,
        draw: Distribution,
        hot: f64,
        unknown: f64,
        seed: u64,
    ) -> Result<Arc<Self>, String> {
        if keys.is_empty() {
            return Err("there are no codes to ask for: give --links FILE or --code CODE".into());
        }
        let mut cumulated = Vec::new();
        if let Distribution::Zipf(exponent) = draw {
            let mut dice = Random::new(seed);
            for at in (1..keys.len()).rev() {
                keys.swap(at, dice.below(at + 1));
            }
            let mut sum = 0.0;
            cumulated = (1..=keys.len()).map(|rank| (sum += (rank as f64).powf(-exponent), sum).1).collect();
        }
        Ok(Arc::new(Self { keys, cumulated, draw, hot, unknown }))
    }

    /// The key with this number.
    pub fn get(&self, at: u32) -> &Key {
        &self.keys[at as usize]
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

/// The code that one request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedCode {
    /// This key.
    Known(u32),
    /// A code that does not exist, made from this number.
    Unknown(u64),
}

/// The codes that one thread asks for, one after the other.
pub struct KeyStream {
    keys: Arc<Keys>,
    dice: Random,
    next: usize,
    step: usize,
}

impl KeyStream {
    /// The stream of thread `at` of `of`.
    pub fn new(keys: Arc<Keys>, seed: u64, at: usize, of: usize) -> Self {
        Self { keys, dice: Random::of(seed, at as u64 + 1), next: at, step: of }
    }

    /// The keys behind it.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The next request.
    pub fn draw(&mut self) -> RequestedCode {
        let keys = &*self.keys;
        if keys.unknown > 0.0 && self.dice.unit() < keys.unknown {
            return RequestedCode::Unknown(self.dice.next());
        }
        if keys.hot > 0.0 && self.dice.unit() < keys.hot {
            return RequestedCode::Known(0);
        }
        let at = match keys.draw {
            Distribution::Zipf(_) => {
                let point = self.dice.unit() * keys.cumulated[keys.cumulated.len() - 1];
                keys.cumulated.partition_point(|&sum| sum < point).min(keys.len() - 1)
            }
            Distribution::Even => self.dice.below(keys.len()),
            Distribution::Order => {
                let at = self.next % keys.len();
                self.next += self.step;
                at
            }
        };
        RequestedCode::Known(at as u32) // at most some million keys
    }
}

/// Reads links from a CSV file: `code` and one of `location` (what must come back; empty: 404) or `target` (which must
/// be plain ASCII to be comparable; others are asked for and not compared).
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read_links(path: &str) -> Result<Vec<Key>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("cannot read links from {path}: {why}");
    let mut reader = csv::Reader::from_path(path).map_err(|fault| wrong(&fault))?;
    let headers = reader.headers().map_err(|fault| wrong(&fault))?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let code = column("code").ok_or_else(|| wrong(&"it has no column 'code'"))?;
    let (location, target) = (column("location"), column("target"));
    let mut keys = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|fault| wrong(&fault))?;
        let expect = match (location.and_then(|at| row.get(at)), target.and_then(|at| row.get(at))) {
            (Some(""), _) => Expectation::Nothing,
            (Some(location), _) => Expectation::To(location.into()),
            (None, Some(target)) if target.bytes().all(|b| (0x21..=0x7e).contains(&b)) => {
                Expectation::To(target.into())
            }
            _ => Expectation::Anything,
        };
        keys.push(Key { code: row.get(code).unwrap_or_default().into(), expect });
    }
    Ok(keys)
}

/// Reads a click file, `unix_time,code` in time order, as the numbers of known keys; a code that is not among them is
/// added with nothing known.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read_clicks(path: &str, keys: &mut Vec<Key>) -> Result<Vec<(f64, u32)>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("cannot read clicks from {path}: {why}");
    let mut known: HashMap<Box<str>, u32> =
        keys.iter().enumerate().map(|(at, key)| (key.code.clone(), at as u32)).collect();
    let mut reader = csv::Reader::from_path(path).map_err(|fault| wrong(&fault))?;
    let mut clicks = Vec::new();
    for row in reader.deserialize::<(f64, Box<str>)>() {
        let (time, code) = row.map_err(|fault| wrong(&fault))?;
        let at = *known.entry(code.clone()).or_insert_with(|| {
            keys.push(Key { code, expect: Expectation::Anything });
            keys.len() as u32 - 1
        });
        clicks.push((time, at));
    }
    Ok(clicks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize, draw: Distribution, hot: f64, unknown: f64) -> Arc<Keys> {
        let keys =
            (0..count).map(|n| Key { code: n.to_string().into(), expect: Expectation::Anything }).collect();
        Keys::new(keys, draw, hot, unknown, 7).unwrap()
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed| {
            let mut stream = KeyStream::new(keys(100, Distribution::Zipf(0.99), 0.1, 0.1), seed, 0, 1);
            (0..100).map(|_| stream.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn parts_are_as_asked() {
        let mut stream = KeyStream::new(keys(1000, Distribution::Even, 0.74, 0.10), 3, 0, 1);
        let asks: Vec<_> = (0..100_000).map(|_| stream.draw()).collect();
        let unknown = asks.iter().filter(|ask| matches!(ask, RequestedCode::Unknown(_))).count();
        let hot = asks.iter().filter(|ask| **ask == RequestedCode::Known(0)).count();
        assert!((9_500..10_500).contains(&unknown), "{unknown}");
        assert!((65_500..68_000).contains(&hot), "{hot}: 74 % of the known");
    }

    #[test]
    fn zipf_gives_each_rank_its_part() {
        let mut stream = KeyStream::new(keys(1000, Distribution::Zipf(1.0), 0.0, 0.0), 3, 0, 1);
        let mut counts = vec![0u32; 1000];
        for _ in 0..200_000 {
            let RequestedCode::Known(at) = stream.draw() else { panic!() };
            counts[at as usize] += 1;
        }
        let sum: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 10] {
            let (have, want) = (f64::from(counts[rank - 1]), 200_000.0 / rank as f64 / sum);
            assert!((have / want - 1.0).abs() < 0.05, "rank {rank}: {have}, not {want}");
        }
    }

    #[test]
    fn threads_share_the_order() {
        let keys = keys(5, Distribution::Order, 0.0, 0.0);
        let draw = |at| {
            let mut stream = KeyStream::new(Arc::clone(&keys), 1, at, 2);
            (0..3).map(|_| stream.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), [RequestedCode::Known(0), RequestedCode::Known(2), RequestedCode::Known(4)]);
        assert_eq!(draw(1), [RequestedCode::Known(1), RequestedCode::Known(3), RequestedCode::Known(0)]);
    }
}
