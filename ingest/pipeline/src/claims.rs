//! Which objects a batch reads, so that no two deliveries of one content are read.
//!
//! A notice can come twice, a bucket can be listed while a queue announces its
//! objects, and what was replaced is read by every notice of its key.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use trailhound_ingest::error::Error;
use trailhound_lake::State;

/// An object's name and version.
pub type Content = (Arc<str>, String);

/// Who has a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had it: it is the caller's to read.
    Ours,
    /// It is in the lake, or certain to be.
    Taken,
    /// Another delivery of the same batch.
    Twin,
    /// A batch of another source, which may still fail.
    Elsewhere,
}

/// The claims of one batch. They end with it.
#[derive(Debug)]
pub struct Claims {
    state: Arc<State>,
    held: Mutex<HashSet<Content>>,
}

impl Claims {
    /// None yet.
    pub fn new(state: &Arc<State>) -> Self {
        Claims {
            state: Arc::clone(state),
            held: Mutex::default(),
        }
    }

    /// Asks for a content.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn claim(&self, name: &Arc<str>, version: &str) -> Result<Claim, Error> {
        let content = (Arc::clone(name), version.to_owned());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&content) {
            return Ok(Claim::Twin);
        }
        // Claimed first and looked up then: who lets go of a claim has taken it before.
        if !self.state.claim(name, version) {
            return Ok(Claim::Elsewhere);
        }
        let is_taken = self.state.is_taken(name, version);
        if let Ok(false) = is_taken {
            held.insert(content);
            return Ok(Claim::Ours);
        }
        self.state.release(name, version);
        is_taken.map(|_| Claim::Taken)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (name, version) in held.drain() {
            self.state.release(&name, &version);
        }
    }
}
