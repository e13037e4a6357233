//! The one place where DataFusion is set up.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use trailhound_ingest::baselines::table_named;
use trailhound_ingest::formats::{FORMATS, format_named};
use trailhound_lake::Lake;

use crate::build_side;
use crate::connections::{self, ConnectionsTable};
use crate::declared;
use crate::enrichment::{Enrichment, EnrichmentFiles};
use crate::error::Error;
use crate::functions;
use crate::identity::{self, Identity};
use crate::lake_table::{self, LakeTable};
use crate::ledger::{Ledger, Report, SharedLedger};
use crate::location::From;
use crate::log_format::{LogFormat, LogFormatFactory};
use crate::log_table::{LogTable, LogTableFactory};
use crate::rejects::RejectsTable;
use crate::stores::Stores;

/// Tables of the lake whose time is not that of an event.
const UNTIMED: &[&str] = &["rejects", "object_digests", "identity_claims"];

/// Whether the stretch of time asked for does not apply to a table of the lake. What is
/// normal was learnt before it, so baselines are there whole.
fn is_untimed(table: &str) -> bool {
    UNTIMED.contains(&table) || table_named(table).is_some()
}

/// Longest SQL text that is planned. Nobody writes more by hand, and planning
/// costs memory and stack with the length.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Memory of a session unless said otherwise. Sorts and joins spill above it.
pub const MEMORY_BYTES_DEFAULT: usize = 1 << 30;

/// How to open a session.
#[derive(Debug, Clone)]
pub struct Options {
    /// The lake whose tables are there too. A raw table of the same name hides the lake's.
    pub lake: Option<Lake>,
    /// Raw tables.
    pub from: Vec<From>,
    /// Settings of log formats: (table or format, name, value).
    pub format_options: Vec<(String, String, String)>,
    /// Events before this are left out.
    pub since: Option<DateTime<Utc>>,
    /// Events at or after this are left out.
    pub until: Option<DateTime<Utc>>,
    /// Files that say more about addresses.
    pub enrichment: EnrichmentFiles,
    /// Where S3 lies, if not at AWS.
    pub endpoint_url: Option<String>,
    /// Memory that queries may use, in bytes.
    pub memory_bytes: usize,
    /// Files read at once; by default one for each core.
    pub partitions: Option<usize>,
    /// Value of `_ingested_at`: the time of this run.
    pub now: DateTime<Utc>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lake: None,
            from: Vec::new(),
            format_options: Vec::new(),
            since: None,
            until: None,
            enrichment: EnrichmentFiles::default(),
            endpoint_url: None,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            partitions: None,
            now: Utc::now(),
        }
    }
}

/// A table, for people and completion.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Number of objects or files behind it, and their compressed bytes.
    pub objects: Option<(usize, u64)>,
    /// Its columns in order.
    pub columns: Vec<ColumnInfo>,
}

/// A column, for people and completion.
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type in the terms of SQL.
    pub data_type: String,
    /// Its meaning.
    pub about: String,
    /// The values that it takes, if they are few.
    pub values: &'static [&'static str],
}

/// The raw tables of a session.
#[derive(Debug, Default)]
pub struct RawTables(Mutex<Vec<Arc<LogTable>>>);

impl RawTables {
    /// All of them.
    pub fn all(&self) -> Vec<Arc<LogTable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds one.
    pub fn add(&self, table: Arc<LogTable>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(table);
    }
}

/// Tables, functions and limits: everything that a query sees.
pub struct Session {
    context: SessionContext,
    ledger: SharedLedger,
    raw: Arc<RawTables>,
    lake: BTreeMap<String, Arc<LakeTable>>,
    enrichment: Arc<Enrichment>,
    identity: Arc<Identity>,
}

/// The rows that a query gives, as they are made.
pub struct Answer {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows. Dropping the stream cancels the query.
    pub stream: BoxStream<'static, Result<RecordBatch, Error>>,
}

impl Answer {
    /// All rows at once.
    ///
    /// # Errors
    /// The query failed on its way.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, Error> {
        self.stream.try_collect().await
    }
}

impl Session {
    /// Sets up the engine and the raw tables. No object is read yet.
    ///
    /// # Errors
    /// A table has no such format, an option makes no sense, or nothing lies at a location.
    pub async fn open(options: Options) -> Result<Session, Error> {
        let plain = |error: datafusion::common::DataFusionError| crate::error::explain(&error, "", &[]);
        let ledger: SharedLedger = Arc::new(Ledger::default());
        let five = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(GreedyMemoryPool::new(options.memory_bytes), five);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            .map_err(plain)?;
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_option_extension(connections::Settings::default());
        if let Some(partitions) = options.partitions {
            config = config.with_target_partitions(partitions.max(1));
        }
        config.options_mut().sql_parser.collect_spans = true;
        config.options_mut().execution.parquet.pushdown_filters = true;
        // Wrong in DataFusion 55: `max(a), min(CASE ...)` skips the row groups that cannot raise `max(a)`,
        // whatever the second aggregate would find there.
        config
            .options_mut()
            .optimizer
            .enable_aggregate_dynamic_filter_pushdown = false;
        let ingested_at = options.now.timestamp_micros();
        let log_format = |format, options| LogFormat {
            format,
            options,
            ledger: Arc::clone(&ledger),
            ingested_at,
        };
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features();
        let mut state = build_side::with_build_side(builder).build();
        for format in FORMATS {
            let factory = LogFormatFactory(log_format(*format, BTreeMap::new()));
            state
                .register_file_format(Arc::new(factory), true)
                .map_err(plain)?;
        }
        let mut context = SessionContext::new_with_state(state);
        let enrichment = Arc::new(Enrichment::new(options.enrichment.clone(), options.now)?);
        functions::register_with(&mut context, &enrichment).map_err(plain)?;
        let stores = Arc::new(Stores::new(context.runtime_env(), options.endpoint_url.clone()));
        let raw = Arc::new(RawTables::default());
        for format in FORMATS {
            let format = log_format(*format, BTreeMap::new());
            let name = format.format.name().to_uppercase();
            let factory = LogTableFactory {
                format,
                stores: Arc::clone(&stores),
                raw: Arc::clone(&raw),
            };
            context
                .state_ref()
                .write()
                .table_factories_mut()
                .insert(name, Arc::new(factory));
        }

        check_option_tables(&options)?;
        let mut sources = Vec::new();
        for from in &options.from {
            if from.format == "inventory" {
                let inventory = identity::open_inventory(&context, from, &stores).await?;
                context
                    .register_table(from.table.as_str(), Arc::clone(&inventory))
                    .map_err(plain)?;
                sources.push(identity::Source {
                    table: from.table.clone(),
                    format: from.format.clone(),
                    whole: inventory,
                    claims: true,
                });
                continue;
            }
            if let Some(declared) = declared::declared_named(&from.format) {
                let table = declared::open(&context, declared, from, &stores).await?;
                context
                    .register_table(from.table.as_str(), table)
                    .map_err(plain)?;
                continue;
            }
            let Some(format) = format_named(&from.format) else {
                let names: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
                let error = Error::wrong_use(format!("there is no log format {}", from.format));
                return Err(match crate::error::nearest(&from.format, &names) {
                    Some(near) => error.with_help(format!("did you mean {near}?")),
                    None => error.with_help(format!(
                        "there are {}; give another table name as NAME:FORMAT=PATH",
                        names.join(", ")
                    )),
                });
            };
            if context.table_exist(from.table.as_str()).map_err(plain)? {
                return Err(
                    Error::wrong_use(format!("table {} is given twice", from.table)).with_help(format!(
                        "give one of them another name: NAME:{}=PATH",
                        from.format
                    )),
                );
            }
            let own = options
                .format_options
                .iter()
                .filter(|(table, ..)| *table == from.table || *table == from.format);
            let own: BTreeMap<String, String> = own
                .map(|(_, name, value)| (name.clone(), value.clone()))
                .collect();
            let format = log_format(format, own);
            format.check_options().map_err(plain)?;
            let objects = from.objects(&stores).await?;
            let table = Arc::new(LogTable::new(&from.table, format, objects).map_err(plain)?);
            raw.add(Arc::clone(&table));
            sources.push(identity::Source {
                table: from.table.clone(),
                format: from.format.clone(),
                whole: Arc::clone(&table) as _,
                claims: true,
            });
            let provider = in_time(&context, table, options.since, options.until).map_err(plain)?;
            context
                .register_table(from.table.as_str(), provider)
                .map_err(plain)?;
        }
        let mut in_lake = BTreeMap::new();
        if let Some(lake) = &options.lake {
            lake_table::register(&context.runtime_env(), lake);
            let names = lake.table_names().await?;
            // Lakes from before there were claims have to be read for them.
            let without_claims = !names.iter().any(|name| name == "identity_claims");
            for name in names {
                let hidden = name == "rejects" && !options.from.is_empty();
                if hidden || context.table_exist(name.as_str()).map_err(plain)? {
                    continue;
                }
                let Some(snapshot) = lake.snapshot(&name).await? else {
                    continue;
                };
                let table = Arc::new(LakeTable::new(lake, &name, snapshot).map_err(plain)?);
                // A record of `coverage` stands for an hour, of which the stretch may be a part.
                let since = match name == "coverage" {
                    true => options.since.map(hour_of),
                    false => options.since,
                };
                let provider = match is_untimed(&name) {
                    true => Arc::clone(&table) as Arc<dyn TableProvider>,
                    false => {
                        in_time(&context, Arc::clone(&table) as _, since, options.until).map_err(plain)?
                    }
                };
                context.register_table(name.as_str(), provider).map_err(plain)?;
                sources.push(identity::Source {
                    table: name.clone(),
                    format: name.clone(),
                    whole: Arc::clone(&table) as _,
                    claims: without_claims,
                });
                in_lake.insert(name, table);
            }
        }
        if !in_lake.contains_key("rejects") {
            let rejects = RejectsTable {
                raw: Arc::downgrade(&raw),
            };
            context
                .register_table("rejects", Arc::new(rejects))
                .map_err(plain)?;
        }
        let within = |table| in_time(&context, table, options.since, options.until);
        let identity = identity::register(&context, sources, ingested_at, within).map_err(plain)?;
        let session = Session {
            context,
            ledger,
            raw,
            lake: in_lake,
            enrichment,
            identity,
        };
        session.make_events_view().await?;
        session.make_connections_table().await?;
        Ok(session)
    }

    /// The view `events`: all tables of records on one timeline.
    async fn make_events_view(&self) -> Result<(), Error> {
        let raw = self.raw.all();
        let raw = raw
            .iter()
            .map(|table| (table.name().to_owned(), table.format().format));
        let lake = self
            .lake
            .keys()
            .filter_map(|name| Some((name.clone(), format_named(name)?)));
        let parts: Vec<String> = raw
            .chain(lake)
            .map(|(name, format)| {
                let line = format.timeline();
                format!(
                    "SELECT event_time AS time, '{name}' AS \"table\", {who} AS who, {what} AS what, \
                     {place} AS \"where\", {from} AS \"from\", _source, _line FROM {name}",
                    who = line.who,
                    what = line.what,
                    place = line.place,
                    from = line.from,
                )
            })
            .collect();
        if !parts.is_empty() {
            let sql = format!("CREATE VIEW events AS {}", parts.join(" UNION ALL "));
            self.context
                .sql(&sql)
                .await
                .map_err(|error| crate::error::explain(&error, &sql, &[]))?;
        }
        Ok(())
    }

    /// The table `connections`, where there are flow logs to make it of.
    async fn make_connections_table(&self) -> Result<(), Error> {
        let plain = |error| crate::error::explain(&error, "", &[]);
        let taken = self.context.table_exist(connections::NAME).map_err(plain)?;
        if taken || !self.context.table_exist(connections::SOURCE).map_err(plain)? {
            return Ok(());
        }
        let records = self
            .context
            .table_provider(connections::SOURCE)
            .await
            .map_err(plain)?;
        let table = Arc::new(ConnectionsTable::new(records));
        self.context
            .register_table(connections::NAME, table)
            .map_err(plain)?;
        Ok(())
    }

    /// Plans one statement and starts it.
    ///
    /// # Errors
    /// The statement is wrong; with the place in it, and what may have been meant.
    pub async fn query(&self, sql: &str) -> Result<Answer, Error> {
        self.query_with(sql, &[]).await
    }

    /// Like [`Session::query`], with values for `$name` in the statement.
    ///
    /// # Errors
    /// The statement is wrong, or a parameter is missing.
    pub async fn query_with(&self, sql: &str, parameters: &[(&str, ScalarValue)]) -> Result<Answer, Error> {
        if sql.len() > SQL_BYTES_MAX {
            let message = format!(
                "the SQL text is {} bytes long; the most is {SQL_BYTES_MAX}",
                sql.len()
            );
            return Err(Error::wrong_use(message));
        }
        crate::depth::check(sql)?;
        let tables = self.table_names();
        let explain = |error| crate::error::explain(&error, sql, &tables);
        let mut frame = self.context.sql(sql).await.map_err(explain)?;
        if !parameters.is_empty() {
            let values: std::collections::HashMap<String, ScalarValue> = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            frame = frame
                .with_param_values(ParamValues::from(values))
                .map_err(explain)?;
        }
        let stream = frame.execute_stream().await.map_err(explain)?;
        let (schema, sql) = (stream.schema(), sql.to_owned());
        let stream = stream
            .map_err(move |error| crate::error::explain(&error, &sql, &tables))
            .boxed();
        Ok(Answer { schema, stream })
    }

    /// The engine underneath.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// What was read so far.
    pub fn report(&self) -> Report {
        self.ledger.report()
    }

    /// What was read so far, and what the lake's tables cover, by its own account.
    ///
    /// # Errors
    /// The lake's table `coverage` cannot be read.
    pub async fn report_with_lake(&self) -> Result<Report, Error> {
        let mut report = self.report();
        if self.lake.contains_key("coverage") {
            let covered = crate::lake_coverage::reports(self).await?;
            let in_lake = covered
                .into_iter()
                .filter(|table| self.lake.contains_key(&table.table));
            report.tables.extend(in_lake);
        }
        Ok(report)
    }

    /// The lake's tables, by name.
    pub fn lake_tables(&self) -> &BTreeMap<String, Arc<LakeTable>> {
        &self.lake
    }

    /// The files about addresses, and what queries asked of them in vain.
    pub fn enrichment(&self) -> &Enrichment {
        &self.enrichment
    }

    /// Running totals, for progress displays.
    pub fn ledger(&self) -> &SharedLedger {
        &self.ledger
    }

    /// The identity ledger, which is built when it is first asked for.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The raw tables.
    pub fn raw_tables(&self) -> Vec<Arc<LogTable>> {
        self.raw.all()
    }

    /// Names of all tables and views, in order.
    pub fn table_names(&self) -> Vec<String> {
        let catalog = self.context.catalog("datafusion");
        let mut names = catalog
            .and_then(|catalog| catalog.schema("public"))
            .map_or(Vec::new(), |s| s.table_names());
        names.sort();
        names
    }

    /// All tables and views with their columns.
    pub async fn tables(&self) -> Vec<TableInfo> {
        let raw = self.raw.all();
        let mut tables = Vec::new();
        for name in self.table_names() {
            let Ok(provider) = self.context.table_provider(name.as_str()).await else {
                continue;
            };
            let raw_table = raw.iter().find(|table| table.name() == name);
            let lake_table = self.lake.get(&name);
            let format = match (raw_table, lake_table) {
                (Some(table), _) => Some(table.format().format),
                (None, Some(_)) => format_named(&name),
                (None, None) => None,
            };
            let about = match (format, name.as_str()) {
                (Some(format), _) => format.about().to_owned(),
                (None, "rejects") => "Lines and records that did not parse, with the reason.".to_owned(),
                (None, "coverage") => {
                    "Which minutes were seen, of which source, account and Region.".to_owned()
                }
                (None, "object_digests") => {
                    "What CloudTrail's digests say of each object, by `trailhound verify`.".to_owned()
                }
                (None, connections::NAME) => connections::ABOUT.to_owned(),
                (None, "events") => "All tables of records on one timeline.".to_owned(),
                (None, name) => identity::about(name).unwrap_or_default().to_owned(),
            };
            // A view has its table's columns, and those of identity.
            let of_view = || format_named(name.strip_suffix("_identified")?);
            let known = match name.as_str() {
                connections::NAME => connections::COLUMNS,
                _ => format.or_else(of_view).map_or(&[][..], |format| format.columns()),
            };
            let columns = provider
                .schema()
                .fields()
                .iter()
                .map(|field| {
                    let column = known
                        .iter()
                        .chain(trailhound_ingest::column::PROVENANCE)
                        .find(|column| column.name == field.name());
                    ColumnInfo {
                        name: field.name().clone(),
                        data_type: sql_type(field.data_type()),
                        about: column
                            .map(|column| column.about)
                            .or_else(|| identity::about_column(&name, field.name()))
                            .unwrap_or_default()
                            .to_owned(),
                        values: column.map_or(&[], |column| column.values),
                    }
                })
                .collect();
            let objects = match (raw_table, lake_table) {
                (Some(table), _) => Some((table.sources().count(), table.bytes())),
                (None, table) => table.map(|table| table.size()),
            };
            tables.push(TableInfo {
                name,
                about,
                objects,
                columns,
            });
        }
        tables
    }
}

/// A type's name as SQL has it, where it has one.
pub fn sql_type(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        other => other.to_string(),
    }
}

fn check_option_tables(options: &Options) -> Result<(), Error> {
    for (table, name, _) in &options.format_options {
        if !options
            .from
            .iter()
            .any(|from| from.table == *table || from.format == *table)
        {
            return Err(Error::wrong_use(format!(
                "option {table}.{name} is for a table that no --from gives"
            )));
        }
    }
    Ok(())
}

/// The table without the records that lie outside of the time asked for.
fn in_time(
    context: &SessionContext,
    table: Arc<dyn TableProvider>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> datafusion::common::Result<Arc<dyn TableProvider>> {
    let at = |time: DateTime<Utc>| {
        lit(ScalarValue::TimestampMicrosecond(
            Some(time.timestamp_micros()),
            Some("UTC".into()),
        ))
    };
    let since = since.map(|since| col("event_time").gt_eq(at(since)));
    let until = until.map(|until| col("event_time").lt(at(until)));
    match conjunction(since.into_iter().chain(until)) {
        None => Ok(table),
        Some(filter) => Ok(context.read_table(table)?.filter(filter)?.into_view()),
    }
}

/// The beginning of a moment's hour.
fn hour_of(moment: DateTime<Utc>) -> DateTime<Utc> {
    moment.duration_trunc(TimeDelta::hours(1)).unwrap_or(moment)
}
