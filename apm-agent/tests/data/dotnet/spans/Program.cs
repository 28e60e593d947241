using System.Diagnostics;
using System.Text.Json;
using Npgsql;

// One JSON object per activity that ended: what SpanEnded holds of it.
ActivitySource.AddActivityListener(new ActivityListener
{
    ShouldListenTo = source => !source.Name.StartsWith("Experimental"),
    Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
    ActivityStopped = a => Console.WriteLine(JsonSerializer.Serialize(new
    {
        source = a.Source.Name, operation = a.OperationName, name = a.DisplayName, kind = a.Kind.ToString(),
        status = a.Status.ToString(),
        attributes = a.TagObjects.Select(t => new[] { t.Key, Convert.ToString(t.Value, System.Globalization.CultureInfo.InvariantCulture) }),
    }, new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping })),
});
var http = args[0];
using var client = new HttpClient();
await client.GetStringAsync($"{http}/a?b=c");
await client.GetAsync($"{http}/missing");
await client.PostAsync($"{http}/x", new StringContent("x"));
try { await client.GetAsync("http://127.0.0.1:1/"); } catch { }
await using var data = NpgsqlDataSource.Create(args[1]);
await using var connection = await data.OpenConnectionAsync();
async Task Run(string text, System.Data.CommandType type = System.Data.CommandType.Text)
{
    try { await using var command = new NpgsqlCommand(text, connection) { CommandType = type }; await command.ExecuteNonQueryAsync(); } catch (PostgresException) { }
}
await Run("CREATE TEMP TABLE orders (id int)");
await Run("SELECT *\nFROM orders WHERE id = 1");
await Run("SELECT * FROM nowhere");
await Run("nothing", System.Data.CommandType.StoredProcedure);
await Run("SELECT 1; SELECT 2");
await using (var batch = new NpgsqlBatch(connection) { BatchCommands = { new("INSERT INTO orders VALUES (1)"), new("SELECT 3") } }) await batch.ExecuteNonQueryAsync();
await using (var writer = await connection.BeginBinaryImportAsync("COPY orders FROM STDIN (FORMAT BINARY)"))
{ await writer.StartRowAsync(); await writer.WriteAsync(5, NpgsqlTypes.NpgsqlDbType.Integer); await writer.CompleteAsync(); }
