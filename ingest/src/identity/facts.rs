//! Claims joined by what they are about. Joining is the same in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::HashMap;

use super::claim::{About, Claim, Field, Seen};
use super::flow::{NEITHER, PAIR};

/// A value and how far it is to be believed. Of two, the better believed stays; of
/// two alike the lesser, so that order makes no difference.
#[derive(Debug, Clone, Default)]
pub(super) struct Best(Option<(u8, Arc<str>)>);

impl Best {
    fn offer(&mut self, rank: u8, value: Option<&str>) {
        let Some(value) = value else { return };
        let better = match &self.0 {
            None => true,
            Some((known, _)) if rank != *known => rank > *known,
            Some((_, text)) => value < &**text,
        };
        if better {
            self.0 = Some((rank, value.into()));
        }
    }

    /// The value.
    pub fn get(&self) -> Option<&Arc<str>> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// The value as text.
    pub fn text(&self) -> Option<&str> {
        self.get().map(|value| &**value)
    }
}

/// When something was, by all claims about it, and the record that proves it first.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    /// Earliest beginning that a record tells.
    pub valid_from: Option<i64>,
    /// Latest end that a record tells.
    pub valid_to: Option<i64>,
    /// Sightings; None before the first.
    pub seen: Option<Seen>,
}

impl Span {
    fn join<T>(&mut self, claim: &Claim<T>, seen: &Seen) {
        self.join_from(claim.valid_from, seen);
        self.valid_to = self.valid_to.max(claim.valid_to);
    }

    /// Joins a claim that tells no end of it.
    fn join_from(&mut self, valid_from: Option<i64>, seen: &Seen) {
        self.valid_from = self.valid_from.into_iter().chain(valid_from).min();
        self.see(seen);
    }

    fn see(&mut self, seen: &Seen) {
        match &mut self.seen {
            Some(known) => known.join(seen),
            None => self.seen = Some(seen.clone()),
        }
    }

    /// First and last sighting.
    pub fn range(&self) -> Option<(i64, i64)> {
        self.seen.as_ref().map(|seen| (seen.first, seen.last))
    }
}

/// What is known of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskFacts {
    pub account: Best,
    pub region: Best,
    pub cluster: Best,
    pub service: Best,
    pub definition: Best,
    pub role: Best,
    pub launch_type: Best,
    pub container_instance: Best,
    pub images: BTreeSet<Arc<str>>,
    pub digests: BTreeSet<Arc<str>>,
    pub containers: BTreeSet<Arc<str>>,
    pub interfaces: BTreeSet<Arc<str>>,
    pub methods: BTreeSet<Arc<str>>,
    pub span: Span,
}

/// What is known of an interface.
#[derive(Debug, Clone, Default)]
pub(super) struct InterfaceFacts {
    pub account: Best,
    pub region: Best,
    pub vpc: Best,
    pub subnet: Best,
    pub kind: Best,
    pub resource: Best,
    /// Sightings with each owner: a task or an instance.
    pub tasks: BTreeMap<Arc<str>, Span>,
    pub instances: BTreeMap<Arc<str>, Span>,
    /// Addresses that records prove.
    pub addresses: BTreeMap<IpAddr, Span>,
    /// Addresses that all pairs of flow records have in common, for IPv4 and IPv6.
    pub candidates: [Option<BTreeSet<IpAddr>>; 2],
    pub public: BTreeSet<IpAddr>,
    pub methods: BTreeSet<Arc<str>>,
    pub span: Span,
}

/// What is known of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionFacts {
    pub account: Best,
    pub role: Best,
    pub name: Best,
    pub delivery: Best,
    pub issuers: BTreeSet<Arc<str>>,
    pub methods: BTreeSet<Arc<str>>,
    pub span: Span,
}

/// What is known of a public address of the account.
#[derive(Debug, Clone, Default)]
pub(super) struct PublicFacts {
    pub account: Best,
    pub region: Best,
    pub resource: Best,
    pub kind: Best,
    pub interface: Best,
    pub instance: Best,
    pub methods: BTreeSet<Arc<str>>,
    pub span: Span,
}

/// A session: its access key, or account, role and name where no record has the key.
pub(super) type SessionKey = [Option<Arc<str>>; 4];

/// The key of a session.
pub(super) fn session_key(
    key: Option<&str>,
    account: Option<&str>,
    role: Option<&str>,
    name: Option<&str>,
) -> SessionKey {
    match key {
        Some(key) => [Some(key.into()), None, None, None],
        None => [
            None,
            account.map(Arc::from),
            role.map(Arc::from),
            name.map(Arc::from),
        ],
    }
}

/// All claims, joined.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub tasks: HashMap<Arc<str>, TaskFacts>,
    pub interfaces: HashMap<Arc<str>, InterfaceFacts>,
    pub sessions: HashMap<SessionKey, SessionFacts>,
    pub public: BTreeMap<IpAddr, PublicFacts>,
    /// Public address of each allocation.
    pub allocations: HashMap<Arc<str>, Best>,
    /// Claims that name a public address by its allocation only.
    pub by_allocation: Vec<(Claim, Seen)>,
    /// Role of each task definition.
    pub roles: HashMap<Arc<str>, Best>,
    /// EC2 instance of each container instance.
    pub container_instances: HashMap<Arc<str>, Best>,
    /// VPC of each subnet.
    pub subnets: HashMap<Arc<str>, Best>,
}

/// How far a claim of this method is to be believed over others.
fn rank(method: &str) -> u8 {
    match method {
        "ecs_event" => 4,
        "inventory" => 1,
        method if method.starts_with("cloudtrail") => 3,
        _ => 2,
    }
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text.and_then(|text| text.parse().ok())
}

/// The name under which a task's interface goes if no record names the interface.
pub(super) fn nameless(task: &str) -> Arc<str> {
    format!("task/{task}").into()
}

impl Facts {
    /// Joins all that were added. Order matters to nobody: joining commutes.
    pub fn joined(mut self) -> Facts {
        // Only now are all allocations known.
        for (claim, seen) in std::mem::take(&mut self.by_allocation) {
            let allocation = claim
                .text(Field::Allocation)
                .and_then(|id| self.allocations.get(id));
            if let Some(address) = address(allocation.and_then(Best::text)) {
                self.public(address, &claim, &seen);
            }
        }
        self
    }

    /// Adds a claim.
    pub fn add<T: AsRef<str>>(&mut self, claim: &Claim<T>, seen: &Seen) {
        let rank = rank(claim.method.as_ref());
        if let (Some(subnet), Some(vpc)) = (claim.text(Field::Subnet), claim.text(Field::Vpc)) {
            entry(&mut self.subnets, subnet).offer(rank, Some(vpc));
        }
        match claim.about {
            About::Task => self.task(claim, seen),
            About::Interface => self.interface(claim, seen),
            About::Address => {
                let public = address(claim.text(Field::PublicAddress));
                match (public, claim.text(Field::Allocation)) {
                    (Some(address), allocation) => {
                        if let Some(allocation) = allocation {
                            let known = entry(&mut self.allocations, allocation);
                            known.offer(rank, claim.text(Field::PublicAddress));
                        }
                        self.public(address, claim, seen);
                    }
                    (None, Some(_)) => self.by_allocation.push((claim.owned(), seen.clone())),
                    (None, None) => {}
                }
            }
            About::Session => self.session(claim, seen),
            About::Definition => {
                if let Some(definition) = claim.text(Field::TaskDefinition) {
                    let known = entry(&mut self.roles, definition);
                    known.offer(rank, claim.text(Field::Role));
                }
            }
            About::ContainerInstance => {
                if let Some(container_instance) = claim.text(Field::ContainerInstance) {
                    let known = entry(&mut self.container_instances, container_instance);
                    known.offer(rank, claim.text(Field::Instance));
                }
            }
        }
    }

    fn task<T: AsRef<str>>(&mut self, claim: &Claim<T>, seen: &Seen) {
        let Some(id) = claim.text(Field::Task) else { return };
        let task = entry(&mut self.tasks, id);
        let rank = rank(claim.method.as_ref());
        let offer = |best: &mut Best, field| best.offer(rank, claim.text(field));
        offer(&mut task.account, Field::Account);
        offer(&mut task.region, Field::Region);
        offer(&mut task.cluster, Field::Cluster);
        offer(&mut task.service, Field::Service);
        offer(&mut task.definition, Field::TaskDefinition);
        offer(&mut task.role, Field::Role);
        offer(&mut task.launch_type, Field::LaunchType);
        offer(&mut task.container_instance, Field::ContainerInstance);
        for (set, field) in [
            (&mut task.images, Field::Image),
            (&mut task.digests, Field::ImageDigest),
            (&mut task.containers, Field::Container),
            (&mut task.interfaces, Field::Interface),
        ] {
            add(set, claim.text(field));
        }
        add(&mut task.methods, Some(method(claim)));
        task.span.join(claim, seen);
        if let Some(interface) = claim.text(Field::Interface) {
            let interface = entry(&mut self.interfaces, interface);
            interface.account.offer(rank, claim.text(Field::Account));
            interface.region.offer(rank, claim.text(Field::Region));
            interface.subnet.offer(rank, claim.text(Field::Subnet));
            interface.tasks.entry(id.into()).or_default().see(seen);
            add(&mut interface.methods, Some(method(claim)));
            interface.span.see(seen);
        }
    }

    fn interface<T: AsRef<str>>(&mut self, claim: &Claim<T>, seen: &Seen) {
        let (id, task) = (claim.text(Field::Interface), claim.text(Field::Task));
        let id: Arc<str> = match (id, task, claim.text(Field::Address)) {
            (Some(id), ..) => id.into(),
            (None, Some(task), _) => nameless(task),
            // An inventory may know an address and no interface.
            (None, None, Some(address)) => format!("address/{address}").into(),
            (None, None, None) => return,
        };
        let rank = rank(claim.method.as_ref());
        let own = address(claim.text(Field::Address));
        let interface = entry(&mut self.interfaces, &id);
        let offer = |best: &mut Best, field| best.offer(rank, claim.text(field));
        offer(&mut interface.account, Field::Account);
        offer(&mut interface.region, Field::Region);
        offer(&mut interface.vpc, Field::Vpc);
        offer(&mut interface.subnet, Field::Subnet);
        offer(&mut interface.kind, Field::InterfaceType);
        offer(&mut interface.resource, Field::Resource);
        add(&mut interface.methods, Some(method(claim)));
        match (own, claim.valid_to) {
            // The end of an address, not of its interface.
            (Some(address), Some(_)) => {
                interface.addresses.entry(address).or_default().join(claim, seen);
                interface.span.join_from(claim.valid_from, seen);
            }
            _ => interface.span.join(claim, seen),
        }
        interface.public.extend(address(claim.text(Field::PublicAddress)));
        if let Some(instance) = claim.text(Field::Instance) {
            interface.instances.entry(instance.into()).or_default().see(seen);
        }
        match claim.method.as_ref() == PAIR {
            true => {
                let pair = [claim.text(Field::Address), claim.text(Field::OtherAddress)];
                let pair: BTreeSet<IpAddr> = pair.into_iter().filter_map(address).collect();
                for (place, candidates) in interface.candidates.iter_mut().enumerate() {
                    let family = pair.iter().filter(|address| address.is_ipv6() == (place == 1));
                    let family: BTreeSet<IpAddr> = family.copied().collect();
                    let neither = claim.text(Field::OtherAddress) == Some(NEITHER[place]);
                    if family.is_empty() && !neither {
                        continue;
                    }
                    *candidates = Some(match candidates.take() {
                        None => family,
                        Some(known) => known.intersection(&family).copied().collect(),
                    });
                }
            }
            false => {
                if let Some(address) = own {
                    interface.addresses.entry(address).or_default().join(claim, seen);
                }
            }
        }
        if let Some(task) = task {
            interface.tasks.entry(task.into()).or_default().see(seen);
            let facts = entry(&mut self.tasks, task);
            let offer = |best: &mut Best, field| best.offer(rank, claim.text(field));
            offer(&mut facts.account, Field::Account);
            offer(&mut facts.region, Field::Region);
            offer(&mut facts.cluster, Field::Cluster);
            offer(&mut facts.service, Field::Service);
            offer(&mut facts.definition, Field::TaskDefinition);
            offer(&mut facts.container_instance, Field::ContainerInstance);
            add(&mut facts.interfaces, Some(&id));
            add(&mut facts.methods, Some(method(claim)));
            facts.span.see(seen);
        }
    }

    fn session<T: AsRef<str>>(&mut self, claim: &Claim<T>, seen: &Seen) {
        let text = |field| claim.text(field);
        let key = session_key(
            text(Field::AccessKey),
            text(Field::Account),
            text(Field::Role),
            text(Field::SessionName),
        );
        let rank = rank(claim.method.as_ref());
        let session = self.sessions.entry(key).or_default();
        session.account.offer(rank, text(Field::Account));
        session.role.offer(rank, text(Field::Role));
        session.name.offer(rank, text(Field::SessionName));
        session.delivery.offer(rank, text(Field::RoleDelivery));
        add(&mut session.issuers, text(Field::IssuedBy));
        add(&mut session.methods, Some(method(claim)));
        session.span.join(claim, seen);
    }

    fn public<T: AsRef<str>>(&mut self, address: IpAddr, claim: &Claim<T>, seen: &Seen) {
        let public = self.public.entry(address).or_default();
        let rank = rank(claim.method.as_ref());
        let offer = |best: &mut Best, field| best.offer(rank, claim.text(field));
        offer(&mut public.account, Field::Account);
        offer(&mut public.region, Field::Region);
        offer(&mut public.resource, Field::Resource);
        offer(&mut public.kind, Field::InterfaceType);
        offer(&mut public.interface, Field::Interface);
        offer(&mut public.instance, Field::Instance);
        add(&mut public.methods, Some(method(claim)));
        public.span.join(claim, seen);
    }
}

/// What is known under a name. A text is made of the name only where it is new: most are not.
fn entry<'a, V: Default>(known: &'a mut HashMap<Arc<str>, V>, name: &str) -> &'a mut V {
    if !known.contains_key(name) {
        known.insert(name.into(), V::default());
    }
    known.get_mut(name).expect("it was just put there")
}

/// Adds a text to a set, if there is one.
fn add(known: &mut BTreeSet<Arc<str>>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !known.contains(*text)) {
        known.insert(text.into());
    }
}

/// The method of a claim, without what only tells how an address was found.
fn method<T: AsRef<str>>(claim: &Claim<T>) -> &str {
    match claim.method.as_ref() {
        PAIR => "vpc_flow",
        method => method,
    }
}
