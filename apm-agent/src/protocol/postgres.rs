//! (in progress)
use super::{Conversation, Join, Protocol, Verdict};
/// (in progress)
pub struct Postgres;
impl Protocol for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
    }
    fn title(&self) -> &'static str {
        "PostgreSQL"
    }
    fn coverage(&self) -> &'static str {
        ""
    }
    fn recognise(&self, _: &[u8], _: &[u8], _: Join) -> Verdict {
        Verdict::No
    }
    fn conversation(&self, _: Join) -> Box<dyn Conversation> {
        unimplemented!()
    }
}
