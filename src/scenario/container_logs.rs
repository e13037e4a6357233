//! Container logs, laid out as CloudWatch Logs exports them to S3.
//!
//! One export task per log group, one object per stream, a line per event
//! after its time in UTC. Line breaks inside an event are kept, so a stack
//! trace continues on lines without a time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::write::GzEncoder;
use serde_json::json;

use super::estate::World;
use super::output::{Output, encoder, format, iso};
use super::rng::Rng;
use super::traffic::BY_HOUR;

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "okhttp/4.12.0",
];
const PATHS: [&str; 8] = [
    "/",
    "/products",
    "/products/search?q=caf%C3%A9+table",
    "/cart",
    "/static/app.9f2c.js",
    "/static/site.css",
    "/account/orders",
    "/checkout/start",
];
/// What strangers ask every web server for.
const STRAY_PATHS: [&str; 5] = [
    "/.env",
    "/wp-login.php",
    "/.git/config",
    "/phpmyadmin/",
    "/actuator/health",
];
const JAVA_TRACE: &str = "java.net.SocketTimeoutException: Read timed out
\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
\tat java.base/java.net.Socket$SocketInputStream.read(Socket.java:1099)
\tat com.example.http.Client.execute(Client.java:141)
\tat com.example.http.RetryingClient.execute(RetryingClient.java:57)
\t... 23 more";
const PYTHON_TRACE: &str = "Traceback (most recent call last):
  File \"/app/reports/render.py\", line 88, in render
    page.goto(url, timeout=15_000)
  File \"/app/.venv/lib/python3.13/site-packages/playwright/sync_api/_generated.py\", line 9054, in goto
    self._sync(
playwright._impl._errors.TimeoutError: Page.goto: Timeout 15000ms exceeded.";

/// One event of a task's stream.
pub(super) struct Line {
    /// Milliseconds since 1970.
    pub at: i64,
    pub task: usize,
    pub message: String,
}

/// Collects the streams and writes each once its task has gone.
pub(super) struct ContainerLogs<'a> {
    world: &'a World,
    /// Lines that are not part of ordinary life.
    extra: Vec<Line>,
    streams: BTreeMap<usize, GzEncoder<Vec<u8>>>,
    pub events: u64,
}

impl<'a> ContainerLogs<'a> {
    pub fn new(world: &'a World, extra: Vec<Line>) -> ContainerLogs<'a> {
        ContainerLogs {
            world,
            extra,
            streams: BTreeMap::new(),
            events: 0,
        }
    }

    /// Writes down the hour at `from`, and the streams that end in it.
    pub fn hour(&mut self, from: i64, out: &mut Output) -> io::Result<()> {
        let to = from + 3600;
        let mut lines = ordinary_lines(self.world, from);
        let in_hour = |line: &mut Line| (from..to).contains(&line.at.div_euclid(1000));
        lines.extend(self.extra.extract_if(.., in_hour));
        lines.sort_by_key(|line| line.at);
        for line in lines {
            let stream = self
                .streams
                .entry(line.task)
                .or_insert_with(|| encoder(Vec::new()));
            let time = iso(line.at.div_euclid(1000));
            let time = time.trim_end_matches('Z');
            writeln!(stream, "{time}.{:03}Z {}", line.at.rem_euclid(1000), line.message)?;
            self.events += 1;
        }
        let ended = |&task: &usize, _: &mut _| self.world.tasks[task].stopped < to;
        let ended: Vec<_> = self.streams.extract_if(.., ended).collect();
        self.write(ended, out)
    }

    /// Writes the streams of the tasks that still run.
    pub fn finish(&mut self, out: &mut Output) -> io::Result<()> {
        let streams = std::mem::take(&mut self.streams);
        self.write(streams, out)?;
        // CloudWatch Logs leaves this object to see whether it may write.
        out.put("exportedlogs/aws-logs-write-test", b"Permission Check Successful")
    }

    fn write(
        &self,
        streams: impl IntoIterator<Item = (usize, GzEncoder<Vec<u8>>)>,
        out: &mut Output,
    ) -> io::Result<()> {
        for (task, stream) in streams {
            let key = self.key(task);
            out.put(&key, &stream.finish()?)?;
        }
        Ok(())
    }

    fn key(&self, task: usize) -> String {
        let task = &self.world.tasks[task];
        let service = &self.world.services[task.service].name;
        let export = Rng::stream(self.world.seed, "export", task.service as u64).uuid();
        format!("exportedlogs/{export}/ecs-{service}-{}/000000.gz", task.id)
    }
}

fn ordinary_lines(world: &World, from: i64) -> Vec<Line> {
    let mut rng = Rng::stream(world.seed, "log lines", (from - world.start) as u64 / 3600);
    let percent = BY_HOUR[(from.div_euclid(3600).rem_euclid(24)) as usize];
    let mut lines = Vec::new();
    for (index, task) in world.tasks.iter().enumerate() {
        if (from..from + 3600).contains(&task.started) {
            let message = format!(
                "INFO started revision {} of {}, listening on 0.0.0.0:8080",
                task.revision, world.services[task.service].name
            );
            lines.push(Line {
                at: (task.started + 21) * 1000 + rng.range(0, 1000),
                task: index,
                message,
            });
        }
    }
    for (service, kind) in world.services.iter().enumerate() {
        let count = rng.count(u64::from(world.estate.log_lines_per_service_hour) * percent);
        for _ in 0..count {
            let at = from + rng.range(0, 3600);
            let tasks = world.tasks_of(service, at);
            let ready = |&&task: &&usize| world.tasks[task].started + 22 <= at;
            let tasks: Vec<usize> = tasks.iter().filter(ready).copied().collect();
            if tasks.is_empty() {
                continue;
            }
            lines.push(Line {
                at: at * 1000 + rng.range(0, 1000),
                task: *rng.pick(&tasks),
                message: message(world, &kind.name, at, &mut rng),
            });
        }
    }
    lines
}

fn message(world: &World, service: &str, at: i64, rng: &mut Rng) -> String {
    match service {
        "web" => access(world, at, rng),
        "worker" => work(rng),
        "reports" => report(at, rng),
        _ => request(world, service, at, rng),
    }
}

/// An access log line in the combined format, with the visitor's address at its end.
fn access(world: &World, at: i64, rng: &mut Rng) -> String {
    let balancer = world.enis[*rng.pick(&world.load_balancers)].address;
    let time = format(at, "%d/%b/%Y:%H:%M:%S +0000");
    if rng.below(600) == 0 {
        let (path, host) = (rng.pick(&STRAY_PATHS), 1 + rng.below(120));
        return format!(
            "{balancer} - - [{time}] \"GET {path} HTTP/1.1\" 404 153 \"-\" \"-\" \"203.0.113.{host}\" rt=0.001"
        );
    }
    let path = match rng.below(3) {
        0 => format!("/products/{}", 100 + rng.below(900)),
        _ => (*rng.pick(&PATHS)).to_string(),
    };
    let status = [200, 200, 200, 200, 200, 200, 304, 302, 404][rng.below(9) as usize];
    format!(
        "{balancer} - - [{time}] \"GET {path} HTTP/1.1\" {status} {} \"https://shop.example.com/\" \"{}\" \"198.51.100.{}\" rt=0.{:03}",
        rng.size(400, 6),
        rng.pick(&AGENTS),
        128 + rng.below(126),
        rng.size(4, 5),
    )
}

/// JSON lines of the services behind; those in Java print stack traces as they come.
fn request(world: &World, service: &str, at: i64, rng: &mut Rng) -> String {
    let trace = format!("1-{:08x}-{}", at, rng.hex(24));
    let log = |level: &str, text: &str| json!({"level": level, "time": iso(at), "service": service, "msg": text, "trace": trace});
    if matches!(service, "checkout" | "payments") && rng.below(400) == 0 {
        let mut line = log("ERROR", "call to upstream failed").to_string();
        line.push('\n');
        line.push_str(JAVA_TRACE);
        return line;
    }
    if rng.below(40) == 0 {
        return log(
            "WARN",
            "customer \"Zoë Müller\" not in cache: asking the database",
        )
        .to_string();
    }
    let balancer = world.enis[*rng.pick(&world.load_balancers)].address;
    let mut line = log("INFO", "request");
    line["method"] = json!(["GET", "GET", "POST"][rng.below(3) as usize]);
    line["path"] = json!(format!("/v1/{service}/{}", 1000 + rng.below(9000)));
    line["status"] = json!([200, 200, 200, 201, 204, 404, 409][rng.below(7) as usize]);
    line["ms"] = json!(rng.size(3, 6));
    line["peer"] = json!(balancer.to_string());
    line.to_string()
}

fn work(rng: &mut Rng) -> String {
    let job = rng.hex(8);
    let queue = rng.pick(&["invoices", "emails", "thumbnails", "exports"]);
    match rng.below(60) {
        0 => format!(
            "level=warn msg=\"job failed, will retry\" queue={queue} job={job} attempt=1 err=\"context deadline exceeded\""
        ),
        1 => "level=info msg=\"queue empty\" wait=20s".to_string(),
        _ => format!(
            "level=info msg=\"job done\" queue={queue} job={job} took={}ms",
            rng.size(20, 6)
        ),
    }
}

/// `reports` renders pages of our own sites as PDF and logs each request.
fn report(at: i64, rng: &mut Rng) -> String {
    if rng.below(300) == 0 {
        return format!(
            "{} ERROR [worker-{}] render failed\n{PYTHON_TRACE}",
            clock(at),
            rng.below(4)
        );
    }
    let page = [
        format!(
            "https%3A%2F%2Fshop.example.com%2Finvoices%2F{}",
            10_000 + rng.below(9_000)
        ),
        format!("https://static.example.com/statements/{}.html", rng.hex(10)),
        format!(
            "https%3A%2F%2Fshop.example.com%2Freports%2Fmonthly%3Fm%3D{}",
            1 + rng.below(10)
        ),
    ];
    let path = format!("/render?url={}&format=pdf", rng.pick(&page));
    let client = format!("198.51.100.{}", 128 + rng.below(126));
    let agent = *rng.pick(&AGENTS);
    report_access(
        at,
        &client,
        &path,
        200,
        rng.size(18_000, 4),
        rng.size(80, 4),
        agent,
    )
}

/// A line of the access log of `reports`.
pub(super) fn report_access(
    at: i64,
    client: &str,
    path: &str,
    status: u16,
    bytes: u64,
    millis: u64,
    agent: &str,
) -> String {
    format!(
        "{} INFO  [access] {client} \"GET {path} HTTP/1.1\" {status} {bytes} {millis}ms \"{agent}\"",
        clock(at)
    )
}

pub(super) fn clock(at: i64) -> String {
    format(at, "%Y-%m-%d %H:%M:%S")
}
