// PostgreSQL by Npgsql and Dapper.
//
// /items/{id:int}     one query, 404 when there is no such item
// /one/{id}           one query and nothing else
// /dapper/{id}        one query by Dapper
// /prepared/{id}      a statement with a parameter, prepared
// /batch/{id}         two statements in one round trip
// /transaction/{id}   an update between BEGIN and COMMIT; with ?fail=true, a ROLLBACK
// /error              a query that fails, answered with 500
using Dapper;
using Npgsql;

namespace Shop;

static class Queries
{
    public static async Task<string?> NameOf(this NpgsqlDataSource database, int id)
    {
        await using var command = database.CreateCommand(Select(id));
        return (string?)await command.ExecuteScalarAsync();
    }

    public static void MapQueries(this WebApplication app)
    {
        app.MapGet("/items/{id:int}", async (int id, NpgsqlDataSource database) =>
            await database.NameOf(id) is string name ? Results.Text(name) : Results.NotFound());
        app.MapGet("/one/{id}", (int id, NpgsqlDataSource database) => database.NameOf(id));
        app.MapGet("/dapper/{id}", async (int id, NpgsqlDataSource database) =>
        {
            await using var connection = await database.OpenConnectionAsync();
            return await connection.QuerySingleAsync<string>(Select(id));
        });
        app.MapGet("/prepared/{id}", Prepared);
        app.MapGet("/batch/{id}", Batch);
        app.MapGet("/transaction/{id}", Transaction);
        app.MapGet("/error", Error);
    }

    // The number stands in the text, so that a test can tell whose statement it is.
    static string Select(int id) => $"SELECT name FROM items WHERE id = {id}";

    static async Task<string?> Prepared(int id, NpgsqlDataSource database)
    {
        await using var connection = await database.OpenConnectionAsync();
        await using var command = new NpgsqlCommand("SELECT name FROM items WHERE id = $1", connection);
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = id });
        await command.PrepareAsync();
        return (string?)await command.ExecuteScalarAsync();
    }

    static async Task<string> Batch(int id, NpgsqlDataSource database)
    {
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Select(id)));
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Select(id + 1)));
        await using var reader = await batch.ExecuteReaderAsync();
        var names = new List<string>();
        do
        {
            while (await reader.ReadAsync())
            {
                names.Add(reader.GetString(0));
            }
        } while (await reader.NextResultAsync());
        return string.Join(", ", names);
    }

    static async Task<string> Transaction(int id, NpgsqlDataSource database, bool fail = false)
    {
        await using var connection = await database.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var statement = $"UPDATE items SET name = name WHERE id = {id}";
        await using var command = new NpgsqlCommand(statement, connection, transaction);
        var rows = await command.ExecuteNonQueryAsync();
        await (fail ? transaction.RollbackAsync() : transaction.CommitAsync());
        return $"{rows} {(fail ? "rolled back" : "committed")}";
    }

    static async Task<IResult> Error(NpgsqlDataSource database)
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
    }
}
