//! The last stage: packed records by time to connections, in bounded memory.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PhysicalExpr, PlanProperties,
};
use futures::{StreamExt, stream};

use super::connection::Patience;
use super::names::Names;
use super::record::Record;
use super::rows;
use super::settings::Settings;
use super::tracker::{Closed, Tracker};

/// Rows of an output batch.
const BATCH_ROWS: usize = 8192;

/// Records between two looks at how many connections are open.
const STEP: usize = 1024;

/// Stitches the packed records of its input, which come in order of time.
#[derive(Debug)]
pub struct StitchExec {
    input: Arc<dyn ExecutionPlan>,
    names: Arc<Names>,
    settings: Settings,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl StitchExec {
    /// Gives the columns of `schema`.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        names: Arc<Names>,
        settings: Settings,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        StitchExec {
            input,
            names,
            settings,
            schema,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for StitchExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "StitchExec: idle_seconds={}, tcp_idle_seconds={}, open_max={}",
            self.settings.idle_seconds, self.settings.tcp_idle_seconds, self.settings.open_max
        )
    }
}

impl ExecutionPlan for StitchExec {
    fn name(&self) -> &'static str {
        "StitchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let by = |name: &str, at| PhysicalSortExpr::new_default(Arc::new(Column::new(name, at)));
        vec![LexOrdering::new([by("start", 0), by("end", 1)]).map(OrderingRequirements::from)]
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
        Ok(Arc::new(StitchExec::new(
            children.swap_remove(0),
            Arc::clone(&self.names),
            self.settings.clone(),
            Arc::clone(&self.schema),
        )))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!(
                "connections have one partition, not number {partition}"
            )));
        }
        let input = self.input.execute(0, Arc::clone(&context))?;
        let reservation = MemoryConsumer::new("open connections").register(context.memory_pool());
        let stitcher = Stitcher::new(
            Arc::clone(&self.names),
            &self.settings,
            Arc::clone(&self.schema),
            reservation,
        );
        let state = (input, stitcher, false);
        let batches = stream::try_unfold(state, |(mut input, mut stitcher, mut is_over)| async move {
            loop {
                let is_enough = stitcher.closed.len() >= BATCH_ROWS;
                if is_enough || (is_over && !stitcher.closed.is_empty()) {
                    let batch = stitcher.take()?;
                    return Ok::<_, DataFusionError>(Some((batch, (input, stitcher, is_over))));
                }
                if is_over {
                    return Ok(None);
                }
                match input.next().await {
                    Some(batch) => stitcher.push(&batch?)?,
                    None => {
                        stitcher.tracker.finish(&mut stitcher.closed);
                        is_over = true;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        )))
    }
}

/// One run: the open connections, and those that wait to be given out.
struct Stitcher {
    tracker: Tracker,
    closed: Vec<Closed>,
    /// Interface of each number of interface and workload.
    interfaces: Vec<u32>,
    names: Arc<Names>,
    schema: SchemaRef,
    open_max: usize,
    /// Connections that memory was reserved for.
    room: usize,
    reservation: MemoryReservation,
}

impl Stitcher {
    fn new(
        names: Arc<Names>,
        settings: &Settings,
        schema: SchemaRef,
        reservation: MemoryReservation,
    ) -> Self {
        let micros = |seconds: u64| i64::try_from(seconds).map_or(i64::MAX, |s| s.saturating_mul(1_000_000));
        let patience = Patience {
            idle: micros(settings.idle_seconds),
            tcp_idle: micros(settings.tcp_idle_seconds),
            linger: micros(settings.linger_seconds),
        };
        Stitcher {
            tracker: Tracker::new(patience),
            closed: Vec::new(),
            interfaces: Vec::new(),
            names,
            schema,
            open_max: settings.open_max.max(1),
            room: 0,
            reservation,
        }
    }

    /// Adds a batch of packed records.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let starts = batch.column(0).as_primitive::<Int64Type>();
        let ends = batch.column(1).as_primitive::<Int64Type>();
        let records = batch.column(2).as_fixed_size_binary();
        let mut row = 0;
        while row < batch.num_rows() {
            let upto = batch.num_rows().min(row + STEP);
            self.make_room(upto - row)?;
            for row in row..upto {
                let record = Record::unpack(starts.value(row), ends.value(row), records.value(row));
                let interface = self.interface(record.who);
                self.tracker.push(&record, interface, &mut self.closed);
            }
            row = upto;
        }
        Ok(())
    }

    /// Sees to it that `more` connections can be opened within memory and the limit.
    fn make_room(&mut self, more: usize) -> Result<()> {
        let wanted = self.tracker.open() + more;
        if wanted > self.room {
            let names = self.names.lock().bytes();
            let size = |room: usize| room * Tracker::CONNECTION_BYTES + names;
            let doubled = (self.room * 2).max(wanted);
            for room in [doubled, wanted] {
                if self.reservation.try_resize(size(room)).is_ok() {
                    self.room = room;
                    break;
                }
            }
        }
        let open_max = self.room.min(self.open_max.saturating_add(more));
        if open_max < more {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "connections: no memory for even {more} open connections; give the session more"
            )));
        }
        self.tracker.shrink(open_max - more, &mut self.closed);
        Ok(())
    }

    fn interface(&mut self, who: u32) -> u32 {
        if let Some(&interface) = self.interfaces.get(who as usize) {
            return interface;
        }
        let names = self.names.lock();
        while let Some(next) = names.who_at(self.interfaces.len() as u32) {
            self.interfaces.push(next.interface);
        }
        self.interfaces.get(who as usize).copied().unwrap_or(u32::MAX)
    }

    /// The first of those that are closed, as rows.
    fn take(&mut self) -> Result<RecordBatch> {
        let rest = self.closed.split_off(self.closed.len().min(BATCH_ROWS));
        let closed = std::mem::replace(&mut self.closed, rest);
        rows::batch(closed, &self.schema, &self.names.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, Int64Array};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};

    use crate::connections::pack;
    use crate::connections::record::{Action, Direction, NO_NAME, PACKED_BYTES, TCP};
    use crate::connections::{COLUMNS, schema};

    /// SYNs of this many clients, one a millisecond.
    fn syns(clients: std::ops::Range<u32>) -> RecordBatch {
        let mut packed = FixedSizeBinaryBuilder::new(PACKED_BYTES as i32);
        for client in clients.clone() {
            let mut src = [0; 16];
            src[12..].copy_from_slice(&client.to_be_bytes());
            let record = Record {
                start: 0,
                end: 0,
                src,
                dst: [1; 16],
                srcport: 40_000,
                dstport: 443,
                protocol: TCP,
                action: Action::Accept,
                direction: Direction::Unknown,
                flags: Some(2),
                bytes: 60,
                packets: 1,
                who: 0,
                source: NO_NAME,
                line: 0,
            };
            packed.append_value(record.pack()).unwrap();
        }
        let times: Int64Array = clients.map(|client| i64::from(client) * 1000).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(times.clone()),
            Arc::new(times),
            Arc::new(packed.finish()),
        ];
        RecordBatch::try_new(pack::schema(), columns).unwrap()
    }

    fn stitcher(memory_bytes: usize) -> Stitcher {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
        let reservation = MemoryConsumer::new("test").register(&pool);
        Stitcher::new(
            Arc::new(Names::default()),
            &Settings::default(),
            schema(),
            reservation,
        )
    }

    #[test]
    fn memory_bounds_what_is_open_and_the_oldest_go_first() {
        let mut stitcher = stitcher(5_000 * Tracker::CONNECTION_BYTES);
        for part in 0..10 {
            stitcher.push(&syns(part * 4000..(part + 1) * 4000)).unwrap();
            assert!(stitcher.tracker.open() <= 5_000, "{}", stitcher.tracker.open());
        }
        let open = stitcher.tracker.open();
        assert!(open > 1_000, "{open} of 5,000");
        let closed = stitcher.closed.len();
        stitcher.tracker.finish(&mut stitcher.closed);
        assert_eq!(stitcher.closed.len(), 40_000, "every record is in a connection");
        let latest = |some: &[Closed]| some.iter().map(|closed| closed.connection.start).max();
        let earliest = |some: &[Closed]| some.iter().map(|closed| closed.connection.start).min();
        let (early, late) = stitcher.closed.split_at(closed);
        // Rounded to days of the calendar, of sixteen seconds.
        assert!(latest(early) <= earliest(late).map(|start| start + 16_000_000));
        let batch = stitcher.take().unwrap();
        assert_eq!(batch.num_columns(), COLUMNS.len());
    }

    #[test]
    fn no_memory_at_all_is_an_error_that_says_so() {
        let error = stitcher(100).push(&syns(0..10)).unwrap_err().to_string();
        assert!(
            error.contains("no memory for even 10 open connections"),
            "{error}"
        );
    }
}
