//! Answers and alerts, held against the truth.

/// Alerts against attacks.
pub mod alerts;
/// Identified flow records against owners.
pub mod identity;
