//! The real process, killed again and again: nothing is lost, nothing is doubled.
//!
//! What is shown here is the death of a process. A power cut, which also loses
//! what was not synced, is simulated in the lake's own tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trailhound_lake::failpoint;

/// Kills in an ordinary test run. `TRAILHOUND_KILLS` asks for more.
const KILLS_DEFAULT: usize = 20;

/// Objects that lie there at the start.
const OBJECTS: usize = 500;

/// Lines of an object that are records, and lines that are not.
const GOOD_LINES: usize = 12;
const BAD_LINES: usize = 1;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

struct Yard {
    folder: tempfile::TempDir,
    objects: usize,
}

impl Yard {
    fn new(objects: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let mut yard = Yard { folder, objects: 0 };
        yard.add(objects);
        yard
    }

    /// Objects that appear whole, as they do in a bucket.
    fn add(&mut self, count: usize) {
        for number in self.objects..self.objects + count {
            let mut text = format!("{HEADER}\n");
            for line in 0..GOOD_LINES {
                // Every line of the yard is another one, so that a double shows.
                let start = 1_793_491_200 + number * 60 + line;
                text.push_str(&format!(
                    "2 111122223333 eni-{number:05} 10.0.0.1 10.0.0.2 {line} 443 6 1 {number} {start} {} ACCEPT OK\n",
                    start + 59
                ));
            }
            for line in 0..BAD_LINES {
                text.push_str(&format!("2 object {number} line {line} is no record\n"));
            }
            let hidden = self.folder.path().join("writing");
            std::fs::write(&hidden, text).unwrap();
            std::fs::rename(hidden, self.folder.path().join(format!("logs/{number:05}.log"))).unwrap();
        }
        self.objects += count;
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailhound"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TRAILHOUND_INGEST__BATCH_ROWS", "40")
            // That is for this test, and no setting of the program's.
            .env_remove("TRAILHOUND_KILLS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn ingest(&self) -> Command {
        self.command(&["ingest", "logs", "--table", "vpc_flow"])
    }

    /// Takes in what is left, undisturbed.
    fn finish(&self) {
        let output = self.ingest().output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the last run fails: {error}");
    }

    fn numbers(&self, query: &str) -> Vec<i64> {
        let output = self
            .command(&["sql", "--lake", "lake", "--quiet", "--format", "json", query])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{query}: {error}");
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = rows[0].as_object().unwrap();
        row.values().map(|value| value.as_i64().unwrap()).collect()
    }

    /// Every line of every object is in the lake once, as a row or as a reject.
    fn check(&self) {
        let expected = (self.objects * GOOD_LINES) as i64;
        let rows = "SELECT count(*) AS n, count(DISTINCT concat(_source, '#', CAST(_line AS VARCHAR))) AS d, \
                    count(DISTINCT _source) AS s FROM vpc_flow";
        assert_eq!(
            self.numbers(rows),
            [expected, expected, self.objects as i64],
            "rows, distinct rows, objects"
        );
        let expected = (self.objects * BAD_LINES) as i64;
        let rejects = "SELECT count(*) AS n, count(DISTINCT concat(_source, '#', CAST(_line AS VARCHAR))) AS d FROM rejects";
        assert_eq!(
            self.numbers(rejects),
            [expected, expected],
            "rejects, distinct rejects"
        );
        let records = "SELECT sum(records) AS n FROM coverage";
        assert_eq!(
            self.numbers(records),
            [(self.objects * GOOD_LINES) as i64],
            "records that coverage counts"
        );
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Waits until the process ends or the time is over. Whether it was killed.
fn kill_after(mut child: Child, time: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap(); // SIGKILL: it cannot clean up.
    child.wait().unwrap();
    true
}

#[test]
fn killed_at_random_moments() {
    let kills_wanted: usize = std::env::var("TRAILHOUND_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(KILLS_DEFAULT);
    let mut yard = Yard::new(OBJECTS);
    // How long a run takes to its first commit decides when killing hurts most.
    let started = Instant::now();
    let mut child = yard.ingest().spawn().unwrap();
    while !is_begun(&yard.folder.path().join("lake/vpc_flow/_delta_log"))
        && child.try_wait().unwrap().is_none()
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    let to_first_commit = started.elapsed().as_millis() as u64;
    let _ = child.kill();
    child.wait().unwrap();
    let mut dice = Dice(7);
    let mut kills = 1;
    let mut runs = 1;
    while kills < kills_wanted {
        let time = Duration::from_millis(to_first_commit / 2 + dice.below(to_first_commit * 2 + 100));
        kills += usize::from(kill_after(yard.ingest().spawn().unwrap(), time));
        runs += 1;
        if runs % 10 == 0 {
            yard.add(5); // So that there is always work that can be interrupted.
        }
    }
    yard.finish();
    yard.check();
    println!(
        "{kills} kills in {runs} runs over {} objects: {} lines, each in the lake or in rejects exactly once",
        yard.objects,
        yard.objects * (GOOD_LINES + BAD_LINES)
    );
}

fn is_begun(log: &Path) -> bool {
    let commits = log.read_dir().into_iter().flatten().flatten();
    commits
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "json")
        })
        .count()
        > 1
}

#[test]
fn dead_at_each_step_of_the_commit() {
    for step in failpoint::STEPS {
        let yard = Yard::new(30);
        for time in 1..=3 {
            let output = yard
                .ingest()
                .env(failpoint::VARIABLE, format!("{step}:{time}"))
                .output()
                .unwrap();
            assert!(!output.status.success(), "{step}:{time} was not reached");
        }
        yard.finish();
        yard.check();
    }
}

/// The test above can fail: with a state that forgets, every object comes twice.
#[test]
fn a_lost_state_is_noticed() {
    let yard = Yard::new(10);
    yard.finish();
    std::fs::remove_dir_all(yard.folder.path().join("lake.state")).unwrap();
    yard.finish();
    let doubled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| yard.check()));
    assert!(doubled.is_err(), "doubles went unnoticed");
    let merged = yard.command(&["lake", "compact"]).output().unwrap();
    let text = String::from_utf8_lossy(&merged.stdout).into_owned();
    assert!(
        text.lines().any(|line| line.starts_with("vpc_flow:")
            && line.contains(&format!("{} doubles left out", 10 * GOOD_LINES))),
        "{text}"
    );
    let rows = "SELECT count(*) AS n FROM vpc_flow";
    assert_eq!(yard.numbers(rows), [(10 * GOOD_LINES) as i64]);
}

#[test]
fn two_instances_on_one_state() {
    let yard = Yard::new(3);
    let mut first = yard.command(&["ingest", "logs", "--follow"]).spawn().unwrap();
    let state = yard.folder.path().join("lake.state");
    let started = Instant::now();
    while !state.join("ingest.sqlite").exists() && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = yard.ingest().output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{message}");
    assert!(
        message.contains(&first.id().to_string()),
        "it names the other's process: {message}"
    );
    // The lock died with its owner.
    yard.finish();
    yard.check();
}

#[test]
fn steps_have_names_of_their_own() {
    let names: BTreeSet<&str> = failpoint::STEPS.iter().copied().collect();
    assert_eq!(names.len(), failpoint::STEPS.len());
}
