//! Generated connections, through the log and back: conserved exactly, and nearly all of them whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::generator::{EPOCH_MS, End, Layout, Packet, Rng, Truth, estate, lines, tcp};
use crate::files::{folder_of_its_own, open, rows};

/// A connection as the table has it.
#[derive(Debug)]
struct Stitched {
    initiator: (Ipv4Addr, u16),
    responder: (Ipv4Addr, u16),
    start: i64,
    end: i64,
    bytes: (i64, i64),
    packets: (i64, i64),
}

async fn stitch(log: &[String]) -> Vec<Stitched> {
    let folder = folder_of_its_own();
    // Several objects, so that order is not given by the file.
    let (header, records) = log.split_first().unwrap();
    for part in 0..3 {
        let some: Vec<&str> = records.iter().skip(part).step_by(3).map(String::as_str).collect();
        let text = format!("{header}\n{}\n", some.join("\n"));
        std::fs::write(folder.path().join(format!("{part}.log")), text).unwrap();
    }
    let session = open(&[("vpc_flow", folder.path().to_string_lossy().into_owned())]).await;
    let sql = "SELECT initiator_addr, initiator_port, responder_addr, responder_port, \
               CAST(date_part('epoch', start_time) AS BIGINT), CAST(date_part('epoch', end_time) AS BIGINT), \
               bytes_out, bytes_in, packets_out, packets_in FROM connections";
    let number = |text: &str| text.parse::<i64>().unwrap();
    rows(&session, sql)
        .await
        .iter()
        .map(|row| {
            let v: Vec<&str> = row.split('|').collect();
            Stitched {
                initiator: (v[0].parse().unwrap(), number(v[1]) as u16),
                responder: (v[2].parse().unwrap(), number(v[3]) as u16),
                start: number(v[4]),
                end: number(v[5]),
                bytes: (number(v[6]), number(v[7])),
                packets: (number(v[8]), number(v[9])),
            }
        })
        .collect()
}

type Ends = BTreeSet<(Ipv4Addr, u16)>;

/// Bytes and packets of each pair of ends, whoever began.
fn totals(of: impl Iterator<Item = (Ends, i64, i64)>) -> BTreeMap<Ends, (i64, i64)> {
    let mut totals = BTreeMap::new();
    for (ends, bytes, packets) in of {
        let total: &mut (i64, i64) = totals.entry(ends).or_default();
        total.0 += bytes;
        total.1 += packets;
    }
    totals
}

#[track_caller]
fn assert_conserved(truths: &[Truth], stitched: &[Stitched]) {
    let before = totals(truths.iter().map(|truth| {
        let ends = Ends::from([truth.client, truth.server]);
        let packets = truth.count(true) + truth.count(false);
        (ends, truth.bytes(true) + truth.bytes(false), packets)
    }));
    let after = totals(stitched.iter().map(|row| {
        let ends = Ends::from([row.initiator, row.responder]);
        (ends, row.bytes.0 + row.bytes.1, row.packets.0 + row.packets.1)
    }));
    assert_eq!(before, after);
}

/// Those that are in the table as they were: ends, times, bytes and packets of each direction.
fn whole<'a>(truths: &'a [Truth], stitched: &[Stitched]) -> Vec<&'a Truth> {
    let mut by_begin: HashMap<_, Vec<&Stitched>> = HashMap::new();
    for row in stitched {
        by_begin
            .entry((row.initiator, row.responder, row.start))
            .or_default()
            .push(row);
    }
    let offset = EPOCH_MS / 1000;
    truths
        .iter()
        .filter(|truth| {
            let begin = (truth.client, truth.server, offset + truth.start_second());
            by_begin.get(&begin).is_some_and(|rows| {
                rows.iter().any(|row| {
                    row.end == offset + truth.end_second()
                        && row.bytes == (truth.bytes(true), truth.bytes(false))
                        && row.packets == (truth.count(true), truth.count(false))
                })
            })
        })
        .collect()
}

/// Prints its figures: `cargo test -p trailhound-query --test main whole -- --nocapture`.
#[tokio::test]
async fn of_generated_connections_99_in_100_come_out_whole() {
    for window_seconds in [60, 600] {
        for (layout, at_least) in [(Layout::Rich, 99.0), (Layout::Default, 90.0)] {
            let truths = estate(7, 6_000);
            let log = lines(&truths, window_seconds, layout);
            let stitched = stitch(&log).await;
            assert_conserved(&truths, &stitched);
            let whole = whole(&truths, &stitched).len();
            let part = 100.0 * whole as f64 / truths.len() as f64;
            println!(
                "{window_seconds} s windows, {layout:?}: {} records, {} connections, {} rows, {part:.2}% whole",
                log.len() - 1,
                truths.len(),
                stitched.len(),
            );
            assert!(part >= at_least, "{part:.2}% of connections are whole");
        }
    }
}

/// A few connections on few tuples, so that ports are used again all the time.
fn crowded() -> impl Strategy<Value = Vec<Truth>> {
    let one = (
        0..3u8,
        0..3u8,
        0..2u16,
        0..4u8,
        1..400i64,
        1..30i64,
        0..4u8,
        any::<u64>(),
    );
    prop::collection::vec(one, 1..25).prop_map(|specs| {
        let mut last_end: HashMap<(u8, u8, u16), i64> = HashMap::new();
        let mut truths = Vec::new();
        for (client, server, port, kind, length, pause, ends, seed) in specs {
            let free = last_end.entry((client, server, port)).or_insert(0);
            let at = *free + pause * 1000 + i64::from(ends) * 45_000;
            let mut rng = Rng(seed);
            let packets = match kind {
                0 => vec![Packet {
                    at,
                    outward: true,
                    bytes: 60,
                    flags: 2,
                }],
                _ => {
                    let ends = [End::Fin, End::Fin, End::Rst, End::Open][usize::from(ends)];
                    tcp(&mut rng, at, length * 1000, i64::from(kind) * 7, ends)
                }
            };
            *free = packets.iter().map(|packet| packet.at).max().unwrap_or(at);
            truths.push(Truth {
                client: (Ipv4Addr::new(10, 0, 0, client + 1), 40_000 + port),
                server: (Ipv4Addr::new(10, 0, 1, server + 1), 443),
                protocol: 6,
                refused: false,
                packets,
                // One path through the network for a pair of hosts, so one way of logging it.
                logged: [(true, false), (false, true), (true, true)][usize::from((client + server) % 3)],
            });
        }
        truths
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bytes_and_packets_are_conserved_however_ports_are_reused(
        truths in crowded(),
        window_seconds in prop_oneof![Just(60i64), Just(600i64)],
        layout in prop_oneof![Just(Layout::Rich), Just(Layout::Default)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stitched = runtime.block_on(stitch(&lines(&truths, window_seconds, layout)));
        assert_conserved(&truths, &stitched);
    }

    #[test]
    fn what_no_window_joins_comes_out_whole(truths in crowded(), window_seconds in Just(60i64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stitched = runtime.block_on(stitch(&lines(&truths, window_seconds, Layout::Rich)));
        let whole = whole(&truths, &stitched);
        for truth in &truths {
            // Neighbours on the same ports that ended, and two windows away: nothing can hide the border.
            let is_apart = truths.iter().all(|other| {
                let is_same = other.client == truth.client && other.server == truth.server;
                let gap = (other.start_second() - truth.end_second()).max(truth.start_second() - other.end_second());
                let is_self = std::ptr::eq(other, truth);
                is_self || !is_same || gap > 3600 || (gap > 120 && has_ended(other) && has_ended(truth))
            });
            if is_apart {
                prop_assert!(
                    whole.iter().any(|found| std::ptr::eq(*found, truth)),
                    "not whole: {:?} in {:?}", truth, stitched
                );
            }
        }
    }
}

fn has_ended(truth: &Truth) -> bool {
    truth.packets.iter().any(|packet| packet.flags & 5 != 0)
}
