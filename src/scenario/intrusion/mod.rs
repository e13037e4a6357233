//! The intrusion: one story, told only by what the logs would show of it.
//!
//! A stranger sweeps the load balancer's ports, makes the renderer of `reports`
//! fetch its own credentials, looks around with them from outside, brings a
//! container and a stronger role into the service, opens a shell in it, calls
//! home, sweeps the network, takes data away, and switches the logs off.

mod api;
mod network;
mod recon;
mod requests;

use std::net::{IpAddr, Ipv4Addr};

use chrono::DateTime;
use serde_json::Value;

use super::Step;
use super::calls::Caller;
use super::cloudtrail::Event;
use super::container_logs::Line;
use super::estate::World;
use super::flow::{Connection, Party};
use super::identity::Session;
use super::rng::Rng;

/// The role that the new task definition brings with it.
pub(super) const TAKEN_ROLE: &str = "platform-ops";

const API_SOURCE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 177);
const HOME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 214);
const HOME_PORT: u16 = 8443;
const UPLOADED_BYTES: u64 = 1_500_000_000;

/// When the service takes up the foreign task definition.
pub(super) fn service_change_time(world: &World) -> i64 {
    world.at(16, 50, 3)
}

/// Everything the intrusion leaves, to be mixed with ordinary life.
pub(super) struct Intrusion {
    pub connections: Vec<Connection>,
    pub events: Vec<Event>,
    pub lines: Vec<Line>,
    /// When the flow log and the trail end.
    pub flow_until: i64,
    pub trail_until: i64,
    pub steps: Vec<Step>,
}

impl Intrusion {
    /// `None` where the estate has none.
    pub fn plan(world: &World) -> Option<Intrusion> {
        let reports = world.service("reports").filter(|_| world.estate.intrusion)?;
        let victim = *world.tasks_of(reports, world.at(15, 30, 0)).first()?;
        let held = world.tasks.iter().position(|task| task.role == TAKEN_ROLE)?;
        let mut story = Story {
            world,
            reports,
            victim,
            held,
            rng: Rng::stream(world.seed, "intrusion", 0),
            told: Intrusion {
                connections: Vec::new(),
                events: Vec::new(),
                lines: Vec::new(),
                flow_until: world.at(23, 14, 12),
                trail_until: world.at(23, 16, 40),
                steps: Vec::new(),
            },
        };
        story.port_sweep();
        story.forged_requests();
        story.reconnaissance();
        story.foreign_revision();
        story.shells();
        story.calls_home();
        story.host_sweep();
        story.collection();
        story.upload();
        story.logs_off();
        Some(story.told)
    }
}

struct Story<'a> {
    world: &'a World,
    reports: usize,
    /// The task whose credentials are taken.
    victim: usize,
    /// The task of the foreign revision.
    held: usize,
    rng: Rng,
    told: Intrusion,
}

impl Story<'_> {
    /// The session of the task whose credentials were fetched, with the key it had then.
    fn stolen(&self) -> Session {
        Session::of(self.world, Caller::Task(self.victim), self.world.at(15, 34, 12))
    }

    fn call(
        &mut self,
        at: i64,
        service: &'static str,
        name: &'static str,
        session: &Session,
        request: Value,
        response: Value,
    ) {
        let agent = recon::agent(service, name);
        let event = Event::new(at, service, name, session.identity(self.world.seed))
            .from(&API_SOURCE.to_string(), &agent)
            .request(request)
            .response(response);
        self.told.events.push(event);
    }

    fn line(&mut self, at: i64, message: String) {
        let millis = self.rng.range(0, 1000);
        self.told.lines.push(Line {
            at: at * 1000 + millis,
            task: self.victim,
            message,
        });
    }

    fn own(&self) -> Party {
        Party::Eni(self.world.tasks[self.held].eni)
    }

    fn held_id(&self) -> String {
        self.world.tasks[self.held].id.clone()
    }

    fn session_entities(&self, session: &Session) -> Vec<(&'static str, String)> {
        vec![
            ("session_name", session.name.clone()),
            ("role", session.role.clone()),
            ("access_key_id", session.key.clone()),
            ("source_ip_address", API_SOURCE.to_string()),
        ]
    }

    fn home_entities(&self) -> Vec<(&'static str, String)> {
        let eni = &self.world.enis[self.world.tasks[self.held].eni];
        vec![
            ("srcaddr", eni.address.to_string()),
            ("dstaddr", IpAddr::V4(HOME).to_string()),
            ("dstport", HOME_PORT.to_string()),
            ("interface_id", eni.id.clone()),
            ("task_id", self.held_id()),
        ]
    }

    fn step(
        &mut self,
        what: &'static str,
        table: &'static str,
        (from, until): (i64, i64),
        rules: &'static [&'static str],
        entities: Vec<(&'static str, String)>,
    ) {
        let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        self.told.steps.push(Step {
            what,
            table,
            from: time(from),
            until: time(until),
            rules,
            entities,
        });
    }
}
