//! Which conditions on connections also hold for their records.
//!
//! A condition may go down to the records only if it keeps or drops all records
//! of a connection together. So those on protocol and action do, and those on
//! addresses and ports if they are asked of both ends. One on time does not: it
//! would cut connections that began before, and show the rest as whole.

use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, Operator, col, lit};

/// The condition on records of `vpc_flow` that every record of a connection with
/// `filter` fulfils; none if nothing is known of them.
pub fn on_records(filter: &Expr) -> Option<Expr> {
    match filter {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And => match (on_records(&binary.left), on_records(&binary.right)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            },
            Operator::Or => Some(on_records(&binary.left)?.or(on_records(&binary.right)?)),
            Operator::Eq => {
                let (column, value) = match (&*binary.left, &*binary.right) {
                    (Expr::Column(column), Expr::Literal(value, _)) => (column, value),
                    (Expr::Literal(value, _), Expr::Column(column)) => (column, value),
                    _ => return None,
                };
                is_one_of(&column.name, std::slice::from_ref(value))
            }
            _ => None,
        },
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) => {
            let Expr::Column(column) = &**expr else {
                return None;
            };
            let values: Option<Vec<ScalarValue>> = list
                .iter()
                .map(|value| match value {
                    Expr::Literal(value, _) => Some(value.clone()),
                    _ => None,
                })
                .collect();
            is_one_of(&column.name, &values?)
        }
        _ => None,
    }
}

fn is_one_of(column: &str, values: &[ScalarValue]) -> Option<Expr> {
    let list = || values.iter().cloned().map(lit).collect::<Vec<Expr>>();
    let either = |one: Expr, other: Expr| one.in_list(list(), false).or(other.in_list(list(), false));
    match column {
        "protocol" | "action" => Some(col(column).in_list(list(), false)),
        "initiator_port" | "responder_port" => {
            // Port 0 stands for none.
            let has_port = |value: &ScalarValue| matches!(value, ScalarValue::Int32(Some(port)) if *port > 0);
            values
                .iter()
                .all(has_port)
                .then(|| either(col("srcport"), col("dstport")))
        }
        "initiator_addr" | "responder_addr" => values.iter().all(has_one_form).then(|| {
            either(
                coalesce(vec![col("pkt_srcaddr"), col("srcaddr")]),
                coalesce(vec![col("pkt_dstaddr"), col("dstaddr")]),
            )
        }),
        _ => None,
    }
}

/// Whether the value is an address that can only be written in one way: IPv4.
fn has_one_form(value: &ScalarValue) -> bool {
    let text = value.try_as_str().flatten();
    text.is_some_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_go_down_for_both_ends_or_not_at_all() {
        let shown = |filter: Expr| on_records(&filter).map(|expr| expr.to_string());
        assert_eq!(
            shown(col("responder_port").eq(lit(443))).unwrap(),
            "srcport IN ([Int32(443)]) OR dstport IN ([Int32(443)])"
        );
        assert_eq!(
            shown(col("protocol").eq(lit(6)).and(col("bytes_out").gt(lit(5i64)))).unwrap(),
            "protocol IN ([Int32(6)])"
        );
        let address = shown(col("initiator_addr").eq(lit("10.0.0.1"))).unwrap();
        assert!(address.contains("coalesce(pkt_srcaddr, srcaddr)"), "{address}");
        assert!(address.contains("coalesce(pkt_dstaddr, dstaddr)"), "{address}");
    }

    #[test]
    fn what_would_cut_connections_stays_above() {
        for filter in [
            col("start_time").gt(lit(5i64)),
            col("protocol").eq(lit(6)).or(col("bytes_out").gt(lit(5i64))),
            col("initiator_addr").eq(lit("fd00::1")),
            col("responder_port").eq(lit(0)),
            col("protocol").not_eq(lit(6)),
            col("interface_id").eq(lit("eni-1")),
            col("initiator_port").in_list(vec![lit(1)], true),
        ] {
            assert_eq!(on_records(&filter), None, "{filter}");
        }
    }
}
