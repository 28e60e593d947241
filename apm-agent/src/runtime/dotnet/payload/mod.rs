//! What is in the events' payloads, by provider. Each reader takes an [`Event`](super::Event) and gives `None` when it is
//! another one or its payload makes no sense.
