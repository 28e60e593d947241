// A minimal API with HttpClient and Npgsql: what the agent sees of .NET without .NET's own bridge is the wire.
//
// /item/ID     one query whose text holds the ID
// /error       a query that fails, answered with 500
// /call?url=U  an outgoing HTTP request; its status is passed on
// /slow?ms=N   an answer that takes N ms
// /chunked     a body in chunks
using Npgsql;

var builder = WebApplication.CreateBuilder(args);
builder.Logging.ClearProviders();
builder.WebHost.UseUrls($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT")}");
var app = builder.Build();
await using var database = NpgsqlDataSource.Create(Environment.GetEnvironmentVariable("DATABASE_URL")!);
using var client = new HttpClient();

app.MapMethods("/item/{id:int}", ["GET", "HEAD"], async (int id) =>
{
    await using var command = database.CreateCommand($"SELECT name FROM items WHERE id = {id}");
    return await command.ExecuteScalarAsync() is string name ? Results.Text(name) : Results.NotFound();
});
app.MapGet("/error", async () =>
{
    try
    {
        await using var command = database.CreateCommand("SELECT nothing FROM missing_table");
        await command.ExecuteScalarAsync();
        return Results.Ok();
    }
    catch (PostgresException error)
    {
        return Results.Text(error.SqlState, statusCode: 500);
    }
});
app.MapGet("/call", async (string url) =>
{
    try
    {
        using var response = await client.GetAsync(url);
        return Results.Text("called", statusCode: (int)response.StatusCode);
    }
    catch (HttpRequestException error)
    {
        return Results.Text(error.Message, statusCode: 502);
    }
});
app.MapGet("/slow", async (int ms) =>
{
    await Task.Delay(ms);
    return Results.Text("slow");
});
app.MapGet("/chunked", async (HttpResponse response) =>
{
    foreach (var part in new[] { "first ", "second ", "third" })
    {
        await response.WriteAsync(part);
        await response.Body.FlushAsync();
    }
});

// The first stack that is written down makes .NET load what reads symbols, and keep it open: done here, so that it is
// there with and without somebody who asks for stacks.
try { throw new InvalidOperationException(); } catch (InvalidOperationException error) { _ = error.ToString(); }
app.Run();
