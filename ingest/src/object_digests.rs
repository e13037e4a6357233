//! The schema of the table `object_digests`: what CloudTrail's digests say of each object.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::timestamp_type;

/// Columns of the table `object_digests`: one row an object.
pub fn object_digests_schema() -> SchemaRef {
    let text = |name, null| Field::new(name, DataType::Utf8View, null);
    let time = |name, null| Field::new(name, timestamp_type(), null);
    Arc::new(Schema::new(vec![
        text("_source", false),
        text("state", false),
        text("digest_source", true),
        text("account_id", false),
        text("region", false),
        time("digest_start", true),
        time("digest_end", true),
        text("reason", true),
        time("_ingested_at", false),
    ]))
}
