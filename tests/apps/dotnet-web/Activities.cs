// Activities of the program's own.
//
// /activity/{id}   "checkout" (internal, with tags) holds "reserve" (client) around a query, and "announce" (producer),
//                  which ends with an error
// Ticker           five times a second a root activity "tick" with a query inside
using System.Diagnostics;
using Npgsql;

namespace Shop;

static class Activities
{
    static readonly ActivitySource Source = new("Shop", "1.0.0");

    public static void MapActivities(this WebApplication app) => app.MapGet("/activity/{id}", Checkout);

    static async Task<string> Checkout(int id, NpgsqlDataSource database)
    {
        using var checkout = Source.StartActivity("checkout");
        checkout?.SetTag("shop.order", id).SetTag("shop.express", true).SetTag("shop.currency", "EUR");
        string? name;
        using (var reserve = Source.StartActivity("reserve", ActivityKind.Client))
        {
            reserve?.SetTag("shop.order", id).SetTag("peer.service", "warehouse");
            await Task.Delay(1);
            name = await database.NameOf(id);
        }
        using (var announce = Source.StartActivity("announce", ActivityKind.Producer))
        {
            announce?.SetTag("shop.order", id).SetStatus(ActivityStatusCode.Error, "nobody listens");
            await Task.Yield();
        }
        return $"checked out {name}";
    }
}

class Ticker(NpgsqlDataSource database) : BackgroundService
{
    static readonly ActivitySource Source = new("Shop.Background");

    protected override async Task ExecuteAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        for (var n = 1; await timer.WaitForNextTickAsync(stopping); n++)
        {
            using var tick = Source.StartActivity("tick");
            tick?.SetTag("shop.tick", n);
            await using var command = database.CreateCommand($"SELECT {n} AS tick");
            await command.ExecuteScalarAsync(stopping);
        }
    }
}
