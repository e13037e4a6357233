//! `is_own_address(ip)`: whether an address is, or once was, one of the account's.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::resolved::Identity;

/// Name of the function.
const NAME: &str = "is_own_address";

#[derive(Debug)]
struct IsOwnAddress {
    identity: Arc<Identity>,
    signature: Signature,
}

impl PartialEq for IsOwnAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.identity, &other.identity)
    }
}

impl Eq for IsOwnAddress {}

impl Hash for IsOwnAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

/// Makes the function known.
pub(super) fn register(context: &SessionContext, identity: Arc<Identity>) {
    let function = IsOwnAddress {
        identity,
        // Not folded while planning: its answer takes reading the logs.
        signature: Signature::string(1, Volatility::Volatile),
    };
    context.register_udf(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf());
}

impl ScalarUDFImpl for IsOwnAddress {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{NAME} is answered asynchronously; use it in SELECT or WHERE")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for IsOwnAddress {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if !self.identity.has_sources() {
            let nothing: ArrayRef = Arc::new(BooleanArray::new_null(rows));
            return Ok(ColumnarValue::Array(nothing));
        }
        let resolved = self.identity.resolve().await?;
        let values = ColumnarValue::values_to_arrays(&args.args)?.remove(0);
        let texts = cast(&values, &DataType::Utf8View)?;
        let answers: BooleanArray = texts
            .as_string_view()
            .iter()
            .map(|text| {
                let address: IpAddr = text?.parse().ok()?;
                Some(resolved.ledger.is_own_address(address))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
