//! millpond-benches
