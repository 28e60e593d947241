//! Values of Go programs: what they panic with, and errors that handlers give back.

use apm_common::{
    event::{FailedBody, ValueBody, kind},
    fasthttp::GoFiber,
    limits::{VALUE_TEXT_BYTES, VALUE_WORDS},
    sqlite::GoSqlite,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user as read_user_bytes;

use super::{Hit, ITAB_TYPE, bounded, member};
use crate::{
    ring::{header, reserve, submit},
    settings::read_user,
};

/// Writes a value: its type, its first words, and the text that they may begin with. Whether they do, user space says: it
/// knows the type.
///
/// # Safety
/// `body` is valid for writes. Every member is written but the end of the text, which nobody reads.
#[inline(always)]
pub unsafe fn write_value(body: *mut ValueBody, value_type: u64, value: u64) {
    let words: [u64; VALUE_WORDS] = read_user(value).unwrap_or([0; VALUE_WORDS]);
    // SAFETY: the caller's.
    unsafe {
        (&raw mut (*body).value_type).write(value_type);
        (&raw mut (*body).words).write(words);
        write_text(body, [words[0], words[1]]);
    }
}

/// Writes a text, cut off where there is no room for more.
///
/// # Safety
/// As [`write_value`].
#[inline(always)]
pub unsafe fn write_text(body: *mut ValueBody, [address, length]: [u64; 2]) {
    let length = bounded::<VALUE_TEXT_BYTES>(length);
    // SAFETY: the caller's; the text has room for `length`.
    unsafe {
        let read = read_user_bytes((&raw mut (*body).text).cast(), length as u32, address as *const _);
        (&raw mut (*body).text_len).write(if read == 0 { length } else { 0 });
    }
}

/// Tells of an error, an interface value, that the handler of a request gave back.
#[inline(always)]
pub fn tell_failure(hit: &Hit, request: u64, [table, value]: [u64; 2]) -> Option<()> {
    let value_type: u64 = member(table, ITAB_TYPE)?;
    let mut slot = reserve::<FailedBody>()?;
    let record = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record, and all of it is written that anybody reads.
    unsafe {
        (&raw mut (*record).header).write(header(kind::FAILED, 0));
        (&raw mut (*record).body.request).write(request);
        let body = &raw mut (*record).body.value;
        if value_type != 0 && value_type == hit.layout.routers.echo_error {
            write_echo_error(hit, body, value);
        } else if let Some(fiber) =
            hit.layout.fasthttp.fiber.iter().find(|one| one.error != 0 && one.error == value_type)
        {
            write_fiber_error(fiber, body, value);
        } else {
            write_value(body, value_type, value);
        }
    }
    submit(slot);
    Some(())
}

/// An `*echo.HTTPError`, whose members lie in another order since echo 4.16.
///
/// # Safety
/// As [`write_value`].
#[inline(always)]
unsafe fn write_echo_error(hit: &Hit, body: *mut ValueBody, error: u64) {
    let routers = &hit.layout.routers;
    let code: u64 = member(error, routers.echo_code).unwrap_or(0);
    let message: [u64; 2] = member(error, routers.echo_message).unwrap_or([0; 2]);
    let inner: u64 = member(error, routers.echo_internal).unwrap_or(1);
    let text: [u64; 2] = member(message[1], 0).unwrap_or([0; 2]);
    // SAFETY: the caller's.
    unsafe {
        (&raw mut (*body).value_type).write(routers.echo_error);
        (&raw mut (*body).words).write([code, message[0], 0, (inner != 0) as u64]);
        write_text(body, text);
    }
}

/// A `*fiber.Error`: a code, and a text that is its message.
///
/// # Safety
/// As [`write_value`].
#[inline(always)]
unsafe fn write_fiber_error(fiber: &GoFiber, body: *mut ValueBody, error: u64) {
    let code: u64 = member(error, fiber.code).unwrap_or(0);
    // SAFETY: the caller's.
    unsafe {
        (&raw mut (*body).value_type).write(fiber.error);
        (&raw mut (*body).words).write([code, 0, 0, 0]);
        write_text(body, member(error, fiber.message).unwrap_or([0; 2]));
    }
}

/// A `sqlite3.Error`.
///
/// # Safety
/// As [`write_value`].
#[inline(always)]
pub unsafe fn write_sqlite_error(sqlite: &GoSqlite, body: *mut ValueBody, error: u64) {
    let code: u64 = member(error, sqlite.error_code).unwrap_or(0);
    // SAFETY: the caller's.
    unsafe {
        (&raw mut (*body).value_type).write(sqlite.error);
        (&raw mut (*body).words).write([code, 0, 0, 0]);
        write_text(body, member(error, sqlite.error_message).unwrap_or([0; 2]));
    }
}
