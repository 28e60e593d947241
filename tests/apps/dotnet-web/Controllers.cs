// MVC controllers.
//
// GET  /orders/{id}              Orders/Get, routed by attribute; one query
// GET  /orders/throw             Orders/Throw: an action that throws after an await
// POST /orders                   Orders/Create: {"item": N} inserts a row
// GET  /customers/list/{id}      Customers/List, routed by convention; one query
// GET  /admin/users/get/{id}     Admin/Users/Get, in an area; one query
using Microsoft.AspNetCore.Mvc;
using Npgsql;

namespace Shop
{
    public record Order(int Item);

    [ApiController]
    [Route("orders")]
    public class OrdersController(NpgsqlDataSource database) : ControllerBase
    {
        [HttpGet("{id}")]
        public async Task<IActionResult> Get(int id)
        {
            var name = await database.NameOf(id);
            return name is null ? NotFound() : Ok(new { id, name });
        }

        [HttpGet("throw")]
        public async Task<IActionResult> Throw()
        {
            await Task.Yield();
            throw new InvalidOperationException("the action failed");
        }

        [HttpPost]
        public async Task<IActionResult> Create(Order order)
        {
            await using var command =
                database.CreateCommand($"INSERT INTO orders (item) VALUES ({order.Item}) RETURNING id");
            return Created($"/orders/{await command.ExecuteScalarAsync()}", order);
        }
    }

    public class CustomersController(NpgsqlDataSource database) : Controller
    {
        public async Task<IActionResult> List(int id) => Content($"customer of {await database.NameOf(id)}");
    }
}

namespace Shop.Admin
{
    [Area("Admin")]
    public class UsersController(NpgsqlDataSource database) : Controller
    {
        public async Task<IActionResult> Get(int id) => Content($"user of {await database.NameOf(id)}");
    }
}
