//! What the flow logs show: sweeps, calls home, and the upload.

use std::net::Ipv4Addr;

use super::super::flow::{Fate, Party};
use super::super::traffic::{outside, request};
use super::{HOME, HOME_PORT, Story, UPLOADED_BYTES};

const SWEEP_SOURCE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 146);

/// Common service ports, none of them ephemeral.
const SWEPT_PORTS: [u16; 64] = [
    21, 22, 23, 25, 53, 79, 81, 88, 110, 111, 119, 135, 139, 143, 179, 389, 427, 444, 445, 465, 513, 514,
    548, 554, 587, 631, 636, 873, 902, 990, 993, 995, 1080, 1194, 1433, 1521, 1723, 2049, 2082, 2222, 2375,
    2376, 3000, 3128, 3306, 3389, 5000, 5432, 5601, 5672, 5900, 5985, 6379, 6443, 8000, 8008, 8080, 8443,
    8888, 9000, 9090, 9200, 11211, 27017,
];

impl Story<'_> {
    pub(super) fn port_sweep(&mut self) {
        let from = self.world.at(15, 4, 10);
        let mut probes: Vec<(usize, u16)> = Vec::new();
        for &balancer in &self.world.load_balancers {
            probes.extend(SWEPT_PORTS.iter().map(|&port| (balancer, port)));
            probes.extend([(balancer, 80), (balancer, 443)]);
        }
        self.rng.shuffle(&mut probes);
        let from_port = self.rng.range(40_000, 60_000) as u16;
        let mut at = from;
        for (balancer, port) in probes {
            at += self.rng.range(1, 5);
            let mut probe = request(
                at,
                outside(SWEEP_SOURCE),
                Party::Eni(balancer),
                port,
                &mut self.rng,
            );
            probe.from_port = from_port;
            probe.seconds = 0;
            if matches!(port, 80 | 443) {
                // Open: the sweep takes the answer and resets.
                (probe.up, probe.down, probe.reset) = (104, 60, true);
            } else {
                (probe.up, probe.fate) = (60, Fate::Refused);
            }
            self.told.connections.push(probe);
        }
        let targets = self.addresses(&self.world.load_balancers);
        self.step(
            "port sweep of the load balancer",
            "vpc_flow",
            (from, at),
            &["net-scan-vertical"],
            vec![
                ("srcaddr", SWEEP_SOURCE.to_string()),
                ("dstaddr", targets),
                ("ports", SWEPT_PORTS.len().to_string()),
            ],
        );
    }

    pub(super) fn calls_home(&mut self) {
        let from = self.world.at(17, 1, 10);
        let own = self.own();
        let mut at = from;
        let mut last = at;
        while at < self.told.flow_until {
            let mut call = request(at, own, outside(HOME), HOME_PORT, &mut self.rng);
            call.seconds = self.rng.range(1, 3);
            call.up = self.rng.range(1_150, 1_420) as u64;
            call.down = self.rng.range(620, 840) as u64;
            call.reset = false;
            self.told.connections.push(call);
            last = at;
            at += self.rng.range(270, 331);
        }
        let entities = self.home_entities();
        self.step(
            "regular calls to a new peer",
            "vpc_flow",
            (from, last),
            &["net-new-external-peer", "net-beacon", "corr-exec-egress"],
            entities,
        );
    }

    /// Data stores, caches and shells of the whole network, from inside it.
    pub(super) fn host_sweep(&mut self) {
        let world = self.world;
        let own = self.own();
        let from = world.at(17, 41, 20);
        let neighbours = |octet| (2..46).map(move |host| Ipv4Addr::new(10, 20, octet, host));
        let mut probes: Vec<(Ipv4Addr, u16)> = neighbours(20)
            .chain(neighbours(21))
            .flat_map(|address| [5432, 6379, 22].map(|port| (address, port)))
            .collect();
        self.rng.shuffle(&mut probes);
        let mut at = from;
        for &(address, port) in &probes {
            at += self.rng.range(1, 10);
            let present = world.enis.iter().position(|eni| eni.address == address);
            let target = present.map_or(Party::Vacant(address), Party::Eni);
            let mut probe = request(at, own, target, port, &mut self.rng);
            probe.seconds = 0;
            (probe.up, probe.fate) = match present {
                // The one door that is open to this service.
                Some(eni) if eni == world.database && port == 5432 => (320, Fate::Served),
                Some(_) => (60, Fate::Refused),
                None => (180, Fate::Unanswered),
            };
            if probe.fate == Fate::Served {
                (probe.down, probe.reset) = (260, true);
            }
            self.told.connections.push(probe);
        }
        let hosts = probes.len() / 3;
        let source = world.enis[world.tasks[self.held].eni].address.to_string();
        self.step(
            "sweep of the data subnets",
            "vpc_flow",
            (from, at),
            &["net-scan-horizontal"],
            vec![
                ("srcaddr", source),
                ("task_id", self.held_id()),
                ("hosts", hosts.to_string()),
                ("ports", "22,5432,6379".to_string()),
            ],
        );
    }

    pub(super) fn upload(&mut self) {
        let from = self.world.at(20, 11, 5);
        let mut at = from;
        for _ in 0..3 {
            let mut part = request(at, self.own(), outside(HOME), HOME_PORT, &mut self.rng);
            part.seconds = self.rng.range(440, 500);
            part.up = UPLOADED_BYTES / 3;
            part.down = 3_100_000;
            part.reset = false;
            at += part.seconds + 4;
            self.told.connections.push(part);
        }
        let mut entities = self.home_entities();
        entities.push(("bytes", UPLOADED_BYTES.to_string()));
        self.step(
            "large upload to the new peer",
            "vpc_flow",
            (from, at),
            &["net-exfil-new-dest"],
            entities,
        );
    }

    fn addresses(&self, enis: &[usize]) -> String {
        let addresses: Vec<String> = enis
            .iter()
            .map(|&eni| self.world.enis[eni].address.to_string())
            .collect();
        addresses.join(",")
    }
}
