//! What user space tells the kernel programs about a Go process that serves by fasthttp. Offsets as in
//! [`GoLayout`](crate::go::GoLayout).

use crate::settings::ABSENT;

/// An offset with this bit is that of a pointer to a context, not of an interface value.
pub const POINTER: u32 = 1 << 31;

/// fasthttp, and fiber upon it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoFasthttp {
    /// `fasthttp.RequestCtx.Request`
    pub request: u32,
    /// `fasthttp.RequestCtx.c`
    pub connection: u32,
    /// fiber's major versions 2 and 3.
    pub fiber: [GoFiber; 2],
}

/// A major version of fiber.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoFiber {
    /// Address of the type `*fiber.Error`; 0: the binary has none.
    pub error: u64,
    /// `fiber.DefaultCtx.route`, `fiber.Ctx.route` in version 2
    pub route: u32,
    /// `fiber.Route.Path`
    pub path: u32,
    /// `fiber.Error.Code`
    pub code: u32,
    /// `fiber.Error.Message`
    pub message: u32,
}

impl GoFasthttp {
    /// Nothing is there.
    pub const NONE: GoFasthttp = GoFasthttp { request: ABSENT, connection: ABSENT, fiber: [GoFiber::NONE; 2] };
}

impl GoFiber {
    /// Nothing is there.
    pub const NONE: GoFiber = GoFiber { error: 0, route: ABSENT, path: ABSENT, code: ABSENT, message: ABSENT };
}
