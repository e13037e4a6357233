//! CloudTrail: one JSON record per API call, sign-in or service event.
//!
//! Files of a trail (`{"Records":[...]}`), one record per line, records printed
//! over many lines, bare arrays, and records inside EventBridge and CloudWatch
//! Logs envelopes all read the same way, and may follow each other in one stream.
//!
//! Records are taken one by one out of the block, however large the array is
//! that they stand in. Every record is checked from end to end whatever the
//! query asks for, so that rows and rejects are always the same; only columns
//! that are asked for are built.
//!
//! A record that is broken is one reject. Between lines the next record begins
//! at the next line, inside an array at the next object that is valid and looks
//! like a record.

use self::parser::CloudTrailParser;
use super::{Format, OptionError, Parser, Setup};
use crate::column::Column;

mod array;
mod columns;
mod fields;
mod parser;
mod record;
mod resync;
mod row;
mod time;

#[cfg(test)]
mod tests;

/// The CloudTrail format.
#[derive(Debug, Clone, Copy)]
pub struct CloudTrail;

impl Format for CloudTrail {
    fn name(&self) -> &'static str {
        "cloudtrail"
    }

    fn about(&self) -> &'static str {
        "CloudTrail events: API calls, sign-ins, service events and Insights, from trail files, EventBridge and \
         CloudWatch Logs. One row per record; `_line` is the number of the record in its object. Calls that no \
         trail logs are not there (data and network activity events have to be switched on), events arrive some \
         five minutes late, in no order, and now and then twice: `event_id` tells. Members that no column names are \
         in `extra`."
    }

    fn columns(&self) -> &'static [Column] {
        &columns::COLUMNS
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(Box::new(CloudTrailParser::new(&setup)))
    }
}
