//! Connections packet by packet, and the flow records that interfaces make of them.
//!
//! Interfaces are imitated, not the stitching: packets fall into each interface's
//! own windows, whose phase differs, and a window gives one record for each
//! five-tuple with the time of its first and last packet and the ORed flags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// 2025-11-20T00:00:00Z, in milliseconds.
pub const EPOCH_MS: i64 = 1_763_596_800_000;

/// A packet: milliseconds since [`EPOCH_MS`], from the client or not, bytes, TCP flags as logged.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    pub at: i64,
    pub outward: bool,
    pub bytes: i64,
    pub flags: u16,
}

/// A connection as it was.
#[derive(Debug, Clone)]
pub struct Truth {
    pub client: (Ipv4Addr, u16),
    pub server: (Ipv4Addr, u16),
    pub protocol: u8,
    pub refused: bool,
    pub packets: Vec<Packet>,
    /// Whether the client's and the server's interface log it.
    pub logged: (bool, bool),
}

impl Truth {
    pub fn start_second(&self) -> i64 {
        self.packets
            .iter()
            .map(|packet| packet.at)
            .min()
            .unwrap_or(0)
            .div_euclid(1000)
    }

    pub fn end_second(&self) -> i64 {
        self.packets
            .iter()
            .map(|packet| packet.at)
            .max()
            .unwrap_or(0)
            .div_euclid(1000)
    }

    pub fn bytes(&self, outward: bool) -> i64 {
        self.of(outward).map(|packet| packet.bytes).sum()
    }

    pub fn count(&self, outward: bool) -> i64 {
        self.of(outward).count() as i64
    }

    fn of(&self, outward: bool) -> impl Iterator<Item = &Packet> {
        self.packets
            .iter()
            .filter(move |packet| packet.outward == outward)
    }
}

/// A small generator of numbers, the same for the same seed.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.max(1) as u64) as i64
    }

    pub fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }
}

/// A TCP connection of about `packets` packets over `length` milliseconds, with handshake and end.
pub fn tcp(rng: &mut Rng, at: i64, length: i64, packets: i64, ends: End) -> Vec<Packet> {
    let packet = |at, outward, bytes, flags| Packet {
        at,
        outward,
        bytes,
        flags,
    };
    let mut all = vec![
        packet(at, true, 60, 2),
        packet(at + 1, false, 60, 18),
        packet(at + 2, true, 52, 0),
    ];
    for nth in 0..packets {
        // Evenly spread with some play, so that no gap is longer than the connection allows.
        let slot = length.max(packets) / packets;
        all.push(packet(
            at + 3 + nth * slot + rng.below(slot.max(1)),
            rng.one_in(2),
            52 + rng.below(1400),
            0,
        ));
    }
    let end = at + length.max(packets) + 4;
    match ends {
        End::Fin => {
            all.push(packet(end, true, 52, 1));
            all.push(packet(end + 1, false, 52, 1));
            all.push(packet(end + 2, true, 52, 0));
        }
        End::Rst => all.push(packet(end, false, 40, 4)),
        End::Open => {}
    }
    all
}

/// How a TCP connection ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Fin,
    Rst,
    Open,
}

/// The log's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Version 2, which has no flags.
    Default,
    /// With flags and directions.
    Rich,
}

/// The lines that the interfaces would log, in the order of delivery. Windows are
/// `window_seconds` long; each interface begins them at a time of its own.
pub fn lines(truths: &[Truth], window_seconds: i64, layout: Layout) -> Vec<String> {
    type Tuple = (Ipv4Addr, u16, Ipv4Addr, u16, u8, bool);
    type Key = (i64, Ipv4Addr, Tuple, bool);
    let mut windows: BTreeMap<Key, (i64, i64, i64, i64, u16)> = BTreeMap::new();
    for truth in truths {
        let ends = [(truth.client.0, truth.logged.0), (truth.server.0, truth.logged.1)];
        for (interface, _) in ends.into_iter().filter(|(_, logs)| *logs) {
            let phase = i64::from(u32::from(interface)) * 7_919 % (window_seconds * 1000);
            for packet in &truth.packets {
                let window = (packet.at + phase).div_euclid(window_seconds * 1000);
                let (from, to) = match packet.outward {
                    true => (truth.client, truth.server),
                    false => (truth.server, truth.client),
                };
                let tuple = (from.0, from.1, to.0, to.1, truth.protocol, truth.refused);
                let is_egress = from.0 == interface;
                let second = (EPOCH_MS + packet.at).div_euclid(1000);
                let entry = windows
                    .entry((window, interface, tuple, is_egress))
                    .or_insert((0, 0, second, second, 0));
                entry.0 += 1;
                entry.1 += packet.bytes;
                entry.2 = entry.2.min(second);
                entry.3 = entry.3.max(second);
                entry.4 |= packet.flags;
            }
        }
    }
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                  action log-status";
    let mut out = vec![match layout {
        Layout::Default => header.to_owned(),
        Layout::Rich => format!("{header} tcp-flags flow-direction"),
    }];
    for ((_, interface, tuple, is_egress), (packets, bytes, start, end, flags)) in windows {
        let (src, srcport, dst, dstport, protocol, refused) = tuple;
        let mut line = format!(
            "5 111122223333 eni-{:017x} {src} {dst} {srcport} {dstport} {protocol} {packets} {bytes} {start} {end} {} OK",
            u32::from(interface),
            if refused { "REJECT" } else { "ACCEPT" },
        );
        if layout == Layout::Rich {
            let _ = write!(line, " {flags} {}", if is_egress { "egress" } else { "ingress" });
        }
        out.push(line);
    }
    out
}

/// `count` connections of all kinds over six hours: short and long, one-sided,
/// refused, on reused ports, over UDP, logged at one end or at both.
pub fn estate(seed: u64, count: i64) -> Vec<Truth> {
    let mut rng = Rng(seed);
    let mut truths = Vec::new();
    let hour = 3_600_000;
    for nth in 0..count {
        let client = Ipv4Addr::from(0x0a00_0000 + rng.below(200) as u32 + 256);
        let server = Ipv4Addr::from(0x0a01_0000 + rng.below(40) as u32 + 256);
        // Every connection has ports of its own, unless it is said to use them again.
        let port = 32_768 + (nth % 28_000) as u16;
        let service = [443, 80, 5432, 6379, 8443][rng.below(5) as usize];
        let at = rng.below(6 * hour);
        let mut truth = Truth {
            client: (client, port),
            server: (server, service),
            protocol: 6,
            refused: false,
            packets: Vec::new(),
            logged: match rng.below(3) {
                0 => (true, false),
                1 => (false, true),
                _ => (true, true),
            },
        };
        let ends = if rng.one_in(8) { End::Rst } else { End::Fin };
        match rng.below(20) {
            // Long, with silences of up to forty minutes.
            0 => {
                let (length, packets) = (hour + rng.below(8 * hour), 12 + rng.below(60));
                let packets = packets.max(length / 1_200_000 + 1);
                truth.packets = tcp(&mut rng, at, length, packets, ends);
            }
            // A minute to an hour.
            1..=3 => {
                let (length, packets) = (60_000 + rng.below(hour), 20 + rng.below(100));
                truth.packets = tcp(&mut rng, at, length, packets, ends);
            }
            // Nobody answers.
            4 => {
                truth.packets = [0, 1000, 3000, 7000, 15_000]
                    .iter()
                    .map(|after| Packet {
                        at: at + after,
                        outward: true,
                        bytes: 60,
                        flags: 2,
                    })
                    .collect();
            }
            // Refused.
            5 => {
                truth.refused = true;
                truth.logged = (false, true);
                truth.packets = vec![Packet {
                    at,
                    outward: true,
                    bytes: 60,
                    flags: 2,
                }];
            }
            // UDP, question and answer or a stream.
            6..=8 => {
                truth.protocol = 17;
                truth.server.1 = 53;
                let packets = 2 + rng.below(30);
                truth.packets = (0..packets)
                    .map(|nth| Packet {
                        at: at + nth * rng.below(60_000).max(20),
                        outward: nth % 2 == 0,
                        bytes: 60 + rng.below(400),
                        flags: 0,
                    })
                    .collect();
                truth.packets.sort_by_key(|packet| packet.at);
                for nth in 1..truth.packets.len() {
                    let before = truth.packets[nth - 1].at;
                    truth.packets[nth].at = truth.packets[nth].at.min(before + 300_000);
                }
            }
            // The same ports once more, soon after.
            9 => {
                let length = 2_000 + rng.below(200_000);
                truth.packets = tcp(&mut rng, at, length, 8, ends);
                let mut again = truth.clone();
                // A client waits a minute before it gives a port away again.
                let pause = 60_000 + rng.below(hour);
                again.packets = tcp(&mut rng, at + length + pause, 3_000, 6, End::Fin);
                truths.push(again);
            }
            _ => {
                let (length, packets) = (20 + rng.below(20_000), 2 + rng.below(30));
                truth.packets = tcp(&mut rng, at, length, packets, ends);
            }
        }
        truths.push(truth);
    }
    truths
}
