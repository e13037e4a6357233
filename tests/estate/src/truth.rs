//! What is true: who had which address when, and which attacks there are.
//!
//! One JSON object a line in `truth.jsonl`, told apart by `kind`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Name of the file in the estate's folder.
pub const FILE: &str = "truth.jsonl";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The first line: what was generated.
    Estate(Estate),
    /// A service, or a family of batch tasks.
    Workload(WorkloadTruth),
    /// Who had an address.
    Owner(Owner),
    /// An attack that was put in.
    Attack(Attack),
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estate {
    /// First second.
    pub start: i64,
    /// Second after the last.
    pub end: i64,
    /// From here on there may be attacks.
    pub attacks_from: i64,
    /// ECS services.
    pub services: u32,
    /// Seconds of an aggregation window.
    pub aggregation: i64,
    /// Seed.
    pub seed: u64,
    /// Account of everything.
    pub account: String,
}

/// A service, or a family of batch tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadTruth {
    /// Its name, also the family of its task definitions.
    pub name: String,
    /// False for families whose tasks no service starts.
    pub service: bool,
    /// `awsvpc` or `bridge`.
    pub mode: String,
    /// What it is for.
    pub role: String,
    /// Whether it handles card data.
    pub cde: bool,
}

/// Who had an address, from and to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The interface.
    pub interface: String,
    /// Its private address.
    pub address: String,
    /// Its IPv6 address, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address6: Option<String>,
    /// First second.
    pub from: i64,
    /// Last second, or none if it is still there at the end.
    pub to: Option<i64>,
    /// `task`, `instance`, `load_balancer`, `nat`, `database`, `cache` or `endpoint`.
    pub owner: String,
    /// The workload, of a task's interface.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workload: Option<String>,
    /// Whether that is a service; tasks of jobs have none.
    #[serde(default)]
    pub service: bool,
    /// Task id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task: Option<String>,
    /// Task definition with its revision.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task_definition: Option<String>,
}

impl Owner {
    /// All addresses of the interface.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        [Some(&self.address), self.address6.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

/// An attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attack {
    /// The detection that is to catch it.
    pub rule: String,
    /// 1 is weak, 3 strong.
    pub strength: u8,
    /// Which of several of the same rule and strength, such as `period 60 s, jitter 10%`.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub variant: String,
    /// First and last second.
    pub from: i64,
    /// Last second.
    pub to: i64,
    /// The workload that it comes from, or that it hits if it comes from outside.
    pub workload: String,
    /// Everything an alert could name as its entity: workloads, tasks,
    /// interfaces, addresses of both ends.
    pub entities: Vec<String>,
    /// In words.
    pub detail: String,
}

/// Writes the lines one by one.
pub(crate) struct Writer(BufWriter<File>);

impl Writer {
    pub fn create(folder: &Path) -> Result<Writer> {
        let path = folder.join(FILE);
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Writer(BufWriter::new(file)))
    }

    pub fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")?;
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        self.0.flush().context("writing the truth")
    }
}

/// The file, read.
#[derive(Debug)]
pub struct Truth {
    /// What was generated.
    pub estate: Estate,
    /// Services and families.
    pub workloads: Vec<WorkloadTruth>,
    /// All owners, in the file's order.
    pub owners: Vec<Owner>,
    /// All attacks.
    pub attacks: Vec<Attack>,
    by_address: HashMap<String, Vec<usize>>,
}

impl Truth {
    /// Reads the truth of the estate in `folder`.
    ///
    /// # Errors
    /// The file is not there, or not one that this program wrote.
    pub fn read(folder: &Path) -> Result<Truth> {
        let path = folder.join(FILE);
        let file = File::open(&path).with_context(|| {
            format!(
                "opening {}: is this the folder of `estate generate`?",
                path.display()
            )
        })?;
        let mut estate = None;
        let (mut workloads, mut owners, mut attacks) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.with_context(|| format!("reading {}", path.display()))?;
            let line = serde_json::from_str(&line)
                .with_context(|| format!("reading line {} of {}", number + 1, path.display()))?;
            match line {
                Line::Estate(found) => estate = Some(found),
                Line::Workload(workload) => workloads.push(workload),
                Line::Owner(owner) => owners.push(owner),
                Line::Attack(attack) => attacks.push(attack),
            }
        }
        let estate = estate.with_context(|| format!("{} has no line about the estate", path.display()))?;
        let mut by_address: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, owner) in owners.iter().enumerate() {
            for address in owner.addresses() {
                by_address.entry(address.to_owned()).or_default().push(index);
            }
        }
        for known in by_address.values_mut() {
            known.sort_by_key(|&index| owners[index].from);
        }
        Ok(Truth {
            estate,
            workloads,
            owners,
            attacks,
            by_address,
        })
    }

    /// Who had `address` at `time`, seconds since the epoch.
    pub fn owner(&self, address: &str, time: i64) -> Option<&Owner> {
        let known = self.by_address.get(address)?;
        let after = known.partition_point(|&index| self.owners[index].from <= time);
        let owner = &self.owners[known[after.checked_sub(1)?]];
        owner.to.is_none_or(|to| time <= to).then_some(owner)
    }

    /// How many different interfaces had an address, most first.
    pub fn reuse(&self) -> Vec<(&str, usize)> {
        let mut reuse: Vec<_> = self
            .by_address
            .iter()
            .map(|(address, owners)| (address.as_str(), owners.len()))
            .collect();
        reuse.sort_by_key(|(address, owners)| (usize::MAX - owners, *address));
        reuse
    }
}
