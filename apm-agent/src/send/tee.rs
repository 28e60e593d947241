//! Hands every document to several outputs.

use std::sync::Arc;

use super::Output;
use crate::{build::Document, metadata::ServiceInstance};

/// Several outputs as one.
pub struct Tee {
    outputs: Vec<Box<dyn Output>>,
}

impl Tee {
    /// Hands on to `outputs`, in their order.
    pub fn new(outputs: Vec<Box<dyn Output>>) -> Self {
        Self { outputs }
    }
}

impl Output for Tee {
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document) {
        self.outputs.iter_mut().for_each(|output| output.publish(instance, document));
    }

    fn retire(&mut self, instance: &Arc<ServiceInstance>) {
        self.outputs.iter_mut().for_each(|output| output.retire(instance));
    }

    fn tick(&mut self) {
        self.outputs.iter_mut().for_each(|output| output.tick());
    }

    fn finish(&mut self) {
        self.outputs.iter_mut().for_each(|output| output.finish());
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.outputs.iter().flat_map(|output| output.counters()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::build::sample;

    struct Recorder(Rc<RefCell<Vec<&'static str>>>);

    impl Output for Recorder {
        fn publish(&mut self, _: &Arc<ServiceInstance>, _: &Document) {
            self.0.borrow_mut().push("publish");
        }

        fn retire(&mut self, _: &Arc<ServiceInstance>) {
            self.0.borrow_mut().push("retire");
        }

        fn tick(&mut self) {
            self.0.borrow_mut().push("tick");
        }

        fn finish(&mut self) {
            self.0.borrow_mut().push("finish");
        }

        fn counters(&self) -> Vec<(&'static str, u64)> {
            vec![("calls", self.0.borrow().len() as u64)]
        }
    }

    #[test]
    fn hands_everything_to_all() {
        let calls = [Rc::default(), Rc::default()];
        let mut tee =
            Tee::new(calls.iter().map(|list| Box::new(Recorder(Rc::clone(list))) as Box<dyn Output>).collect());
        let instance = Arc::default();
        tee.publish(&instance, &Document::Span(sample::span(1)));
        tee.tick();
        tee.retire(&instance);
        tee.finish();
        for list in &calls {
            assert_eq!(*list.borrow(), ["publish", "tick", "retire", "finish"]);
        }
        assert_eq!(tee.counters(), [("calls", 4), ("calls", 4)]);
    }
}
