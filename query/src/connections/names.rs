//! Interfaces with their workloads, and objects: each held once, known by a number.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fold::Fold;

/// Columns of `vpc_flow` that describe the interface which logged a record.
/// A query that does not ask for one of them does not read it.
pub const WORKLOAD: &[&str] = &[
    "account_id",
    "region",
    "vpc_id",
    "subnet_id",
    "instance_id",
    "ecs_cluster_name",
    "ecs_service_name",
    "ecs_task_definition_arn",
    "ecs_task_id",
];

/// An interface with its workload.
#[derive(Debug)]
pub struct Who {
    /// The same for every workload that the interface had.
    pub interface: u32,
    /// Its id.
    pub interface_id: Option<Box<str>>,
    /// Values of [`WORKLOAD`].
    pub workload: Vec<Option<Box<str>>>,
}

/// All names of one query.
#[derive(Debug, Default)]
pub struct Names(Mutex<Inner>);

/// The names themselves.
#[derive(Debug, Default)]
pub struct Inner {
    whos: Vec<Who>,
    who_of: HashMap<Box<[u8]>, u32, Fold>,
    interfaces: HashMap<Option<Box<str>>, u32>,
    sources: Vec<Box<str>>,
    source_of: HashMap<Box<str>, u32>,
    bytes: usize,
}

impl Names {
    /// All names, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Number of the interface and workload behind `key`, which tells them apart.
    pub fn who(
        &mut self,
        key: &[u8],
        make: impl FnOnce() -> (Option<Box<str>>, Vec<Option<Box<str>>>),
    ) -> u32 {
        if let Some(&number) = self.who_of.get(key) {
            return number;
        }
        let (interface_id, workload) = make();
        let next = self.interfaces.len() as u32;
        let interface = *self.interfaces.entry(interface_id.clone()).or_insert(next);
        let number = self.whos.len() as u32;
        // The key holds all of the text; with it again in `Who`, and the tables' own.
        self.bytes += 2 * key.len() + 300;
        self.who_of.insert(key.into(), number);
        self.whos.push(Who {
            interface,
            interface_id,
            workload,
        });
        number
    }

    /// Number of an object.
    pub fn source(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.source_of.get(name) {
            return number;
        }
        let number = self.sources.len() as u32;
        self.bytes += 2 * name.len() + 64;
        self.sources.push(name.into());
        self.source_of.insert(name.into(), number);
        number
    }

    /// The interface and workload of a number.
    pub fn who_at(&self, number: u32) -> Option<&Who> {
        self.whos.get(number as usize)
    }

    /// The object of a number.
    pub fn source_at(&self, number: u32) -> Option<&str> {
        self.sources.get(number as usize).map(|name| &**name)
    }

    /// Id of an interface by its own number, for lists of interfaces.
    pub fn interface_of(&self, who: u32) -> Option<&str> {
        self.who_at(who).and_then(|who| who.interface_id.as_deref())
    }

    /// About how much memory the names take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
