//! The state machine, state by state and event by event.
