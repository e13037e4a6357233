//! A [`Function`] that gives one value a row, as the engine calls it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::{Argument, Arguments, Body, Function};
use crate::enrichment::Enrichment;

/// The function for a session that has these files.
pub fn udf(function: &'static Function, enrichment: Arc<Enrichment>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Scalar {
        function,
        signature: signature(function.arguments),
        enrichment,
    })
}

/// One form of the call for each number of arguments that it may have.
pub fn signature(arguments: &[Argument]) -> Signature {
    let required = arguments.iter().filter(|argument| !argument.optional).count();
    let forms = (required..=arguments.len())
        .map(|count| {
            let types: Vec<DataType> = arguments[..count]
                .iter()
                .map(|argument| argument.type_.arrow())
                .collect();
            TypeSignature::Exact(types)
        })
        .collect();
    Signature::one_of(forms, Volatility::Immutable)
}

#[derive(Debug)]
struct Scalar {
    function: &'static Function,
    signature: Signature,
    enrichment: Arc<Enrichment>,
}

// Two functions are the same if they have one name and read the same files.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.enrichment, &other.enrichment)
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.function.gives.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = Arguments::new(&args)?;
        let values = match self.function.body {
            Body::Scalar(compute) => compute(&arguments),
            Body::Enriched(compute) => compute(&arguments, &self.enrichment)?,
            Body::Aggregate(_) => return internal_err!("{} is an aggregate", self.function.name),
        };
        if arguments.are_constant() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}
