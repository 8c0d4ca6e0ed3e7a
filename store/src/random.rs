//! Randomness from the operating system. Nothing is decided with it here.

/// A random number.
pub fn u32() -> u32 {
    (u64() >> 32) as u32
}

/// A random number that is not 0: tags, sessions and the like use 0 for "none".
pub fn u64() -> u64 {
    loop {
        let number = u64::from_ne_bytes(bytes());
        if number != 0 {
            return number;
        }
    }
}

/// Random bytes.
///
/// # Panics
/// When the operating system has none to give, which Linux rules out after boot: a tag or a code from a weaker
/// source would break promises silently.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
