//! What the caller may choose.

use clap::{Args, ValueEnum};

/// Midnight of 2026-10-01, a Thursday.
const START: i64 = 1_790_812_800;

/// Fields of the flow log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlowFormat {
    /// AWS's default fields: no flags, no direction, no ECS fields.
    V2,
    /// All fields of versions 2 to 5.
    V5,
    /// All fields of versions 2 to 5, and the ECS fields of version 7.
    Ecs,
}

/// What to generate.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Days to write.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub days: u32,
    /// ECS services; jobs that run as tasks of their own come on top.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(4..=400))]
    pub services: u32,
    /// Tasks that start on a day, about.
    #[arg(long, default_value_t = 400)]
    pub tasks_a_day: u32,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Flow records on a weekday, about; health checks, log shipping and idle pools are a floor.
    #[arg(long, default_value_t = 400_000)]
    pub flow_records_a_day: u64,
    /// Put an attack for each network detection into the later half of the days.
    #[arg(long)]
    pub attacks: bool,
    /// Only the attacks of this strength; without it, each attack at 1, 2 and 3.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3), requires = "attacks")]
    pub strength: Option<u8>,
    /// Put beacons of 60 s to 1 h with 0 to 30% jitter into the later half of the days.
    #[arg(long)]
    pub beacons: bool,
    /// Longest aggregation window of a flow record, seconds: 60 or 600.
    #[arg(long, default_value_t = 60, value_parser = aggregation)]
    pub aggregation: i64,
    /// Percent of ECS events that never arrive.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub drop_events: u32,
    /// Fields of the flow log.
    #[arg(long, value_enum, default_value_t = FlowFormat::V5)]
    pub flow_format: FlowFormat,
    /// Percent of services whose tasks have an IPv6 address as well; half of the calls among these go over it.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub dual_stack: u32,
    /// Minutes that one log file holds; AWS's own are of 5.
    #[arg(long, default_value_t = 30, value_parser = file_minutes)]
    pub file_minutes: i64,
    /// Midnight at which the days begin, seconds since the epoch.
    #[arg(long, default_value_t = START, hide = true)]
    pub start: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            days: 30,
            services: 50,
            tasks_a_day: 400,
            seed: 1,
            flow_records_a_day: 400_000,
            attacks: false,
            strength: None,
            beacons: false,
            aggregation: 60,
            drop_events: 0,
            flow_format: FlowFormat::V5,
            dual_stack: 0,
            file_minutes: 30,
            start: START,
        }
    }
}

impl Options {
    /// The second after the last day.
    pub fn end(&self) -> i64 {
        self.start + i64::from(self.days) * 86_400
    }

    /// From here on there may be attacks: whoever learns has had half of the
    /// days, and never more than two weeks, in peace.
    pub fn attacks_from(&self) -> i64 {
        let quiet = if self.days >= 21 { 15 } else { self.days / 2 };
        self.start + i64::from(quiet) * 86_400
    }
}

fn aggregation(text: &str) -> Result<i64, String> {
    match text {
        "60" => Ok(60),
        "600" => Ok(600),
        _ => Err("AWS aggregates over 60 or 600 seconds".to_owned()),
    }
}

fn file_minutes(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(minutes @ (5 | 10 | 15 | 30 | 60)) => Ok(minutes),
        _ => Err("a file holds 5, 10, 15, 30 or 60 minutes".to_owned()),
    }
}
