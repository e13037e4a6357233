//! Tables that people write, as CSV or Parquet: what is allowed and what is worth protecting.
//!
//! No log says which connections were agreed on, or where card data lies. Who
//! knows writes it down, gives it as `--from declared_flows=FILE.csv`, and the
//! detections that need it compare the logs with it. All columns are text.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{cast, col, lit};
use datafusion::prelude::SessionContext;

use crate::error::{Error, explain, meant};
use crate::location::From;
use crate::stores::Stores;
use crate::written;

/// A table that people write.
#[derive(Debug)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// What a row of it says.
    pub about: &'static str,
    /// Its columns: name, whether a file must have it, meaning.
    pub columns: &'static [(&'static str, bool, &'static str)],
}

/// The tables, in the order in which they are explained.
pub const DECLARED: &[Declared] = &[
    Declared {
        name: "service_profiles",
        about: "A connection that a service may have. A service without a row has no profile and is not judged.",
        columns: &[
            ("service", true, "ECS service that the row is about."),
            (
                "direction",
                true,
                "`out` for what it calls, `in` for who may call it.",
            ),
            (
                "peer",
                true,
                "Service, address or network (CIDR) of the other end; `aws:S3` for an AWS service as flow logs name it, \
                 `private` for any private address, `*` for any.",
            ),
            ("port", true, "Port of the side that is called; `*` for any."),
            (
                "protocol",
                false,
                "`tcp`, `udp` or a number; `*` or nothing for any.",
            ),
        ],
    },
    Declared {
        name: "declared_flows",
        about: "A connection that is documented and approved, as PCI DSS asks for it.",
        columns: &[
            (
                "source",
                true,
                "Service, address or network (CIDR) that calls; `*` for any.",
            ),
            ("destination", true, "The same for what is called."),
            ("port", true, "Port that is called; `*` for any."),
            (
                "protocol",
                false,
                "`tcp`, `udp` or a number; `*` or nothing for any.",
            ),
            ("owner", false, "Who answers for it."),
            ("reason", false, "Why it is needed."),
            (
                "expires",
                false,
                "Last day that it counts, such as 2026-12-31; nothing for no end.",
            ),
        ],
    },
    Declared {
        name: "regulated",
        about: "Where data lies that rules protect: card data (CHD), health data (PHI).",
        columns: &[
            (
                "member",
                true,
                "Service, interface, subnet, address or network (CIDR).",
            ),
            (
                "class",
                true,
                "What lies there: `CHD`, `CDE` or `PCI` for card data, `PHI` for health data.",
            ),
        ],
    },
];

impl Declared {
    /// Its columns, all of them text.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|(name, ..)| Field::new(*name, DataType::Utf8View, true))
            .collect();
        Arc::new(Schema::new(fields))
    }
}

/// The declared table of a name.
pub fn declared_named(name: &str) -> Option<&'static Declared> {
    DECLARED.iter().find(|declared| declared.name == name)
}

/// Opens the files of a declared table.
///
/// # Errors
/// There is no such file, it cannot be read, or a column is missing or unknown:
/// one that is misspelt would allow nothing, or everything, without a word.
pub(crate) async fn open(
    context: &SessionContext,
    declared: &Declared,
    from: &From,
    stores: &Stores,
) -> Result<Arc<dyn TableProvider>, Error> {
    written::table(context, from, stores, |file| {
        let given: Vec<String> = file.columns().into_iter().map(str::to_owned).collect();
        check(declared, &file.name, &given)?;
        let columns = declared.columns.iter().map(|(name, ..)| {
            let value = match given.iter().any(|column| column == name) {
                true => cast(col(format!("\"{name}\"")), DataType::Utf8View),
                false => lit(ScalarValue::Utf8View(None)),
            };
            value.alias(*name)
        });
        file.rows
            .select(columns)
            .map_err(|error| explain(&error, "", &[]))
    })
    .await
}

fn check(declared: &Declared, file: &str, given: &[String]) -> Result<(), Error> {
    let names: Vec<&str> = declared.columns.iter().map(|(name, ..)| *name).collect();
    if let Some(unknown) = given.iter().find(|column| !names.contains(&column.as_str())) {
        let error = Error::wrong_use(format!(
            "{file} has a column {unknown:?}, which {} does not have",
            declared.name
        ));
        return Err(error.with_help(meant(unknown, &names)));
    }
    let missing = declared
        .columns
        .iter()
        .find(|(name, needed, _)| *needed && !given.iter().any(|column| column == name));
    match missing {
        Some((name, ..)) => Err(Error::wrong_use(format!(
            "{file} has no column {name}, which {} needs",
            declared.name
        ))
        .with_help(format!(
            "the first line must name the columns: {}",
            names.join(",")
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(columns: &str) -> Result<(), String> {
        let declared = declared_named("declared_flows").unwrap();
        let columns: Vec<String> = columns.split(',').map(str::to_owned).collect();
        check(declared, "flows.csv", &columns).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_may_stand_in_any_order_and_optional_ones_be_absent() {
        assert_eq!(given("port,destination,source"), Ok(()));
        assert_eq!(
            given("source,destination,port,protocol,owner,reason,expires"),
            Ok(())
        );
    }

    #[test]
    fn a_missing_or_misspelt_column_is_refused_by_name() {
        let missing = given("source,port").unwrap_err();
        assert!(missing.contains("no column destination"), "{missing}");
        let misspelt = given("source,destination,port,expiry").unwrap_err();
        assert!(misspelt.contains("\"expiry\""), "{misspelt}");
    }

    #[test]
    fn schemas_have_the_columns_as_text() {
        for declared in DECLARED {
            let schema = declared.schema();
            assert_eq!(schema.fields().len(), declared.columns.len(), "{}", declared.name);
            assert!(
                schema
                    .fields()
                    .iter()
                    .all(|field| field.data_type() == &DataType::Utf8View)
            );
        }
    }
}
