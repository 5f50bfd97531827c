//! millpond-gauntlet
