//! `quantile_sketch(x)` and `sketch_merge(sketch)`, aggregates; and what a sketch tells:
//! `sketch_quantile(sketch, q)`, `sketch_count(sketch)`, `sketch_median_abs_dev(sketch)`.

use datafusion::common::ScalarValue;

use super::sketch::Sketch;
use super::sketch_aggregate::udaf;
use super::{Argument, Body, Function, Group, Type, double};

const SKETCHES: Argument = Argument::new("sketch", Type::Sketch);

/// The sketch as a value; NULL if nothing was counted.
fn stored(sketch: &mut Sketch) -> ScalarValue {
    ScalarValue::BinaryView((sketch.count() > 0).then(|| sketch.to_bytes()))
}

/// See [`Function::about`].
pub const SKETCH: Function = Function {
    name: "quantile_sketch",
    group: Group::Statistics,
    arguments: &[double("x")],
    gives: Type::Sketch,
    about: "An aggregate: how the values are distributed, in at most 2,048 buckets and about 10 KB, to be kept in a \
            table and merged later. Exact up to 2,048 different values. Beyond that a quantile of positive values is \
            off by at most 0.4% if they lie within a factor of 60,000, 0.8% within 3 billion, 1.6% within 10 to the \
            19th. Merging in any order gives the same bytes. NULL and NaN are left out; infinities count.",
    example: (
        "sketch_quantile(quantile_sketch(x), 0.5) FROM (VALUES (1), (2), (9)) AS t(x)",
        "2.0",
    ),
    body: Body::Aggregate(|| udaf(&SKETCH, stored)),
};

/// See [`Function::about`].
pub const MERGE: Function = Function {
    name: "sketch_merge",
    group: Group::Statistics,
    arguments: &[SKETCHES],
    gives: Type::Sketch,
    about: "An aggregate: one sketch of all that several have counted. Bytes that are no sketch are left out.",
    example: (
        "sketch_quantile(sketch_merge(s), 0.5) FROM (SELECT day, quantile_sketch(x) AS s FROM \
         (VALUES (1, 10), (1, 20), (2, 30)) AS t(day, x) GROUP BY day)",
        "20.0",
    ),
    body: Body::Aggregate(|| udaf(&MERGE, stored)),
};

/// See [`Function::about`].
pub const QUANTILE: Function = Function {
    name: "sketch_quantile",
    group: Group::Statistics,
    arguments: &[SKETCHES, double("q")],
    gives: Type::Double,
    about: "A quantile from a sketch, q from 0 to 1, with linear interpolation; between a finite and an infinite value \
            the finite one. NULL for another q, and for bytes that are no sketch.",
    example: (
        "sketch_quantile(quantile_sketch(x), 0.75) FROM (VALUES (1), (2), (4)) AS t(x)",
        "3.0",
    ),
    body: Body::Scalar(|arguments| {
        let (sketch, q) = (arguments.bytes(0), arguments.double(1));
        arguments.to_double(|row| {
            let q = q.at(row)?;
            Sketch::from_bytes(sketch.at(row)?)?.quantile(q)
        })
    }),
};

/// See [`Function::about`].
pub const COUNT: Function = Function {
    name: "sketch_count",
    group: Group::Statistics,
    arguments: &[SKETCHES],
    gives: Type::Int,
    about: "How many values a sketch has counted.",
    example: (
        "sketch_count(quantile_sketch(x)) FROM (VALUES (1), (2), (NULL)) AS t(x)",
        "2",
    ),
    body: Body::Scalar(|arguments| {
        let sketch = arguments.bytes(0);
        arguments.to_int(|row| i64::try_from(Sketch::from_bytes(sketch.at(row)?)?.count()).ok())
    }),
};

/// See [`Function::about`].
pub const MEDIAN_ABS_DEV: Function = Function {
    name: "sketch_median_abs_dev",
    group: Group::Statistics,
    arguments: &[SKETCHES],
    gives: Type::Double,
    about: "What `median_abs_dev` gives for the values that a sketch has counted.",
    example: (
        "sketch_median_abs_dev(quantile_sketch(x)) FROM (VALUES (1), (2), (3), (4), (1000)) AS t(x)",
        "1.0",
    ),
    body: Body::Scalar(|arguments| {
        let sketch = arguments.bytes(0);
        arguments.to_double(|row| Sketch::from_bytes(sketch.at(row)?)?.median_abs_dev())
    }),
};
