//! What the kernel programs must know of fasthttp, and of fiber upon it.

use apm_common::{
    fasthttp::{GoFasthttp, GoFiber, POINTER},
    settings::ABSENT,
};

use super::plan::{offset, pointer};
use crate::binary::go::GoBinary;

/// fiber's contexts and packages, by major version.
const FIBER: [[&str; 2]; 2] =
    [["github.com/gofiber/fiber/v2", "github.com/gofiber/fiber/v2.Ctx"], ["github.com/gofiber/fiber/v3", CONTEXT]];

/// fiber's contexts since version 3, which are contexts of Go's, too.
const CONTEXT: &str = "github.com/gofiber/fiber/v3.DefaultCtx";

/// The layout; [`GoFasthttp::NONE`]: requests cannot be told.
pub(super) fn layout(binary: &GoBinary, bias: u64) -> GoFasthttp {
    let request = offset(binary, "github.com/valyala/fasthttp.RequestCtx", "Request");
    let connection = offset(binary, "github.com/valyala/fasthttp.RequestCtx", "c");
    if request == ABSENT || connection == ABSENT {
        return GoFasthttp::NONE;
    }
    let fiber = FIBER.map(|[package, context]| GoFiber {
        error: pointer(binary, bias, &format!("{package}.Error")),
        route: offset(binary, context, "route"),
        path: offset(binary, &format!("{package}.Route"), "Path"),
        code: offset(binary, &format!("{package}.Error"), "Code"),
        message: offset(binary, &format!("{package}.Error"), "Message"),
    });
    GoFasthttp { request, connection, fiber }
}

/// The type of fiber's contexts, with the place of fasthttp's context in them.
pub(super) fn context(binary: &GoBinary, bias: u64) -> Option<(u64, u32)> {
    let address = pointer(binary, bias, CONTEXT);
    let inner = offset(binary, CONTEXT, "fasthttp");
    (address != 0 && inner < POINTER).then_some((address, inner | POINTER))
}
