//! millpond-client
