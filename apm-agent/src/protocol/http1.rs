//! (in progress)
use super::{Conversation, Join, Protocol, Verdict};
/// (in progress)
pub struct Http1;
impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http1"
    }
    fn title(&self) -> &'static str {
        "HTTP/1.x"
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
