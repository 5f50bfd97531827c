//! millpond-proto
