//! The ledger: who had which interface, address and session at a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::HashMap;
use arrow::array::RecordBatch;

use super::claim::from_batch;
use super::claims::Claims;
use super::entity::{Answer, Certainty, Entity, Kind, Method, is_private};
use super::facts::{Facts, InterfaceFacts, SessionKey, TaskFacts, session_key};
use super::holds::{Hold, Holds, SLACK_MICROS};

/// Interfaces are no network of addresses: all their holders are in one scope.
const ONE_SCOPE: Option<u32> = Some(u32::MAX);

/// Who had what when, made from claims.
///
/// The same claims give the same ledger, in whatever order and however often they
/// come. Times are microseconds since the epoch, UTC.
#[derive(Debug)]
pub struct Ledger {
    pub(super) facts: Facts,
    pub(super) entities: Entities,
    pub(super) tasks: HashMap<Arc<str>, Task>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) places: HashMap<Arc<str>, u32>,
    pub(super) addresses: BTreeMap<IpAddr, Holds>,
    pub(super) public: BTreeMap<IpAddr, Public>,
    /// Tasks without an interface of their own, by instance.
    shared: HashMap<Arc<str>, Vec<(i64, i64)>>,
    pub(super) sessions: HashMap<SessionKey, Answer>,
    pub(super) scopes: HashMap<Arc<str>, u32>,
}

/// Place of the entity of which nothing is known.
const NOBODY: u32 = 0;

/// What is known of many only by its kind: their places come next.
const KINDS: [Kind; 4] = [Kind::Interface, Kind::AwsService, Kind::Private, Kind::Public];

/// The entities, each once.
#[derive(Debug, Default)]
pub(super) struct Entities {
    pub all: Vec<Entity>,
    places: HashMap<Entity, u32>,
}

impl Entities {
    pub(super) fn get(&self, entity: &Entity) -> Option<u32> {
        self.places.get(entity).copied()
    }

    fn place(&mut self, entity: Entity) -> u32 {
        if let Some(&place) = self.places.get(&entity) {
            return place;
        }
        let place = self.all.len() as u32;
        self.all.push(entity.clone());
        self.places.insert(entity, place);
        place
    }

    /// The entity that is only of a kind.
    pub(super) fn of_kind(kind: Kind) -> u32 {
        let place = KINDS.iter().position(|other| *other == kind);
        place.map_or(NOBODY, |place| place as u32 + 1)
    }
}

/// Who has a public address.
#[derive(Debug, Clone, Copy)]
pub(super) enum Public {
    /// This entity.
    Entity(u32),
    /// Who has this interface.
    Interface(u32),
}

/// A task, resolved.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub entity: u32,
    /// What it shares with the other tasks of its service; 0 without a service.
    pub service: u32,
    pub role: Option<Arc<str>>,
    pub instance: Option<Arc<str>>,
    pub hold: Hold,
}

/// An interface, resolved.
#[derive(Debug, Clone, Default)]
pub(super) struct Interface {
    pub id: Arc<str>,
    pub scope: Option<u32>,
    pub addresses: BTreeSet<IpAddr>,
    /// A NAT gateway, an endpoint or a load balancer; 0 if none.
    fixed: u32,
    /// Its tasks, by their entities.
    tasks: Holds,
    /// Its instances, by the entity of the instance and of the shared instance.
    instances: Holds,
}

/// Who the two sides of a flow record were; None for a side without an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    /// The source.
    pub source: Option<Answer>,
    /// The destination.
    pub target: Option<Answer>,
}

impl Ledger {
    /// The ledger of these claims and of the rows of `identity_claims` in these batches.
    pub fn build<'a>(claims: &Claims, written: impl IntoIterator<Item = &'a RecordBatch>) -> Ledger {
        let mut facts = Facts::default();
        claims.each(|claim, seen| facts.add(claim, seen));
        for batch in written {
            from_batch(batch).for_each(|(claim, seen)| facts.add(&claim, &seen));
        }
        Ledger::of(facts.joined())
    }

    fn of(facts: Facts) -> Ledger {
        let mut ledger = Ledger {
            facts,
            entities: Entities::default(),
            tasks: HashMap::default(),
            interfaces: Vec::new(),
            places: HashMap::default(),
            addresses: BTreeMap::new(),
            public: BTreeMap::new(),
            shared: HashMap::default(),
            sessions: HashMap::default(),
            scopes: HashMap::default(),
        };
        ledger.entities.place(Entity::default());
        for kind in KINDS {
            ledger.entities.place(Entity::of_kind(kind));
        }
        for entity in super::sessions::entities(&ledger.facts) {
            ledger.entities.place(entity);
        }
        let roles = super::sessions::roles_by_ecs(&ledger.facts);
        ledger.resolve_tasks(&roles);
        ledger.resolve_interfaces();
        ledger.resolve_addresses();
        ledger.resolve_public();
        ledger.sessions = super::sessions::resolve(&ledger);
        ledger
    }

    fn resolve_tasks(&mut self, roles: &HashMap<Arc<str>, Arc<str>>) {
        let mut ids: Vec<&Arc<str>> = self.facts.tasks.keys().collect();
        ids.sort();
        for id in ids {
            let task = &self.facts.tasks[id];
            let Some((first, last)) = task.span.range() else {
                continue;
            };
            let defined = task.definition.text().and_then(|arn| self.facts.roles.get(arn));
            let role = task
                .role
                .get()
                .or(defined.and_then(|role| role.get()))
                .or(roles.get(id))
                .cloned();
            let instance = task
                .container_instance
                .text()
                .and_then(|arn| self.facts.container_instances.get(arn)?.get())
                .cloned();
            let service = Entity {
                service: task.service.get().cloned(),
                cluster: task.cluster.get().cloned(),
                ..Entity::of_kind(Kind::Task)
            };
            let entity = Entity {
                task_id: Some(Arc::clone(id)),
                task_definition: task.definition.text().and_then(family),
                image: joined(&task.images),
                role: role.clone(),
                instance_id: instance.clone(),
                ..service.clone()
            };
            let hold = Hold {
                can_from: first.min(task.span.valid_from.unwrap_or(first)),
                from: first,
                known_to: task.span.valid_to.unwrap_or(last),
                ended: task.span.valid_to.is_some(),
                can_to: task.span.valid_to.unwrap_or(i64::MAX),
                owner: self.entities.place(entity),
                scope: ONE_SCOPE,
            };
            let shared = task.interfaces.is_empty() && task.launch_type.text() != Some("FARGATE");
            if let (true, Some(instance)) = (shared, &instance) {
                let tasks = self.shared.entry(Arc::clone(instance)).or_default();
                tasks.push((hold.can_from, hold.can_to));
            }
            let service = match service.service.is_some() {
                true => self.entities.place(service),
                false => 0,
            };
            let task = Task {
                entity: hold.owner,
                service,
                role,
                instance,
                hold,
            };
            self.tasks.insert(Arc::clone(id), task);
        }
    }

    fn resolve_interfaces(&mut self) {
        let mut ids: Vec<&Arc<str>> = self.facts.interfaces.keys().collect();
        ids.sort();
        for id in ids {
            let facts = &self.facts.interfaces[id];
            let Some((first, last)) = facts.span.range() else {
                continue;
            };
            let network = facts.vpc.get().or_else(|| {
                let subnet = facts.subnet.get()?;
                self.facts
                    .subnets
                    .get(subnet)
                    .and_then(|vpc| vpc.get())
                    .or(Some(subnet))
            });
            let scope = network.map(|network| {
                let next = self.scopes.len() as u32;
                *self.scopes.entry(Arc::clone(network)).or_insert(next)
            });
            let kind = facts
                .kind
                .text()
                .and_then(Kind::of_interface)
                .or(facts.resource.text().and_then(kind_of_resource));
            let fixed = kind.map_or(0, |kind| self.entities.place(Entity::of_kind(kind)));
            let tasks: Vec<Hold> = facts
                .tasks
                .iter()
                .filter_map(|(id, span)| {
                    let mut hold = self.tasks.get(id)?.hold;
                    let (seen, last_seen) = span.range()?;
                    // Sightings of an interface that one task has are sightings of that task.
                    let (seen, last_seen) = match facts.tasks.len() {
                        1 => (seen.min(first), last_seen.max(last)),
                        _ => (seen, last_seen),
                    };
                    hold.from = seen;
                    hold.can_from = hold.can_from.min(seen);
                    hold.known_to = match hold.ended {
                        true => hold.known_to.max(last_seen),
                        false => last_seen,
                    };
                    Some(hold)
                })
                .collect();
            let instances: Vec<Hold> = facts
                .instances
                .iter()
                .filter_map(|(id, span)| {
                    let (from, known_to) = span.range()?;
                    let owner = self.entities.place(Entity {
                        instance_id: Some(Arc::clone(id)),
                        ..Entity::of_kind(Kind::Instance)
                    });
                    self.entities.place(Entity {
                        instance_id: Some(Arc::clone(id)),
                        ..Entity::of_kind(Kind::Shared)
                    });
                    Some(Hold {
                        can_from: from,
                        from,
                        known_to,
                        ended: false,
                        can_to: i64::MAX,
                        owner,
                        scope: ONE_SCOPE,
                    })
                })
                .collect();
            let interface = Interface {
                id: Arc::clone(id),
                scope,
                addresses: addresses_of(facts),
                fixed,
                tasks: Holds::new(tasks),
                instances: Holds::new(instances),
            };
            self.places.insert(Arc::clone(id), self.interfaces.len() as u32);
            self.interfaces.push(interface);
        }
    }

    fn resolve_addresses(&mut self) {
        let mut holds: BTreeMap<IpAddr, Vec<Hold>> = BTreeMap::new();
        for (place, interface) in self.interfaces.iter().enumerate() {
            let facts = &self.facts.interfaces[&interface.id];
            for address in &interface.addresses {
                if let Some(hold) = self.hold_of(interface, facts, place as u32, *address) {
                    holds.entry(*address).or_default().push(hold);
                }
            }
        }
        self.addresses = holds
            .into_iter()
            .map(|(address, holds)| (address, Holds::new(holds)))
            .collect();
    }

    /// When the interface had the address.
    fn hold_of(
        &self,
        interface: &Interface,
        facts: &InterfaceFacts,
        owner: u32,
        address: IpAddr,
    ) -> Option<Hold> {
        let whole = facts.span.range()?;
        let own = facts.addresses.get(&address);
        let family = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
        // An interface's only address was there as long as the interface.
        let sole = interface.addresses.iter().filter(family).count() == 1;
        let (mut from, mut last) = match own.and_then(|own| own.range()) {
            Some(range) if !sole => range,
            _ => whole,
        };
        let mut can_from = from.min(own.and_then(|own| own.valid_from).unwrap_or(from));
        let mut end = own
            .and_then(|own| own.valid_to)
            .into_iter()
            .chain(facts.span.valid_to)
            .min();
        if let [task] = interface.tasks.all() {
            if sole {
                (from, last) = (from.min(task.from), last.max(task.from));
                can_from = can_from.min(task.can_from);
            }
            if task.ended {
                end = end.into_iter().chain([task.known_to]).min();
            }
        }
        if sole {
            can_from = can_from.min(facts.span.valid_from.unwrap_or(can_from));
        }
        let known_to = end.map_or(last, |end| end.max(last));
        Some(Hold {
            can_from,
            from,
            known_to,
            ended: end.is_some(),
            can_to: i64::MAX,
            owner,
            scope: interface.scope,
        })
    }

    fn resolve_public(&mut self) {
        let mut known: BTreeMap<IpAddr, Public> = BTreeMap::new();
        for (place, interface) in self.interfaces.iter().enumerate() {
            for address in &self.facts.interfaces[&interface.id].public {
                known.insert(*address, Public::Interface(place as u32));
            }
        }
        for (address, facts) in &self.facts.public {
            let kind = facts.kind.text().and_then(Kind::of_interface);
            let kind = kind.or(facts.resource.text().and_then(kind_of_resource));
            let interface = facts.interface.text().and_then(|id| self.places.get(id));
            let found = match (kind, interface, facts.instance.get()) {
                (Some(kind), ..) => Public::Entity(self.entities.place(Entity::of_kind(kind))),
                (None, Some(place), _) => Public::Interface(*place),
                (None, None, Some(instance)) => Public::Entity(self.entities.place(Entity {
                    instance_id: Some(Arc::clone(instance)),
                    ..Entity::of_kind(Kind::Instance)
                })),
                (None, None, None) if known.contains_key(address) => continue,
                (None, None, None) => Public::Entity(Entities::of_kind(Kind::Interface)),
            };
            known.insert(*address, found);
        }
        self.public = known;
    }

    /// The entity of an answer.
    pub fn entity(&self, place: u32) -> &Entity {
        &self.entities.all[place as usize]
    }

    /// All entities, by their places.
    pub fn entities(&self) -> &[Entity] {
        &self.entities.all
    }

    /// Whose the interface was; None if no log names it.
    pub fn interface_at(&self, interface: &str, time: i64) -> Option<Answer> {
        let &place = self.places.get(interface)?;
        Some(self.owner_at(place, time))
    }

    pub(super) fn owner_at(&self, place: u32, time: i64) -> Answer {
        let interface = &self.interfaces[place as usize];
        let answer = |entity, certainty, method| Answer {
            entity,
            certainty,
            method,
        };
        if interface.fixed != 0 {
            return answer(interface.fixed, Certainty::Certain, Method::Interface);
        }
        match interface.tasks.all() {
            [] => {}
            [task] => {
                let early = task.can_from.saturating_sub(SLACK_MICROS);
                let inside = early <= time && time <= task.known_to.saturating_add(SLACK_MICROS);
                return match inside {
                    true => answer(task.owner, Certainty::Certain, Method::Interface),
                    false => answer(task.owner, Certainty::Likely, Method::InterfaceOutsideLife),
                };
            }
            _ => return self.held(&interface.tasks, time),
        }
        let found = match interface.instances.all() {
            [] => {
                let entity = Entities::of_kind(Kind::Interface);
                return answer(entity, Certainty::Unknown, Method::NoOwner);
            }
            [instance] => answer(instance.owner, Certainty::Certain, Method::Interface),
            _ => self.held(&interface.instances, time),
        };
        let Some(instance) = &self.entity(found.entity).instance_id else {
            return found;
        };
        let (early, late) = (
            time.saturating_sub(SLACK_MICROS),
            time.saturating_add(SLACK_MICROS),
        );
        let tasks = self.shared.get(instance).into_iter().flatten();
        match tasks.into_iter().any(|(from, to)| *from <= late && *to >= early) {
            true => {
                let shared = Entity {
                    instance_id: Some(Arc::clone(instance)),
                    ..Entity::of_kind(Kind::Shared)
                };
                let place = self.entities.get(&shared).unwrap_or(found.entity);
                answer(place, Certainty::Ambiguous, Method::SharedInterface)
            }
            false => found,
        }
    }

    /// The holder among several of one interface.
    fn held(&self, holds: &Holds, time: i64) -> Answer {
        let found = holds.at(time, ONE_SCOPE, |one, other| one == other);
        let all = || holds.near(time).map(|hold| hold.owner);
        match found.map(|held| (held.owner, held.certainty, held.method)) {
            Some((Some(entity), certainty, Method::Address)) => Answer {
                entity,
                certainty,
                method: Method::Interface,
            },
            Some((Some(entity), certainty, method)) => Answer {
                entity,
                certainty,
                method,
            },
            Some((None, certainty, method)) => Answer {
                entity: self.shared_by(all()),
                certainty,
                method,
            },
            None => Answer {
                entity: Entities::of_kind(Kind::Interface),
                certainty: Certainty::Unknown,
                method: Method::NoOwner,
            },
        }
    }

    /// What all these entities share: their service, or nothing.
    fn shared_by(&self, entities: impl Iterator<Item = u32>) -> u32 {
        let mut shared = None;
        for entity in entities {
            let task = self
                .entity(entity)
                .task_id
                .as_ref()
                .and_then(|id| self.tasks.get(id));
            let service = task.map_or(0, |task| task.service);
            match shared {
                None => shared = Some(service),
                Some(known) if known == service => {}
                Some(_) => return Entities::of_kind(Kind::Interface),
            }
        }
        match shared {
            None | Some(0) => Entities::of_kind(Kind::Interface),
            Some(service) => service,
        }
    }

    /// The network that a record of this VPC or this interface looks for addresses in.
    fn scope(&self, vpc: Option<&str>, interface: Option<&str>) -> Option<u32> {
        match vpc.and_then(|vpc| self.scopes.get(vpc)) {
            Some(scope) => Some(*scope),
            None => {
                let place = self.places.get(interface?)?;
                self.interfaces[*place as usize].scope
            }
        }
    }

    /// Whose the address was. `vpc` is that of the record that has the address.
    pub fn address_at(&self, address: IpAddr, vpc: Option<&str>, time: i64) -> Answer {
        self.address_in(address, self.scope(vpc, None), time)
    }

    pub(super) fn address_in(&self, address: IpAddr, scope: Option<u32>, time: i64) -> Answer {
        let holds = self.addresses.get(&address);
        let one = |one: u32, other: u32| {
            one == other || {
                let [one, other] = [one, other].map(|place| self.owner_at(place, time));
                one == other && one.certainty >= Certainty::Likely
            }
        };
        if let Some(held) = holds.and_then(|holds| holds.at(time, scope, one)) {
            let Some(owner) = held.owner else {
                let near = holds.into_iter().flat_map(|holds| holds.near(time));
                let owners = near.map(|hold| self.owner_at(hold.owner, time).entity);
                return Answer {
                    entity: self.shared_by(owners),
                    certainty: held.certainty,
                    method: held.method,
                };
            };
            let owner = self.owner_at(owner, time);
            return match owner.certainty < held.certainty {
                true => owner,
                false => Answer {
                    certainty: held.certainty,
                    method: held.method,
                    ..owner
                },
            };
        }
        if let Some(public) = self.public.get(&address) {
            let facts = self.facts.public.get(&address);
            let (from, to) = facts.map_or((None, None), |facts| (facts.span.valid_from, facts.span.valid_to));
            let early = time.saturating_sub(SLACK_MICROS);
            let late = time.saturating_add(SLACK_MICROS);
            if from.is_none_or(|from| from <= late) && to.is_none_or(|to| to >= early) {
                let inside = from.is_some_and(|from| from <= time) && to.is_none_or(|to| time <= to);
                let certainty = match inside {
                    true => Certainty::Certain,
                    false => Certainty::Likely,
                };
                let owner = match *public {
                    Public::Interface(place) => self.owner_at(place, time),
                    Public::Entity(entity) => Answer {
                        entity,
                        certainty,
                        method: Method::Address,
                    },
                };
                return match owner.certainty < certainty {
                    true => owner,
                    false => Answer {
                        certainty,
                        method: Method::Address,
                        ..owner
                    },
                };
            }
        }
        stranger(match is_private(address) {
            true => Kind::Private,
            false => Kind::Public,
        })
    }

    /// When an address' holder may change, ascending.
    pub(super) fn moments_of_address(&self, address: IpAddr) -> Vec<i64> {
        let mut moments = Vec::new();
        for hold in self.addresses.get(&address).map_or(&[][..], Holds::all) {
            moments.extend(hold.moments());
            self.add_moments_of_interface(hold.owner, &mut moments);
        }
        if let Some(Public::Interface(place)) = self.public.get(&address) {
            self.add_moments_of_interface(*place, &mut moments);
        }
        if let Some(facts) = self.facts.public.get(&address) {
            moments.extend(facts.span.valid_from);
            moments.extend(facts.span.valid_to);
        }
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// When an interface's owner may change, ascending.
    pub(super) fn moments_of_interface(&self, place: u32) -> Vec<i64> {
        let mut moments = Vec::new();
        self.add_moments_of_interface(place, &mut moments);
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    fn add_moments_of_interface(&self, place: u32, moments: &mut Vec<i64>) {
        let interface = &self.interfaces[place as usize];
        for hold in interface.tasks.all().iter().chain(interface.instances.all()) {
            moments.extend(hold.moments());
            let instance = self.entity(hold.owner).instance_id.as_ref();
            for (from, to) in instance.and_then(|id| self.shared.get(id)).into_iter().flatten() {
                moments.extend([*from, *to]);
            }
        }
    }

    /// Whether the address is one of the account's own, at any time.
    pub fn is_own_address(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address) || self.public.contains_key(&address)
    }

    /// Which task it was, by its id: in a log stream's name, for one.
    pub fn task(&self, task: &str, time: i64) -> Answer {
        let Some(task) = self.tasks.get(task) else {
            return Answer {
                entity: 0,
                certainty: Certainty::Unknown,
                method: Method::TaskNotInLogs,
            };
        };
        let early = task.hold.can_from.saturating_sub(SLACK_MICROS);
        // Sightings of its interface count as well.
        let inside = early <= time && time <= task.hold.known_to.saturating_add(SLACK_MICROS);
        let (certainty, method) =
            match inside || (!task.hold.ended && early <= time && self.seen_later(task, time)) {
                true => (Certainty::Certain, Method::TaskId),
                false => (Certainty::Likely, Method::TaskOutsideLife),
            };
        Answer {
            entity: task.entity,
            certainty,
            method,
        }
    }

    fn seen_later(&self, task: &Task, time: i64) -> bool {
        let id = self.entity(task.entity).task_id.as_ref();
        let facts: Option<&TaskFacts> = id.and_then(|id| self.facts.tasks.get(id));
        let interfaces = facts.into_iter().flat_map(|facts| &facts.interfaces);
        interfaces
            .filter_map(|id| self.facts.interfaces.get(id)?.span.range())
            .any(|(_, last)| time <= last.saturating_add(SLACK_MICROS))
    }

    /// Whose the session was; None if no record has it. `role` and `name` matter only
    /// where there is no access key.
    pub fn session(
        &self,
        access_key: Option<&str>,
        account: Option<&str>,
        role: Option<&str>,
        name: Option<&str>,
    ) -> Option<Answer> {
        self.sessions
            .get(&session_key(access_key, account, role, name))
            .copied()
    }

    /// Where a call came from: `own`, `nat`, `endpoint`, `aws_service`, `foreign` or `unknown`, and why.
    pub fn call_source(
        &self,
        source: Option<&str>,
        endpoint: Option<&str>,
        time: i64,
    ) -> (&'static str, Method) {
        let Some(text) = source else {
            return ("unknown", Method::NotNamed);
        };
        let Ok(address) = text.parse::<IpAddr>() else {
            let service = text.ends_with(".amazonaws.com") || text == "AWS Internal";
            return match (service, endpoint) {
                (true, _) => ("aws_service", Method::ServiceName),
                (false, Some(_)) => ("endpoint", Method::VpcEndpoint),
                (false, None) => ("unknown", Method::NotNamed),
            };
        };
        let answer = self.address_in(address, None, time);
        let kind = self.entity(answer.entity).kind;
        match (answer.method, kind) {
            (Method::NotNamed, _) if endpoint.is_some() => ("endpoint", Method::VpcEndpoint),
            (Method::NotNamed, Some(Kind::Public)) => ("foreign", Method::NotNamed),
            (Method::NotNamed, _) => ("unknown", Method::NotNamed),
            (method, Some(Kind::Nat)) => ("nat", method),
            (method, Some(Kind::Endpoint)) => ("endpoint", method),
            (method, _) => ("own", method),
        }
    }
}

/// The answer about an address of this kind that no log names.
pub(super) fn stranger(kind: Kind) -> Answer {
    Answer {
        entity: Entities::of_kind(kind),
        certainty: Certainty::Unknown,
        method: Method::NotNamed,
    }
}

/// From when until when nothing changes around `time`, at least, if it changes at these moments, give or take
/// the slack. The end is not included.
pub(super) fn stretch(moments: &[i64], time: i64) -> (i64, i64) {
    let mut stretch = (i64::MIN, i64::MAX);
    for slack in [-SLACK_MICROS, 0, SLACK_MICROS] {
        // A moment may belong to what it ends or to what it begins.
        for shift in [slack, slack + 1] {
            let next = moments.partition_point(|moment| moment.saturating_add(shift) <= time);
            let edge = |place: usize| Some(moments.get(place)?.saturating_add(shift));
            stretch.0 = stretch
                .0
                .max(next.checked_sub(1).and_then(edge).unwrap_or(i64::MIN));
            stretch.1 = stretch.1.min(edge(next).unwrap_or(i64::MAX));
        }
    }
    stretch
}

fn kind_of_resource(resource: &str) -> Option<Kind> {
    match resource.split('-').next() {
        Some("nat") => Some(Kind::Nat),
        Some("vpce") => Some(Kind::Endpoint),
        _ => None,
    }
}

/// Addresses that records prove, and those that all flow records have in common.
fn addresses_of(facts: &InterfaceFacts) -> BTreeSet<IpAddr> {
    let mut addresses: BTreeSet<IpAddr> = facts.addresses.keys().copied().collect();
    for (place, candidates) in facts.candidates.iter().enumerate() {
        let known = addresses.iter().any(|address| address.is_ipv6() == (place == 1));
        match candidates {
            Some(candidates) if !known && candidates.len() == 1 => addresses.extend(candidates),
            _ => {}
        }
    }
    addresses
}

/// `family:revision` of a task definition's ARN.
fn family(arn: &str) -> Option<Arc<str>> {
    arn.rsplit('/').next().map(Arc::from)
}

pub(super) fn joined(texts: &BTreeSet<Arc<str>>) -> Option<Arc<str>> {
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    (!texts.is_empty()).then(|| texts.join(", ").into())
}
