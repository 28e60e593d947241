//! Where the kernel's helper may not write: the program is stopped, user space writes and has it go on.

use apm_common::{
    counter::Counter,
    stopping::{ORDER_BYTES, STOPS_A_SECOND, StopOrder},
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_ns,
        generated::{bpf_probe_read_kernel as read_kernel_bytes, bpf_send_signal},
    },
    maps::ring_buf::RingBufEntry,
};

use super::{
    super::Hit,
    way::{Order, Way},
};
use crate::{
    maps::{CALL_WRITING, STOP_ORDERS, STOP_RATES, STOPPED, STOPPING},
    ring::WAKE_NOW,
};

const SIGSTOP: u32 = 19;
const SECOND: u64 = 1_000_000_000;

/// The process is stopped and written into.
pub struct Stopped;

impl Way for Stopped {
    /// One stop at a time: another thread that comes by before all have stopped goes on as it is.
    #[inline(always)]
    fn write<const N: usize>(hit: &Hit, order: &Order<'_>, bytes: &[u8; N]) -> Result<u32, Counter> {
        // SAFETY: no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        if N > ORDER_BYTES || !may_stop(hit.pid, now) {
            return Err(Counter::CallsStopsSpared);
        }
        let slot = STOP_ORDERS.reserve::<StopOrder>(0).ok_or(Counter::CallsNoRoom)?;
        if STOPPED.insert(hit.pid, now, BPF_NOEXIST as u64).is_err() {
            slot.discard(0);
            return Err(Counter::CallsStopsSpared);
        }
        // SAFETY: no preconditions.
        if unsafe { bpf_send_signal(SIGSTOP) } != 0 {
            slot.discard(0);
            let _ = STOPPED.remove(hit.pid);
            return Err(Counter::CallsWriteFailed);
        }
        submit(slot, hit, order, bytes);
        Ok(CALL_WRITING)
    }
}

/// Is it wanted still, and not too often?
#[inline(always)]
fn may_stop(pid: u32, now: u64) -> bool {
    // SAFETY: map values live until the program ends (RCU).
    if !STOPPING.get_ptr(0).is_some_and(|stopping| unsafe { *stopping } != 0) {
        return false;
    }
    let Some(rate) = STOP_RATES.get_ptr_mut(pid) else {
        return STOP_RATES.insert(pid, [now, 1], BPF_ANY as u64).is_ok();
    };
    // SAFETY: as above. Two threads at once may count one stop.
    let rate = unsafe { &mut *rate };
    if now.wrapping_sub(rate[0]) >= SECOND {
        *rate = [now, 0];
    }
    rate[1] += 1;
    rate[1] <= STOPS_A_SECOND
}

#[inline(always)]
fn submit<const N: usize>(mut slot: RingBufEntry<StopOrder>, hit: &Hit, order: &Order<'_>, bytes: &[u8; N]) {
    let Order { buffer, length, frame: [frame_at, block], span } = *order;
    let [a, b, c, _] = Order::frame_length(block + length);
    let to: *mut StopOrder = slot.as_mut_ptr();
    // SAFETY: the slot is as large, and every member is written.
    unsafe {
        (&raw mut (*to).pid).write(hit.pid);
        (&raw mut (*to).tid).write(bpf_get_current_pid_tgid() as u32);
        (&raw mut (*to).span).write(span);
        (&raw mut (*to).text_at).write(buffer.start + buffer.used);
        (&raw mut (*to).length).write(length);
        (&raw mut (*to).frame_at).write(frame_at);
        (&raw mut (*to).frame_length).write([a, b, c, 0, 0, 0, 0, 0]);
        (&raw mut (*to).used_at).write(buffer.used_at);
        (&raw mut (*to).used).write(buffer.used + length);
        read_kernel_bytes((&raw mut (*to).bytes).cast(), N as u32, bytes.as_ptr().cast());
    }
    slot.submit(WAKE_NOW);
}
