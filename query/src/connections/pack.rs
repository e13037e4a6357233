//! The first stage: rows of `vpc_flow` to packed records, on all cores.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, Int32Array, Int64Array, Int64Builder, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr,
    PlanProperties,
};
use futures::StreamExt;

use super::address;
use super::fold::Fold;
use super::names::{Names, WORKLOAD};
use super::record::{Action, Direction, NO_NAME, NO_PROTOCOL, PACKED_BYTES, Record};

/// Columns of `vpc_flow` that every connection needs, in the order of [`Columns`].
/// After them come those of [`WORKLOAD`]; one that is not asked for is NULL.
pub const NEEDED: &[&str] = &[
    "start_time",
    "end_time",
    "srcaddr",
    "dstaddr",
    "pkt_srcaddr",
    "pkt_dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "action",
    "log_status",
    "flow_direction",
    "tcp_flags",
    "bytes",
    "packets",
    "interface_id",
    "tgw_attachment_id",
    "resource_id",
    "_source",
    "_line",
];

/// What the stage gives: two times to sort by, and the rest of the record.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("start", DataType::Int64, false),
        Field::new("end", DataType::Int64, false),
        Field::new("record", DataType::FixedSizeBinary(PACKED_BYTES as i32), false),
    ]))
}

/// Packs the records of each partition of its input.
#[derive(Debug)]
pub struct PackExec {
    input: Arc<dyn ExecutionPlan>,
    names: Arc<Names>,
    properties: Arc<PlanProperties>,
}

impl PackExec {
    /// Packs `input`, whose columns are [`NEEDED`] and [`WORKLOAD`].
    pub fn new(input: Arc<dyn ExecutionPlan>, names: Arc<Names>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        PackExec {
            input,
            names,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for PackExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "PackExec: flow records")
    }
}

impl ExecutionPlan for PackExec {
    fn name(&self) -> &'static str {
        "PackExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(PackExec::new(
            children.swap_remove(0),
            Arc::clone(&self.names),
        )))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let mut packer = Packer::new(Arc::clone(&self.names));
        let packed = input.map(move |batch| packer.pack(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), packed)))
    }
}

/// One partition's packing. It keeps the numbers of names it has met, so that the
/// table that all partitions share is only asked for new ones.
struct Packer {
    names: Arc<Names>,
    whos: HashMap<Box<[u8]>, u32, Fold>,
    sources: HashMap<Box<str>, u32, Fold>,
    key: Vec<u8>,
    last_source: Option<(Box<str>, u32)>,
}

/// The columns of a batch by their types.
struct Columns<'a> {
    start: &'a TimestampMicrosecondArray,
    end: &'a TimestampMicrosecondArray,
    addresses: [&'a StringViewArray; 4],
    srcport: &'a Int32Array,
    dstport: &'a Int32Array,
    protocol: &'a Int32Array,
    action: &'a StringViewArray,
    status: &'a StringViewArray,
    direction: &'a StringViewArray,
    flags: &'a Int32Array,
    bytes: &'a Int64Array,
    packets: &'a Int64Array,
    interface: [&'a StringViewArray; 3],
    source: &'a StringViewArray,
    line: &'a Int64Array,
    workload: Vec<&'a StringViewArray>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        let columns: &'a [ArrayRef] = batch.columns();
        let text = |at: usize| columns[at].as_string_view();
        let int = |at: usize| columns[at].as_primitive::<Int32Type>();
        let long = |at: usize| columns[at].as_primitive::<Int64Type>();
        Columns {
            start: columns[0].as_primitive::<TimestampMicrosecondType>(),
            end: columns[1].as_primitive::<TimestampMicrosecondType>(),
            addresses: [text(2), text(3), text(4), text(5)],
            srcport: int(6),
            dstport: int(7),
            protocol: int(8),
            action: text(9),
            status: text(10),
            direction: text(11),
            flags: int(12),
            bytes: long(13),
            packets: long(14),
            interface: [text(15), text(16), text(17)],
            source: text(18),
            line: long(19),
            workload: (0..WORKLOAD.len()).map(|at| text(NEEDED.len() + at)).collect(),
        }
    }
}

fn bytes_at(column: &StringViewArray, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.value(row).as_bytes())
}

fn text_at(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn port_at(column: &Int32Array, row: usize) -> u16 {
    match column.is_valid(row) {
        true => u16::try_from(column.value(row)).unwrap_or(0),
        false => 0,
    }
}

fn count_at(column: &Int64Array, row: usize) -> i64 {
    match column.is_valid(row) {
        true => column.value(row).max(0),
        false => 0,
    }
}

impl Packer {
    fn new(names: Arc<Names>) -> Self {
        Packer {
            names,
            whos: HashMap::default(),
            sources: HashMap::default(),
            key: Vec::new(),
            last_source: None,
        }
    }

    fn pack(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = Columns::new(batch);
        let rows = batch.num_rows();
        let mut starts = Int64Builder::with_capacity(rows);
        let mut ends = Int64Builder::with_capacity(rows);
        let mut records = FixedSizeBinaryBuilder::with_capacity(rows, PACKED_BYTES as i32);
        for row in 0..rows {
            if let Some(record) = self.record(&columns, row) {
                starts.append_value(record.start);
                ends.append_value(record.end);
                records.append_value(record.pack())?;
            }
        }
        let packed: Vec<ArrayRef> = vec![
            Arc::new(starts.finish()),
            Arc::new(ends.finish()),
            Arc::new(records.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), packed)?)
    }

    /// The record of a row, if it is part of a connection.
    fn record(&mut self, columns: &Columns, row: usize) -> Option<Record> {
        // Without the field the record is taken for sound, as it has addresses.
        if bytes_at(columns.status, row).is_some_and(|status| status != b"OK") || columns.start.is_null(row) {
            return None;
        }
        let [src, dst, pkt_src, pkt_dst] = columns.addresses;
        let src = bytes_at(pkt_src, row).or_else(|| bytes_at(src, row))?;
        let dst = bytes_at(pkt_dst, row).or_else(|| bytes_at(dst, row))?;
        let start = columns.start.value(row);
        let end = match columns.end.is_valid(row) {
            true => columns.end.value(row).max(start),
            false => start,
        };
        Some(Record {
            start,
            end,
            src: address::parse(src)?,
            dst: address::parse(dst)?,
            srcport: port_at(columns.srcport, row),
            dstport: port_at(columns.dstport, row),
            protocol: match columns.protocol.is_valid(row) {
                true => u8::try_from(columns.protocol.value(row)).unwrap_or(NO_PROTOCOL),
                false => NO_PROTOCOL,
            },
            action: match bytes_at(columns.action, row) {
                Some(b"ACCEPT") => Action::Accept,
                Some(b"REJECT") => Action::Reject,
                _ => Action::Unknown,
            },
            direction: match bytes_at(columns.direction, row) {
                Some(b"ingress") => Direction::Ingress,
                Some(b"egress") => Direction::Egress,
                _ => Direction::Unknown,
            },
            flags: columns
                .flags
                .is_valid(row)
                .then(|| columns.flags.value(row) as u16),
            bytes: count_at(columns.bytes, row),
            packets: count_at(columns.packets, row),
            who: self.who(columns, row),
            source: self.source(columns.source, row),
            line: count_at(columns.line, row),
        })
    }

    fn who(&mut self, columns: &Columns, row: usize) -> u32 {
        let interface = columns.interface.iter().find_map(|column| text_at(column, row));
        self.key.clear();
        let workload = columns.workload.iter().map(|column| text_at(column, row));
        for value in std::iter::once(interface).chain(workload) {
            // Neither byte is in any text.
            match value {
                Some(text) => {
                    self.key.extend_from_slice(text.as_bytes());
                    self.key.push(0xff);
                }
                None => self.key.push(0xfe),
            }
        }
        if let Some(&number) = self.whos.get(self.key.as_slice()) {
            return number;
        }
        let number = self.names.lock().who(&self.key, || {
            let workload = columns
                .workload
                .iter()
                .map(|column| text_at(column, row).map(Box::from));
            (interface.map(Box::from), workload.collect())
        });
        self.whos.insert(self.key.as_slice().into(), number);
        number
    }

    fn source(&mut self, column: &StringViewArray, row: usize) -> u32 {
        let Some(name) = text_at(column, row) else {
            return NO_NAME;
        };
        if let Some((last, number)) = &self.last_source
            && **last == *name
        {
            return *number;
        }
        let number = match self.sources.get(name) {
            Some(&number) => number,
            None => {
                let number = self.names.lock().source(name);
                self.sources.insert(name.into(), number);
                number
            }
        };
        self.last_source = Some((name.into(), number));
        number
    }
}
