//! Flow records become connections: whole, once, and nothing is lost.

mod generator;
mod whole;

use trailhound_query::Session;

use crate::files::{folder_of_its_own, open, rows};

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                      action log-status tcp-flags flow-direction pkt-srcaddr pkt-dstaddr ecs-service-name";

/// One record: interface, `src:port`, `dst:port`, protocol, first and last second, flags, direction.
fn record(
    interface: &str,
    from: &str,
    to: &str,
    protocol: u8,
    from_to: (i64, i64),
    flags: &str,
    way: &str,
) -> String {
    let (src, srcport) = from.rsplit_once(':').unwrap();
    let (dst, dstport) = to.rsplit_once(':').unwrap();
    let (start, end) = (1_763_622_000 + from_to.0, 1_763_622_000 + from_to.1);
    format!(
        "7 111122223333 {interface} {src} {dst} {srcport} {dstport} {protocol} 2 100 {start} {end} ACCEPT OK {flags} \
         {way} {src} {dst} svc-of-{interface}"
    )
}

async fn session_of(lines: &[String]) -> (Session, tempfile::TempDir) {
    let folder = folder_of_its_own();
    let path = folder.path().join("flow.log");
    std::fs::write(&path, format!("{HEADER}\n{}\n", lines.join("\n"))).unwrap();
    (
        open(&[("vpc_flow", path.to_string_lossy().into_owned())]).await,
        folder,
    )
}

async fn answer(lines: &[String], sql: &str) -> Vec<String> {
    let (session, _folder) = session_of(lines).await;
    rows(&session, sql).await
}

const CLIENT: &str = "10.0.0.7:40000";
const SERVER: &str = "10.0.0.5:443";

fn out(from_to: (i64, i64), flags: &str) -> String {
    record("eni-a", CLIENT, SERVER, 6, from_to, flags, "egress")
}

fn back(from_to: (i64, i64), flags: &str) -> String {
    record("eni-a", SERVER, CLIENT, 6, from_to, flags, "ingress")
}

#[tokio::test]
async fn windows_and_directions_become_one_row() {
    let lines = [
        // As objects have them: in no order.
        back((60, 118), "0"),
        out((0, 59), "2"),
        out((60, 119), "0"),
        back((0, 59), "18"),
        out((121, 130), "1"),
        back((121, 130), "1"),
    ];
    let sql = "SELECT initiator_addr, initiator_port, responder_addr, responder_port, protocol, action, \
               start_time, end_time, bytes_out, bytes_in, packets_out, packets_in, tcp_flags_out, tcp_flags_in, \
               windows, records, window_seconds, initiator_by, ending, complete, interface_id, interfaces, \
               initiator_interface_id, responder_interface_id, ecs_service_name, _line FROM connections";
    assert_eq!(
        answer(&lines, sql).await,
        [
            "10.0.0.7|40000|10.0.0.5|443|6|ACCEPT|2025-11-20T07:00:00Z|2025-11-20T07:02:10Z|300|300|6|6|3|19|3|6|59|\
             tcp-flags|fin|true|eni-a|eni-a|eni-a||svc-of-eni-a|3"
        ]
    );
}

#[tokio::test]
async fn both_ends_log_one_connection_and_bytes_count_once() {
    let lines = [
        out((0, 10), "3"),
        back((0, 10), "19"),
        record("eni-b", CLIENT, SERVER, 6, (1, 11), "3", "ingress"),
        record("eni-b", SERVER, CLIENT, 6, (1, 11), "19", "egress"),
    ];
    let sql = "SELECT bytes_out, bytes_in, records, windows, interface_id, interfaces, responder_interface_id \
               FROM connections";
    assert_eq!(answer(&lines, sql).await, ["100|100|4|1|eni-a|eni-a eni-b|eni-b"]);
}

#[tokio::test]
async fn a_port_that_is_used_again_is_another_connection() {
    let lines = [
        out((0, 10), "3"),
        back((0, 10), "19"),
        out((70, 80), "3"),
        back((70, 80), "19"),
        // Broken off, and again; then one that nobody ends.
        out((140, 141), "2"),
        back((140, 141), "4"),
        out((200, 210), "2"),
        back((200, 210), "18"),
        out((260, 270), "2"),
        back((260, 270), "18"),
    ];
    let sql = "SELECT start_time, records, ending, complete FROM connections ORDER BY 1";
    assert_eq!(
        answer(&lines, sql).await,
        [
            "2025-11-20T07:00:00Z|2|fin|true",
            "2025-11-20T07:01:10Z|2|fin|true",
            "2025-11-20T07:02:20Z|2|rst|true",
            "2025-11-20T07:03:20Z|4|open|false",
        ]
    );
}

#[tokio::test]
async fn a_quiet_connection_is_one_and_a_silent_one_is_over() {
    // Heartbeats every ten minutes, for four hours; no flag in any window but the first.
    let mut lines = vec![out((0, 1), "2"), back((0, 1), "18")];
    for nth in 1..24 {
        lines.push(out((nth * 600, nth * 600 + 1), "0"));
        lines.push(back((nth * 600, nth * 600 + 1), "0"));
    }
    let sql = "SELECT count(*), min(records), min(ending) FROM connections";
    assert_eq!(answer(&lines, sql).await, ["1|48|open"]);
    // The same without flags: ten minutes of silence end a connection, if that is all one has.
    let plain: Vec<String> = lines
        .iter()
        .map(|line| {
            line.replace("OK 0 ", "OK - ")
                .replace("OK 2 ", "OK - ")
                .replace("OK 18 ", "OK - ")
        })
        .collect();
    assert_eq!(answer(&plain, sql).await, ["24|2|idle"]);
    let (session, _folder) = session_of(&plain).await;
    rows(&session, "SET connections.idle_seconds = 600").await;
    assert_eq!(rows(&session, sql).await, ["1|48|open"]);
}

#[tokio::test]
async fn who_began_is_told_by_flags_then_by_port_then_guessed() {
    let by = "SELECT initiator_addr, initiator_by FROM connections";
    // The answer alone tells, and it tells against the ports.
    let only_answer = [record(
        "eni-a",
        "10.0.0.5:60000",
        "10.0.0.7:80",
        6,
        (0, 1),
        "18",
        "egress",
    )];
    assert_eq!(answer(&only_answer, by).await, ["10.0.0.7|tcp-flags"]);
    let by_port = [record(
        "eni-a",
        "10.0.0.5:53",
        "10.0.0.7:40000",
        17,
        (0, 1),
        "-",
        "egress",
    )];
    assert_eq!(answer(&by_port, by).await, ["10.0.0.7|port"]);
    let guess = [record(
        "eni-a",
        "10.0.0.9:0",
        "10.0.0.7:0",
        1,
        (0, 1),
        "-",
        "egress",
    )];
    assert_eq!(answer(&guess, by).await, ["10.0.0.9|first-record"]);
}

#[tokio::test]
async fn refused_is_kept_apart_and_lines_without_data_are_nothing() {
    let lines = [
        out((0, 1), "2"),
        out((2, 3), "2").replace("ACCEPT", "REJECT"),
        "7 111122223333 eni-a - - - - - - - 1763622000 1763622060 - NODATA - - - - -".to_owned(),
        "7 111122223333 eni-a - - - - - - - 1763622000 1763622060 - SKIPDATA - - - - -".to_owned(),
    ];
    let sql = "SELECT action, bytes_out, bytes_in FROM connections ORDER BY 1";
    assert_eq!(answer(&lines, sql).await, ["ACCEPT|100|0", "REJECT|100|0"]);
}

#[tokio::test]
async fn the_inner_side_of_a_nat_gateway_is_the_same_connection() {
    let whole = "203.0.113.9:443";
    let at_task = record("eni-task", CLIENT, whole, 6, (0, 5), "3", "egress");
    // The gateway logs its own address where the packet has the target's.
    let at_gateway =
        record("eni-nat", CLIENT, whole, 6, (0, 5), "3", "ingress").replacen("203.0.113.9", "10.0.9.9", 1);
    let sql = "SELECT responder_addr, bytes_out, interfaces FROM connections";
    assert_eq!(
        answer(&[at_task, at_gateway], sql).await,
        ["203.0.113.9|100|eni-nat eni-task"]
    );
}

#[tokio::test]
async fn over_the_limit_connections_are_closed_early_and_say_so() {
    let lines: Vec<String> = (0..9000)
        .map(|nth| {
            let from = format!("10.1.{}.{}:40000", nth / 250, nth % 250);
            record("eni-a", &from, SERVER, 6, (nth / 100, nth / 100), "2", "ingress")
        })
        .collect();
    let (session, _folder) = session_of(&lines).await;
    let sql = "SELECT ending, count(*), sum(bytes_out) FROM connections GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&session, sql).await, ["open|9000|900000"]);
    rows(&session, "SET connections.open_max = 100").await;
    let limited = rows(&session, sql).await;
    assert_eq!(limited.len(), 2, "{limited:?}");
    assert!(limited[0].starts_with("limit|"), "{limited:?}");
    let bytes: i64 = limited
        .iter()
        .map(|row| row.rsplit_once('|').unwrap().1.parse::<i64>().unwrap())
        .sum();
    assert_eq!(bytes, 900_000);
}

#[tokio::test]
async fn conditions_do_not_cut_connections() {
    let lines = [
        out((0, 59), "2"),
        back((0, 59), "18"),
        out((60, 100), "1"),
        back((60, 100), "1"),
        record("eni-a", "10.0.0.8:40000", SERVER, 6, (0, 5), "3", "egress"),
    ];
    for (condition, expected) in [
        (
            "responder_port = 443 AND initiator_addr = '10.0.0.7'",
            "1|200|200",
        ),
        ("start_time >= '2025-11-20T07:00:30Z'", "0||"),
        ("end_time < '2025-11-20T07:01:00Z'", "1|100|0"),
        ("protocol IN (6, 17) AND action = 'ACCEPT'", "2|300|200"),
        ("initiator_port = 443", "0||"),
    ] {
        let sql =
            format!("SELECT count(*), sum(bytes_out), sum(bytes_in) FROM connections WHERE {condition}");
        assert_eq!(answer(&lines, &sql).await, [expected], "{condition}");
    }
}
