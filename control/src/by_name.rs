//! Things that all who use one name share, for as long as one of them is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Such things by their names.
#[derive(Debug)]
pub struct ByName<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> ByName<T> {
    /// The one of this name, made if nobody has it.
    pub fn of(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(name).and_then(Weak::upgrade) {
            return there;
        }
        all.retain(|_, other| other.strong_count() > 0);
        let made = Arc::new(make());
        all.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// Names that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
