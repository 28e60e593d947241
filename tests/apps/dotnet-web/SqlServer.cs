// SQL Server by SqlClient.
//
// /sql/{id}               a batch
// /sql/parameter/{id}     a statement with a parameter (sp_executesql)
// /sql/procedure/{id}     a stored procedure
// /sql/update/{id}        an update; answers the number of rows
// /sql/transaction/{id}   an update in a transaction
// /sql/error              a query that fails, answered with 500
using System.Data;
using Microsoft.Data.SqlClient;

namespace Shop;

static class SqlServer
{
    public static void MapSqlServer(this WebApplication app)
    {
        app.MapGet("/sql/{id}", (int id) => Scalar($"SELECT name FROM items WHERE id = {id}"));
        app.MapGet("/sql/parameter/{id}", (int id) =>
            Scalar("SELECT name FROM items WHERE id = @id", CommandType.Text, id));
        app.MapGet("/sql/procedure/{id}", (int id) => Scalar("get_item", CommandType.StoredProcedure, id));
        app.MapGet("/sql/update/{id}", Update);
        app.MapGet("/sql/transaction/{id}", Transaction);
        app.MapGet("/sql/error", Error);
    }

    static async Task<string?> Scalar(string text, CommandType type = CommandType.Text, int? id = null)
    {
        await using var connection = await Open();
        await using var command = new SqlCommand(text, connection) { CommandType = type };
        if (id is int value)
        {
            command.Parameters.Add("@id", SqlDbType.Int).Value = value;
        }
        return (string?)await command.ExecuteScalarAsync();
    }

    static async Task<int> Update(int id)
    {
        await using var connection = await Open();
        await using var command = new SqlCommand($"UPDATE items SET name = name WHERE id = {id}", connection);
        return await command.ExecuteNonQueryAsync();
    }

    static async Task<int> Transaction(int id)
    {
        await using var connection = await Open();
        await using var transaction = connection.BeginTransaction();
        var statement = $"UPDATE items SET name = name WHERE id = {id}";
        await using var command = new SqlCommand(statement, connection, transaction);
        var rows = await command.ExecuteNonQueryAsync();
        await transaction.CommitAsync();
        return rows;
    }

    static async Task<IResult> Error()
    {
        try
        {
            return Results.Text(await Scalar("SELECT nothing FROM missing_table"));
        }
        catch (SqlException error)
        {
            return Results.Text($"{error.Number}", statusCode: 500);
        }
    }

    static async Task<SqlConnection> Open()
    {
        var connection = new SqlConnection(Settings.SqlServer);
        await connection.OpenAsync();
        return connection;
    }
}
