//! Closed connections to rows of the table: only the columns that are asked for.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};

use super::address;
use super::connection::{Connection, Ending, Seen, Told};
use super::names::{Inner, WORKLOAD};
use super::record::{Action, NO_PROTOCOL};
use super::tracker::Closed;

/// A closed connection, and what was made out about it.
struct Row {
    connection: Connection,
    /// The end that began.
    initiator: usize,
    told: Told,
    ending: Ending,
}

impl Row {
    fn new(closed: Closed) -> Self {
        let (initiator, told) = closed.connection.initiator();
        Row {
            initiator,
            told,
            ending: closed.connection.ended(closed.closing),
            connection: closed.connection,
        }
    }

    /// What the interface that counts saw from the initiator, or to it.
    fn counted(&self, outward: bool) -> Option<&Seen> {
        self.connection.counted(self.way(outward))
    }

    fn way(&self, outward: bool) -> usize {
        if outward {
            self.initiator
        } else {
            1 - self.initiator
        }
    }

    fn bytes(&self, outward: bool) -> i64 {
        self.counted(outward)
            .map_or(0, |seen| seen.bytes[self.way(outward)])
    }

    fn packets(&self, outward: bool) -> i64 {
        self.counted(outward)
            .map_or(0, |seen| seen.packets[self.way(outward)])
    }

    fn windows(&self) -> i64 {
        let of = |outward| {
            self.counted(outward)
                .map_or(0, |seen| seen.records[self.way(outward)])
        };
        i64::from(of(true).max(of(false)))
    }

    fn records(&self) -> i64 {
        let both = |seen: &Seen| i64::from(seen.records[0]) + i64::from(seen.records[1]);
        self.connection.seen().map(both).sum()
    }

    /// The interface that was seen to be at an end, and at that only.
    fn at(&self, end: usize) -> Option<&Seen> {
        self.connection
            .seen()
            .find(|seen| seen.is_at[end] && !seen.is_at[1 - end])
    }

    /// The interface that stands for the connection.
    fn chief(&self) -> Option<&Seen> {
        self.at(self.initiator).or_else(|| self.connection.seen().next())
    }

    fn is_complete(&self) -> bool {
        self.connection.has_begin() && !matches!(self.ending, Ending::Open | Ending::Limit)
    }
}

/// Rows of the columns in `schema`.
///
/// # Errors
/// `schema` has a column that the table has not.
pub fn batch(closed: Vec<Closed>, schema: &SchemaRef, names: &Inner) -> Result<RecordBatch> {
    let rows: Vec<Row> = closed.into_iter().map(Row::new).collect();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), &rows, names))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

fn column(name: &str, rows: &[Row], names: &Inner) -> Result<ArrayRef> {
    Ok(match name {
        "start_time" => times(rows, |row| row.connection.start),
        "end_time" => times(rows, |row| row.connection.end),
        "initiator_addr" => addresses(rows, true),
        "responder_addr" => addresses(rows, false),
        "initiator_port" => ints(rows, |row| Some(row.connection.key.port(row.initiator).into())),
        "responder_port" => ints(rows, |row| {
            Some(row.connection.key.port(1 - row.initiator).into())
        }),
        "protocol" => ints(rows, |row| match row.connection.key.protocol() {
            NO_PROTOCOL => None,
            protocol => Some(protocol.into()),
        }),
        "action" => texts(rows, |row| match row.connection.key.action() {
            Action::Accept => Some("ACCEPT"),
            Action::Reject => Some("REJECT"),
            Action::Unknown => None,
        }),
        "bytes_out" => longs(rows, |row| row.bytes(true)),
        "bytes_in" => longs(rows, |row| row.bytes(false)),
        "packets_out" => longs(rows, |row| row.packets(true)),
        "packets_in" => longs(rows, |row| row.packets(false)),
        "tcp_flags_out" => ints(rows, |row| row.connection.flags[row.way(true)].map(i32::from)),
        "tcp_flags_in" => ints(rows, |row| row.connection.flags[row.way(false)].map(i32::from)),
        "windows" => longs(rows, Row::windows),
        "records" => longs(rows, Row::records),
        "window_seconds" => ints(rows, |row| {
            Some(i32::try_from(row.connection.longest / 1_000_000).unwrap_or(i32::MAX))
        }),
        "initiator_by" => texts(rows, |row| {
            Some(match row.told {
                Told::Flags => "tcp-flags",
                Told::Port => "port",
                Told::First => "first-record",
            })
        }),
        "ending" => texts(rows, |row| {
            Some(match row.ending {
                Ending::Fin => "fin",
                Ending::Rst => "rst",
                Ending::Idle => "idle",
                Ending::Reused => "reused",
                Ending::Limit => "limit",
                Ending::Open => "open",
            })
        }),
        "complete" => Arc::new(
            rows.iter()
                .map(|row| Some(row.is_complete()))
                .collect::<BooleanArray>(),
        ),
        "interface_id" => texts(rows, |row| {
            row.chief().and_then(|seen| names.interface_of(seen.who))
        }),
        "interfaces" => interfaces(rows, names),
        "initiator_interface_id" => texts(rows, |row| {
            row.at(row.initiator)
                .and_then(|seen| names.interface_of(seen.who))
        }),
        "responder_interface_id" => texts(rows, |row| {
            row.at(1 - row.initiator)
                .and_then(|seen| names.interface_of(seen.who))
        }),
        "_source" => texts(rows, |row| names.source_at(row.connection.evidence.0)),
        "_line" => longs(rows, |row| row.connection.evidence.1),
        other => {
            let Some(place) = WORKLOAD.iter().position(|column| *column == other) else {
                return Err(DataFusionError::Internal(format!(
                    "connections has no column {other}"
                )));
            };
            texts(rows, |row| {
                let who = row.chief().and_then(|seen| names.who_at(seen.who))?;
                who.workload.get(place)?.as_deref()
            })
        }
    })
}

fn times(rows: &[Row], value: impl Fn(&Row) -> i64) -> ArrayRef {
    let array = TimestampMicrosecondArray::from_iter_values(rows.iter().map(value));
    Arc::new(array.with_timezone(trailhound_ingest::column::TIMESTAMP))
}

fn longs(rows: &[Row], value: impl Fn(&Row) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
}

fn ints(rows: &[Row], value: impl Fn(&Row) -> Option<i32>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Int32Array>())
}

fn texts<'a>(rows: &'a [Row], value: impl Fn(&'a Row) -> Option<&'a str>) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows.len());
    for row in rows {
        builder.append_option(value(row));
    }
    Arc::new(builder.finish())
}

fn addresses(rows: &[Row], is_initiator: bool) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows.len());
    let mut text = String::new();
    for row in rows {
        let end = if is_initiator {
            row.initiator
        } else {
            1 - row.initiator
        };
        text.clear();
        address::write(&row.connection.key.address(end), &mut text);
        builder.append_value(&text);
    }
    Arc::new(builder.finish())
}

fn interfaces(rows: &[Row], names: &Inner) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows.len());
    for row in rows {
        let mut ids: Vec<&str> = row
            .connection
            .seen()
            .filter_map(|seen| names.interface_of(seen.who))
            .collect();
        ids.sort_unstable();
        match ids.is_empty() {
            true => builder.append_null(),
            false => builder.append_value(ids.join(" ")),
        }
    }
    Arc::new(builder.finish())
}
